package storage

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
)

// cache keeps pieces of sources (blocks, or whole downloads) as files on local
// disk, least recently used out first. A piece is made once however many ask
// for it at the same time, and it isn't removed while somebody holds it.
//
// A piece is made by a goroutine of the cache, not of the first who asked, so
// that a caller who leaves doesn't take it from the others; when the last one
// has left, the making is cancelled.
type cache struct {
	dir   string
	limit int64 // bytes

	ctx    context.Context // ends with the cache
	cancel context.CancelFunc
	makers sync.WaitGroup

	mu     sync.Mutex
	pieces map[string]*piece
	recent *list.List // of ready pieces, most recently used in front
	used   int64      // bytes of ready pieces
	serial int64      // for file names
	closed bool
}

// piece is one file of the cache. Its fields are guarded by cache.mu, except
// that made doesn't change once ready is closed.
type piece struct {
	key     string
	path    string
	made    made
	holders int // who hold it or wait for it
	ready   chan struct{}
	err     error // set before ready is closed
	stop    context.CancelFunc
	element *list.Element // in recent, nil until ready
}

// made is what the maker of a piece says of it.
type made struct {
	size int64
	hash string // SHA-256 of a whole download, hex
	// brief marks a piece that is good for those who hold it at the same time
	// and is removed once nobody does: the source gave nothing by which to
	// tell later whether it changed.
	brief bool
}

// makePiece writes a piece to the file at path. It runs on a goroutine of the
// cache; ctx ends when nobody wants the piece any more.
type makePiece func(ctx context.Context, path string) (made, error)

var errCacheClosed = errors.New("storage: the store is closed")

// newCache empties dir: what a process before left can't be trusted to be whole.
func newCache(dir string, limit int64) (*cache, error) {
	if err := os.RemoveAll(dir); err != nil {
		return nil, fmt.Errorf("empty the source cache: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the source cache: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	return &cache{
		dir: dir, limit: limit, ctx: ctx, cancel: cancel,
		pieces: map[string]*piece{}, recent: list.New(),
	}, nil
}

// acquire gives the piece of that key, made by create if it isn't there. The
// caller must release it.
func (c *cache) acquire(ctx context.Context, key string, create makePiece) (*piece, error) {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil, errCacheClosed
	}
	p, found := c.pieces[key]
	if !found {
		p = c.begin(key, create)
	}
	p.holders++
	if p.element != nil {
		c.recent.MoveToFront(p.element)
	}
	c.mu.Unlock()

	select {
	case <-p.ready:
	case <-ctx.Done():
		c.release(p)
		return nil, context.Cause(ctx)
	}
	if p.err != nil {
		c.release(p)
		return nil, p.err
	}
	return p, nil
}

// has says whether the piece is there or being made.
func (c *cache) has(key string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, found := c.pieces[key]
	return found
}

// begin starts making a piece. Call it with mu held.
func (c *cache) begin(key string, create makePiece) *piece {
	c.serial++
	ctx, stop := context.WithCancel(c.ctx)
	p := &piece{
		key: key, stop: stop, ready: make(chan struct{}),
		path: filepath.Join(c.dir, strconv.FormatInt(c.serial, 36)),
	}
	c.pieces[key] = p
	c.makers.Add(1)
	go func() {
		defer c.makers.Done()
		defer stop()
		result, err := create(ctx, p.path)
		c.finish(p, result, err)
	}()
	return p
}

// finish makes the piece known to those who wait, or tells them why not.
func (c *cache) finish(p *piece, result made, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p.made, p.err = result, err
	if err != nil || c.pieces[p.key] != p {
		// Failed, or everybody left meanwhile.
		if c.pieces[p.key] == p {
			delete(c.pieces, p.key)
		}
		_ = os.Remove(p.path)
	} else {
		p.element = c.recent.PushFront(p)
		c.used += result.size
		c.shrink()
	}
	close(p.ready)
}

// release gives the piece back. If it is still being made and nobody else
// waits, its making is cancelled and forgotten.
func (c *cache) release(p *piece) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p.holders--
	if p.holders > 0 {
		return
	}
	if p.element == nil {
		p.stop()
		if c.pieces[p.key] == p {
			delete(c.pieces, p.key)
		}
		return
	}
	if p.made.brief {
		c.drop(p)
	}
	c.shrink()
}

// shrink removes the least recently used pieces that nobody holds until the
// rest fits. Call it with mu held.
func (c *cache) shrink() {
	for element := c.recent.Back(); element != nil && c.used > c.limit; {
		p := element.Value.(*piece)
		element = element.Prev()
		if p.holders == 0 {
			c.drop(p)
		}
	}
}

// drop removes a ready piece. Call it with mu held.
func (c *cache) drop(p *piece) {
	c.recent.Remove(p.element)
	p.element = nil
	c.used -= p.made.size
	if c.pieces[p.key] == p {
		delete(c.pieces, p.key)
	}
	_ = os.Remove(p.path)
}

func (c *cache) close() error {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.cancel()
	c.makers.Wait()
	return os.RemoveAll(c.dir)
}
