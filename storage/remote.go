package storage

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"millrace/job"
)

// openRemote asks for the first block. The answer says whether the server has
// ranges, how large the object is and which version of it; and the first block
// is what ffmpeg reads first.
func (s *Store) openRemote(ctx context.Context, name string, from origin) (*Source, error) {
	var source *Source
	err := s.config.Retry.run(ctx, s.log, func(ctx context.Context) error {
		watched, watch := s.startWatch(ctx)
		defer watch.stop()
		got, err := from.get(watched, 0, s.config.BlockBytes-1, version{})
		if err == nil && got.ranged && got.total < 0 {
			// The server cuts ranges, but doesn't know of what.
			_ = got.body.Close()
			err = errRangeRefused
		}
		if errors.Is(err, errRangeRefused) {
			got, err = from.get(watched, 0, -1, version{})
		}
		if err != nil {
			return err
		}
		defer got.body.Close()
		switch {
		case got.total == 0:
			return job.Fail(job.InputEmpty, "%s has no bytes.", name)
		case got.total > s.config.MaxSourceBytes:
			return tooLarge(name, s.config.MaxSourceBytes)
		}
		got.body = readCloser{watch.count(got.body), got.body}
		r := &remote{store: s, origin: from, name: name, version: got.version, size: got.total}
		if got.ranged {
			source, err = r.openBlocks(ctx, got)
		} else {
			source, err = r.openWhole(ctx, got)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return source, nil
}

func tooLarge(name string, limit int64) error {
	return job.Fail(job.InputTooLarge, "%s has more than %d bytes.", name, limit)
}

type readCloser struct {
	io.Reader
	io.Closer
}

// remote is one version of an object at an origin.
type remote struct {
	store  *Store
	origin origin
	name   string
	version
	size int64
}

// hashKey makes a cache key of fixed length, since URLs are long and secret.
func hashKey(parts ...string) string {
	hash := sha256.New()
	for _, part := range parts {
		_, _ = fmt.Fprintf(hash, "%d:%s", len(part), part)
	}
	return hex.EncodeToString(hash.Sum(nil))
}

// fetch fills p with the bytes from off, retrying from where it stopped.
func (r *remote) fetch(ctx context.Context, off int64, p []byte) error {
	done := 0
	return r.store.config.Retry.run(ctx, r.store.log, func(ctx context.Context) error {
		for done < len(p) {
			n, err := r.fetchOnce(ctx, off+int64(done), p[done:])
			done += n
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// fetchOnce reads what one response brings, at least a byte without error.
func (r *remote) fetchOnce(ctx context.Context, off int64, p []byte) (int, error) {
	watched, watch := r.store.startWatch(ctx)
	defer watch.stop()
	got, err := r.origin.get(watched, off, off+int64(len(p))-1, r.version)
	if err != nil {
		return 0, err
	}
	defer got.body.Close()
	if how := got.differs(r.version, r.size); how != "" {
		return 0, changed(r.name, how)
	}
	if !got.ranged {
		if r.strongTag() {
			return 0, changed(r.name, "the server sent all of it instead of the asked range")
		}
		return 0, &transient{failure: job.Fail(job.InputUnreachable, "%s: the server no longer sends ranges.", r.name)}
	}
	n, err := io.ReadFull(watch.count(got.body), p[:min(got.length, int64(len(p)))])
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return n, inputSide.transport(watched, r.name, err)
}

// openWhole downloads the object from the answer on.
func (r *remote) openWhole(ctx context.Context, got *answer) (*Source, error) {
	validator := r.identity(r.size)
	first := got
	held, err := r.store.cache.acquire(ctx, hashKey("whole", r.origin.cacheKey(), validator), func(ctx context.Context, path string) (made, error) {
		var result made
		err := r.store.config.Retry.run(ctx, r.store.log, func(ctx context.Context) error {
			var err error
			result, err = r.download(ctx, path, first)
			first = nil // a second try needs a new answer
			return err
		})
		result.brief = r.etag == "" && r.modified == ""
		return result, err
	})
	if err != nil {
		return nil, err
	}
	file, err := os.Open(held.path)
	if err != nil {
		r.store.cache.release(held)
		return nil, job.Fail(job.InternalError, "Open the downloaded copy of %s: %s.", r.name, printable(err.Error()))
	}
	identity := r.identity(held.made.size)
	if held.made.brief {
		identity = "sha256 " + held.made.hash
	}
	whole := &wholeReader{file: file, name: r.name, release: func() { r.store.cache.release(held) }}
	return &Source{name: r.name, identity: identity, size: held.made.size, reader: whole}, nil
}

// download writes the whole object to a file: from got, or a new answer if nil.
func (r *remote) download(ctx context.Context, path string, got *answer) (made, error) {
	watched := ctx
	if got == nil {
		var watch *watch
		watched, watch = r.store.startWatch(ctx)
		defer watch.stop()
		var err error
		if got, err = r.origin.get(watched, 0, -1, version{}); err != nil {
			return made{}, err
		}
		defer got.body.Close()
		got.body = readCloser{watch.count(got.body), got.body}
		if how := got.differs(r.version, got.total); how != "" {
			return made{}, changed(r.name, how)
		}
	}
	file, err := os.Create(path)
	if err != nil {
		return made{}, localFailure(r.name, err)
	}
	defer file.Close() //nolint:errcheck // closed and checked below
	hash := sha256.New()
	buffered := bufio.NewWriterSize(io.MultiWriter(file, hash), 256<<10)
	n, err := io.Copy(buffered, io.LimitReader(got.body, r.store.config.MaxSourceBytes+1))
	if err == nil {
		err = buffered.Flush()
	}
	if err == nil {
		err = file.Close()
	}
	switch {
	case err != nil && isLocal(err):
		return made{}, localFailure(r.name, err)
	case err != nil:
		return made{}, inputSide.transport(watched, r.name, err)
	case n == 0:
		return made{}, job.Fail(job.InputEmpty, "%s has no bytes.", r.name)
	case n > r.store.config.MaxSourceBytes:
		return made{}, tooLarge(r.name, r.store.config.MaxSourceBytes)
	}
	return made{size: n, hash: hex.EncodeToString(hash.Sum(nil))}, nil
}

// isLocal says whether the error is of this node's disk.
func isLocal(err error) bool {
	var path *os.PathError
	return errors.As(err, &path) || errors.Is(err, syscall.ENOSPC)
}

// localFailure is a failure of this node's cache.
func localFailure(name string, err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return job.Fail(job.WorkerDiskFull, "The node's source cache has no room for %s.", name)
	}
	return job.Fail(job.InternalError, "Write %s to the node's source cache: %s.", name, printable(err.Error()))
}

// wholeReader reads a download, which stays in the cache while it is open.
type wholeReader struct {
	file    *os.File
	name    string
	release func()
}

func (w *wholeReader) readAt(ctx context.Context, p []byte, off int64) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if _, err := w.file.ReadAt(p, off); err != nil {
		return job.Fail(job.InternalError, "Read the downloaded copy of %s: %s.", w.name, printable(err.Error()))
	}
	return nil
}

func (w *wholeReader) close() error {
	err := w.file.Close()
	w.release()
	return err
}
