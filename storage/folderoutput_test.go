package storage

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"millrace/job"
)

// withRoots gives a store whose source and output root is a new folder.
func withRoots(t *testing.T) (*Store, string) {
	t.Helper()
	root := t.TempDir()
	return newStore(t, func(c *Config) { c.SourceRoots, c.OutputRoots = []string{root}, []string{root} }), root
}

func write(t *testing.T, path string, body []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, body, 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestFileSourceIsRead(t *testing.T) {
	store, root := withRoots(t)
	body := noise(100_000)
	write(t, filepath.Join(root, "folder", "a b.mp4"), body)
	source := open(t, store, "file://"+root+"/folder/a%20b.mp4")
	wantBytes(t, source, body)
	if again := open(t, store, "file://"+root+"/folder/a%20b.mp4"); again.Identity() != source.Identity() {
		t.Errorf("identities %q and %q", source.Identity(), again.Identity())
	}
}

func TestFileSourceOutsideTheRootsIsRefused(t *testing.T) {
	store, root := withRoots(t)
	outside := filepath.Join(t.TempDir(), "secret.mp4")
	write(t, outside, noise(10))
	write(t, root+"-other/a.mp4", noise(10))
	t.Cleanup(func() { _ = os.RemoveAll(root + "-other") })
	for name, target := range map[string]string{
		"link.mp4": outside, "folder": filepath.Dir(outside), "loop": "loop", "up.mp4": "../../../../../etc/passwd", "inside": "/etc",
	} {
		if err := os.Symlink(target, filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(root, "pipe"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{
		outside, root + "-other/a.mp4", root + "/link.mp4", root + "/folder/secret.mp4", root + "/loop", root + "/up.mp4",
		root + "/inside/passwd", root + "/pipe", "/dev/zero",
	} {
		wantCode(t, openError(t, store, "file://"+path), job.InputDisallowed)
	}
	if err := os.Mkdir(filepath.Join(root, "dir"), 0o755); err != nil {
		t.Fatal(err)
	}
	wantCode(t, openError(t, store, "file://"+root+"/dir"), job.InputDisallowed)
	wantCode(t, openError(t, store, "file://"+root+"/missing.mp4"), job.InputNotFound)
	write(t, filepath.Join(root, "empty.mp4"), nil)
	wantCode(t, openError(t, store, "file://"+root+"/empty.mp4"), job.InputEmpty)
}

func TestChangedFileSourceIsNoticed(t *testing.T) {
	store, root := withRoots(t)
	path := filepath.Join(root, "a.mp4")
	for name, change := range map[string]func() error{
		"shorter": func() error { return os.Truncate(path, 10) },
		"longer":  func() error { return os.Truncate(path, 2000) },
		"touched": func() error { return os.Chtimes(path, time.Time{}, time.Unix(1, 0)) },
	} {
		t.Run(name, func(t *testing.T) {
			write(t, path, noise(1000))
			source := open(t, store, "file://"+path)
			if err := change(); err != nil {
				t.Fatal(err)
			}
			_, err := readAll(t.Context(), source)
			wantCode(t, err, job.InputChanged)
		})
	}
}

// exercise runs an output through everything that it promises.
func exercise(t *testing.T, out *Output) {
	t.Helper()
	ctx := t.Context()
	if err := out.Check(ctx); err != nil {
		t.Fatal(err)
	}
	if names := listNames(t, out, ""); len(names) != 0 {
		t.Errorf("after Check there is %v", names)
	}
	first, err := out.Put(ctx, "720p/00001.m4s", "video/iso.segment", noise(5000))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "second")
	write(t, path, noise(7000))
	second, err := out.PutFile(ctx, "720p/00002.m4s", "video/iso.segment", path)
	if err != nil {
		t.Fatal(err)
	}
	third, err := out.Put(ctx, "video.m3u8", "application/vnd.apple.mpegurl", []byte("#EXTM3U\n"))
	if err != nil {
		t.Fatal(err)
	}
	if first.Size != 5000 || second.Size != 7000 || len(first.SHA256) != 64 || second.Name != "720p/00002.m4s" {
		t.Errorf("objects %+v, %+v", first, second)
	}
	if names := listNames(t, out, ""); !slices.Equal(names, []string{"720p/00001.m4s", "720p/00002.m4s", "video.m3u8"}) {
		t.Errorf("there is %v", names)
	}
	if names := listNames(t, out, "720p/"); !slices.Equal(names, []string{"720p/00001.m4s", "720p/00002.m4s"}) {
		t.Errorf("under 720p/ there is %v", names)
	}
	verify(t, out, []job.Object{first, second, third})
	verify(t, out, []job.Object{first, {Name: "720p/00003.m4s", Size: 1, SHA256: first.SHA256}}, "720p/00003.m4s")

	overwritten, err := out.Put(ctx, "720p/00001.m4s", "video/iso.segment", noise(5001)[1:])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := out.Put(ctx, "720p/00002.m4s", "video/iso.segment", noise(6999)); err != nil {
		t.Fatal(err)
	}
	verify(t, out, []job.Object{first, second, third}, "720p/00001.m4s", "720p/00002.m4s")
	verify(t, out, []job.Object{overwritten})
	overwritten.ETag = "another name for the same bytes"
	verify(t, out, []job.Object{overwritten})

	body, err := out.Get(ctx, "video.m3u8")
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(body)
	if err != nil || body.Close() != nil || string(text) != "#EXTM3U\n" {
		t.Errorf("got %q, %v", text, err)
	}
	_, err = out.Get(ctx, "missing")
	wantCode(t, err, job.OutputVerification)

	for range 2 {
		if err := out.Delete(ctx, "video.m3u8", "never/there"); err != nil {
			t.Fatal(err)
		}
		if err := out.DeletePrefix(ctx, "720p/"); err != nil {
			t.Fatal(err)
		}
		if err := out.AbortUploads(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := out.Put(ctx, "a/b/c", "", nil); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := out.DeletePrefix(ctx, ""); err != nil {
			t.Fatal(err)
		}
	}
	if names := listNames(t, out, ""); len(names) != 0 {
		t.Errorf("at the end there is %v", names)
	}
	for _, name := range []string{"", "/a", "a/", "../a", "a/../../b", "a//b", "a\\b", "a\x00b", "a\nb", ".", strings.Repeat("a", 600)} {
		if _, err := out.Put(ctx, name, "", nil); err == nil {
			t.Errorf("%q is taken as a name", name)
		}
	}
}

func listNames(t *testing.T, out *Output, prefix string) []string {
	t.Helper()
	var names []string
	for object, err := range out.List(t.Context(), prefix) {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, object.Name)
	}
	slices.Sort(names)
	return names
}

// verify wants Verify to find exactly these objects bad.
func verify(t *testing.T, out *Output, objects []job.Object, want ...string) {
	t.Helper()
	bad, err := out.Verify(t.Context(), objects)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, object := range bad {
		names = append(names, object.Name)
		if object.Reason == "" {
			t.Errorf("%s is bad for no reason", object.Name)
		}
	}
	if !slices.Equal(names, want) {
		t.Errorf("bad are %v, want %v", bad, want)
	}
}

func TestFolderOutputKeepsItsPromises(t *testing.T) {
	store, root := withRoots(t)
	out := output(t, store, "file://"+root+"/jobs/a%20b/")
	exercise(t, out)
	if url := out.URL("720p/init.mp4"); url != "file://"+root+"/jobs/a%20b/720p/init.mp4" {
		t.Errorf("URL %s", url)
	}
	if entries, _ := os.ReadDir(filepath.Join(root, "jobs")); len(entries) != 0 {
		t.Errorf("left over: %v", entries)
	}
}

func TestFolderOutputIsWrittenOnlyUnderItsRoot(t *testing.T) {
	store, root := withRoots(t)
	outside := t.TempDir()
	for name, target := range map[string]string{"out": outside, "up": "../..", "in": "real"} {
		if err := os.Symlink(target, filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(root, "real", "deep"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(root, "real", "720p")); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"out", "out/x", "up/x", "in", "in/deep"} {
		out := output(t, store, "file://"+root+"/"+path)
		wantCode(t, out.Check(t.Context()), job.OutputDisallowed)
		_, err := out.Put(t.Context(), "a", "", []byte("x"))
		wantCode(t, err, job.OutputDisallowed)
		wantCode(t, out.Delete(t.Context(), "a"), job.OutputDisallowed)
	}
	_, err := output(t, store, "file://"+root+"/real").Put(t.Context(), "720p/a", "", []byte("x"))
	wantCode(t, err, job.OutputDisallowed)
	if entries, _ := os.ReadDir(outside); len(entries) != 0 {
		t.Errorf("written outside: %v", entries)
	}
	l, err := ParseOutput("file://" + outside + "/x")
	if err != nil {
		t.Fatal(err)
	}
	_, err = store.OpenOutput(t.Context(), l)
	wantCode(t, err, job.OutputDisallowed)
}

func TestFolderOutputSweepsWhatACrashLeft(t *testing.T) {
	store, root := withRoots(t)
	out := output(t, store, "file://"+root+"/job")
	left := filepath.Join(root, "job", "720p", tempPrefix+"0123"+tempSuffix)
	write(t, left, noise(10))
	if names := listNames(t, out, ""); len(names) != 0 {
		t.Errorf("a temporary file is listed: %v", names)
	}
	if err := out.AbortUploads(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(left); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("still there: %v", err)
	}
}

func TestMissingOutputRootIsNamed(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "unmounted")
	store := newStore(t, func(c *Config) { c.OutputRoots = []string{missing} })
	wantCode(t, output(t, store, "file://"+missing+"/job").Check(t.Context()), job.OutputBucketNotFound)
	if _, err := os.Stat(missing); err == nil {
		t.Error("the root was made")
	}
}

func TestFullDiskIsNamed(t *testing.T) {
	root := smallDisk(t)
	store := newStore(t, func(c *Config) { c.OutputRoots = []string{root} })
	out := output(t, store, "file://"+root+"/job")
	_, err := out.Put(t.Context(), "a", "", noise(4<<20))
	wantCode(t, err, job.OutputUnreachable)
	if names := listNames(t, out, ""); len(names) != 0 {
		t.Errorf("left over: %v", names)
	}
}

// smallDisk mounts a disk of 1 MiB, for which the test must run as root.
func smallDisk(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	if err := syscall.Mount("tmpfs", root, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("a small disk can't be mounted here: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(root, syscall.MNT_DETACH) })
	return root
}

func TestFullCacheDiskIsNamed(t *testing.T) {
	dir := smallDisk(t)
	store := newStore(t, func(c *Config) { c.CacheDir = dir })
	for name, handler := range servers(noise(4 << 20)) {
		t.Run(name, func(t *testing.T) {
			source, err := store.OpenSource(t.Context(), input(t, serve(t, handler)))
			if err == nil {
				defer source.Close() //nolint:errcheck // read only
				_, err = readAll(t.Context(), source)
			}
			wantCode(t, err, job.WorkerDiskFull)
		})
	}
}
