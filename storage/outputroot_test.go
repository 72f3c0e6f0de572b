package storage

import (
	"os"
	"path/filepath"
	"testing"
)

func TestAnOutputRootIsItselfAnOutput(t *testing.T) {
	root := t.TempDir()
	store, err := New(Config{OutputRoots: []string{root}, CacheDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	location, err := ParseOutput("file://" + root)
	if err != nil {
		t.Fatal(err)
	}
	output, err := store.OpenOutput(t.Context(), location)
	if err != nil {
		t.Fatal(err)
	}
	if err := output.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := output.Put(t.Context(), "720p/00001.m4s", "video/iso.segment", []byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(root, "720p", "00001.m4s")); err != nil {
		t.Error(err)
	}
	var names []string
	for object, err := range output.List(t.Context(), "720p/") {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, object.Name)
	}
	if len(names) != 1 || names[0] != "720p/00001.m4s" {
		t.Errorf("it lists %v", names)
	}
	if err := output.Delete(t.Context(), "720p/00001.m4s"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(root); err != nil {
		t.Errorf("the root went with its last object: %v", err)
	}
	if err := output.AbortUploads(t.Context()); err != nil {
		t.Error(err)
	}
}
