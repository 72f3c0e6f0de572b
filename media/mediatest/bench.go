package mediatest

import (
	"context"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"millrace/media/ffmpeg"
	"millrace/storage"
)

// Bench is what a task is given by a node: a source, served to ffmpeg on
// loopback, and an empty folder as output.
type Bench struct {
	Tools  *ffmpeg.Tools // confined as on a node
	Source *storage.Source
	URL    string // of the source, on loopback
	Output *storage.Output
	Folder string // that Output writes to

	store *storage.Store
	root  string
}

// NewOutput is another empty output folder.
func (b *Bench) NewOutput(t testing.TB) (output *storage.Output, folder string) {
	t.Helper()
	folder, err := os.MkdirTemp(b.root, "run-") //nolint:usetesting // it has to lie under the output root
	if err != nil {
		t.Fatal(err)
	}
	to, err := storage.ParseOutput((&url.URL{Scheme: "file", Path: folder}).String())
	if err != nil {
		t.Fatal(err)
	}
	if output, err = b.store.OpenOutput(t.Context(), to); err != nil {
		t.Fatal(err)
	}
	return output, folder
}

var find = sync.OnceValues(func() (*ffmpeg.Tools, error) { return ffmpeg.Find(context.Background(), "", "") })

// Tools are this machine's ffmpeg and ffprobe, in a sandbox that lets them read
// nothing but what each run is given.
func Tools(t testing.TB) *ffmpeg.Tools {
	t.Helper()
	found, err := find()
	if err != nil {
		t.Fatal(err)
	}
	return &ffmpeg.Tools{
		FFmpeg: found.FFmpeg, FFprobe: found.FFprobe, Version: found.Version,
		Build: found.Build, Configuration: found.Configuration, Sandbox: &ffmpeg.Sandbox{},
	}
}

// Open opens the file at path as a source, and a new folder as output. Both are
// closed when the test ends.
func Open(t testing.TB, path string) *Bench {
	t.Helper()
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	store, err := storage.New(storage.Config{
		SourceRoots: []string{filepath.Dir(path)}, OutputRoots: []string{folder}, CacheDir: t.TempDir(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { check(t, store.Close()) })
	loopback, err := storage.NewLoopback(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { check(t, loopback.Close()) })

	from, err := storage.ParseInput((&url.URL{Scheme: "file", Path: path}).String())
	if err != nil {
		t.Fatal(err)
	}
	source, err := store.OpenSource(t.Context(), from)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { check(t, source.Close()) })
	served := loopback.Serve(source)
	t.Cleanup(served.Release)

	b := &Bench{Tools: Tools(t), Source: source, URL: served.URL(), store: store, root: folder}
	b.Output, b.Folder = b.NewOutput(t)
	return b
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}

// OpenError is why the file at path can't be opened as a source, nil if it can.
func OpenError(t testing.TB, path string) error {
	t.Helper()
	store, err := storage.New(storage.Config{SourceRoots: []string{filepath.Dir(path)}, CacheDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { check(t, store.Close()) }()
	from, err := storage.ParseInput((&url.URL{Scheme: "file", Path: path}).String())
	if err != nil {
		t.Fatal(err)
	}
	source, err := store.OpenSource(t.Context(), from)
	if err == nil {
		check(t, source.Close())
	}
	return err
}
