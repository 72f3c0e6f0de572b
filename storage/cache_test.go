package storage

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"testing"

	"millrace/job"
)

func newTestCache(t *testing.T, limit int64) *cache {
	t.Helper()
	c, err := newCache(t.TempDir()+"/sources", limit)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.close() })
	return c
}

// fill makes a piece of n bytes.
func fill(n int64) makePiece {
	return func(_ context.Context, path string) (made, error) {
		return made{size: n}, os.WriteFile(path, make([]byte, n), 0o600)
	}
}

func hold(t *testing.T, c *cache, key string, create makePiece) *piece {
	t.Helper()
	p, err := c.acquire(t.Context(), key, create)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestCacheDropsTheLeastRecentlyUsedButNothingThatIsHeld(t *testing.T) {
	c := newTestCache(t, 30)
	held := hold(t, c, "0", fill(10))
	for i := 1; i <= 5; i++ {
		c.release(hold(t, c, fmt.Sprint(i), fill(10)))
	}
	for key, want := range map[string]bool{"0": true, "1": false, "2": false, "3": false, "4": true, "5": true} {
		if c.has(key) != want {
			t.Errorf("piece %s: in the cache is %v", key, !want)
		}
	}
	if _, err := os.Stat(held.path); err != nil {
		t.Errorf("the held piece: %v", err)
	}
	c.release(held)
	if entries, _ := os.ReadDir(c.dir); len(entries) != 3 || c.used != 30 {
		t.Errorf("%d files, %d bytes", len(entries), c.used)
	}
}

func TestCacheExceedsItsLimitOnlyByWhatIsHeld(t *testing.T) {
	c := newTestCache(t, 5)
	first, second := hold(t, c, "1", fill(10)), hold(t, c, "2", fill(10))
	c.release(first)
	c.release(second)
	if c.used != 0 || c.has("1") || c.has("2") {
		t.Errorf("%d bytes are left", c.used)
	}
}

func TestCallerWhoLeavesDoesNotTakeThePieceFromOthers(t *testing.T) {
	c := newTestCache(t, 100)
	begun, goOn := make(chan struct{}), make(chan struct{})
	var times atomic.Int64
	create := func(ctx context.Context, path string) (made, error) {
		times.Add(1)
		close(begun)
		select {
		case <-goOn:
			return fill(10)(ctx, path)
		case <-ctx.Done():
			return made{}, ctx.Err()
		}
	}
	leaving, leave := context.WithCancel(t.Context())
	left := make(chan error)
	go func() {
		_, err := c.acquire(leaving, "1", create)
		left <- err
	}()
	<-begun
	stays := make(chan error)
	go func() {
		p, err := c.acquire(t.Context(), "1", create)
		if err == nil {
			c.release(p)
		}
		stays <- err
	}()
	for waiting := 0; waiting < 2; { // until both wait
		c.mu.Lock()
		waiting = c.pieces["1"].holders
		c.mu.Unlock()
	}
	leave()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("who left got %v", err)
	}
	close(goOn)
	if err := <-stays; err != nil || times.Load() != 1 {
		t.Errorf("who stayed got %v; made %d times", err, times.Load())
	}
}

func TestMakingStopsWhenNobodyWaits(t *testing.T) {
	c := newTestCache(t, 100)
	begun, stopped := make(chan struct{}), make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-begun
		cancel()
	}()
	_, err := c.acquire(ctx, "1", func(ctx context.Context, _ string) (made, error) {
		close(begun)
		<-ctx.Done()
		close(stopped)
		return made{}, ctx.Err()
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	<-stopped
	c.release(hold(t, c, "1", fill(10))) // the next one starts afresh
}

func TestFailedPieceIsTriedAgainByTheNext(t *testing.T) {
	c := newTestCache(t, 100)
	_, err := c.acquire(t.Context(), "1", func(context.Context, string) (made, error) {
		return made{}, job.Fail(job.InputUnreachable, "Gone.")
	})
	wantCode(t, err, job.InputUnreachable)
	c.release(hold(t, c, "1", fill(10)))
}

func TestStoreEmptiesItsCache(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/sources/stale", noise(10))
	write(t, dir+"/other", noise(10))
	store, err := New(Config{CacheDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if entries, _ := os.ReadDir(dir + "/sources"); len(entries) != 0 {
		t.Errorf("left over: %v", entries)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("in the folder is %v", entries)
	}
	if _, err := store.cache.acquire(t.Context(), "1", fill(1)); err == nil {
		t.Error("a closed store still caches")
	}
}
