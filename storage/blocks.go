package storage

import (
	"context"
	"io"
	"os"
	"strconv"
	"sync"

	"millrace/job"
)

// readahead is how many blocks are fetched ahead of a sequential reader. Two
// keep one request in flight while a block is consumed, also when ffmpeg reads
// faster than one round trip.
const readahead = 2

// blockReader reads a remote object through the node's cache.
type blockReader struct {
	remote *remote
	key    string // of the object's version; blocks append their number
	block  int64  // bytes of a block

	ctx    context.Context // of the readahead; ends with the reader
	cancel context.CancelFunc
	ahead  sync.WaitGroup

	mu     sync.Mutex
	last   int64          // block read last
	coming map[int64]bool // blocks that the readahead fetches now
	closed bool
}

// openBlocks makes a Source of the object, whose first bytes are in got.
func (r *remote) openBlocks(ctx context.Context, got *answer) (*Source, error) {
	b := &blockReader{
		remote: r, block: r.store.config.BlockBytes, coming: map[int64]bool{}, last: -1,
		key: hashKey("block", r.origin.cacheKey(), r.identity(r.size)),
	}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	// Another reader may already have the first block; then got's body is dropped.
	held, err := r.store.cache.acquire(ctx, b.blockKey(0), func(ctx context.Context, path string) (made, error) {
		p := make([]byte, b.blockSize(0))
		n, _ := io.ReadFull(got.body, p[:min(got.length, int64(len(p)))])
		if n < len(p) {
			if err := r.fetch(ctx, int64(n), p[n:]); err != nil {
				return made{}, err
			}
		}
		return r.keep(path, p)
	})
	if err != nil {
		b.cancel()
		return nil, err
	}
	r.store.cache.release(held)
	return &Source{name: r.name, identity: r.identity(r.size), size: r.size, reader: b}, nil
}

// keep writes a block to its file.
func (r *remote) keep(path string, p []byte) (made, error) {
	if err := os.WriteFile(path, p, 0o600); err != nil {
		return made{}, localFailure(r.name, err)
	}
	return made{size: int64(len(p))}, nil
}

func (b *blockReader) blockKey(index int64) string {
	return b.key + "/" + strconv.FormatInt(index, 10)
}

// blockSize is the bytes of a block: the last has what is left.
func (b *blockReader) blockSize(index int64) int64 {
	return min(b.block, b.remote.size-index*b.block)
}

func (b *blockReader) readAt(ctx context.Context, p []byte, off int64) error {
	for len(p) > 0 {
		index := off / b.block
		within := off - index*b.block
		n := min(int64(len(p)), b.blockSize(index)-within)
		b.lookAhead(index)
		if err := b.readBlock(ctx, p[:n], index, within); err != nil {
			return err
		}
		p, off = p[n:], off+n
	}
	return nil
}

func (b *blockReader) readBlock(ctx context.Context, p []byte, index, within int64) error {
	held, err := b.acquire(ctx, index)
	if err != nil {
		return err
	}
	defer b.remote.store.cache.release(held)
	file, err := os.Open(held.path)
	if err == nil {
		_, err = file.ReadAt(p, within)
		_ = file.Close()
	}
	if err != nil {
		return job.Fail(job.InternalError, "Read a block of %s from the node's source cache: %s.", b.remote.name, printable(err.Error()))
	}
	return nil
}

func (b *blockReader) acquire(ctx context.Context, index int64) (*piece, error) {
	return b.remote.store.cache.acquire(ctx, b.blockKey(index), func(ctx context.Context, path string) (made, error) {
		p := make([]byte, b.blockSize(index))
		if err := b.remote.fetch(ctx, index*b.block, p); err != nil {
			return made{}, err
		}
		return b.remote.keep(path, p)
	})
}

// lookAhead fetches the next blocks when index follows the block before it. A
// block that fails ahead of time fails again, and is reported, when it's read.
func (b *blockReader) lookAhead(index int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	sequential := index == b.last+1
	if index == b.last || b.closed {
		return
	}
	b.last = index
	if !sequential {
		return
	}
	for next := index + 1; next <= index+readahead && next*b.block < b.remote.size; next++ {
		if b.coming[next] || b.remote.store.cache.has(b.blockKey(next)) {
			continue
		}
		b.coming[next] = true
		b.ahead.Add(1)
		go func() {
			defer b.ahead.Done()
			if held, err := b.acquire(b.ctx, next); err == nil {
				b.remote.store.cache.release(held)
			}
			b.mu.Lock()
			delete(b.coming, next)
			b.mu.Unlock()
		}()
	}
}

func (b *blockReader) close() error {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	b.cancel()
	b.ahead.Wait()
	return nil
}
