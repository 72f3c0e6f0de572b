package storage

import (
	"context"
	"errors"
	"io"

	"millrace/job"
)

// Source is an input video's bytes at random offsets. It is safe for
// concurrent use. Every error that isn't io.EOF or the end of a context holds
// a *job.Failure.
type Source struct {
	name     string
	identity string
	size     int64
	reader   rangeReader
}

// rangeReader reads a source of known size. readAt fills p, which lies within
// the source and isn't empty, or says why not.
type rangeReader interface {
	readAt(ctx context.Context, p []byte, off int64) error
	close() error
}

// OpenSource opens what l names and finds its size and identity, for which it
// may have to download all of it. The error holds a *job.Failure unless ctx ended.
func (s *Store) OpenSource(ctx context.Context, l Location) (*Source, error) {
	switch l.Scheme {
	case HTTP, HTTPS:
		return s.openRemote(ctx, l.Redacted(), &webOrigin{store: s, url: l.URL, name: l.Redacted()})
	case S3:
		client, err := s.s3.client(ctx, l)
		if err != nil {
			return nil, plain(inputSide.transport(ctx, l.Redacted(), err))
		}
		return s.openRemote(ctx, l.Redacted(), &s3Origin{client: client, location: l, name: l.Redacted()})
	case File:
		return s.openFile(l)
	}
	return nil, job.Fail(job.InputDisallowed, "The source's scheme %q is not one that is read.", string(l.Scheme))
}

// Name is the source's URL without its secrets.
func (s *Source) Name() string { return s.name }

// Size is the source's length in bytes, more than 0.
func (s *Source) Size() int64 { return s.size }

// Identity changes when the source's bytes do, and is the same on every node:
// the server's ETag or modification time with the size; of files the
// modification time, size and inode; of servers that say nothing the SHA-256.
func (s *Source) Identity() string { return s.identity }

// ReadAt is io.ReaderAt without a way to stop it; use ReadAtContext.
func (s *Source) ReadAt(p []byte, off int64) (int, error) {
	return s.ReadAtContext(context.Background(), p, off)
}

// ReadAtContext reads len(p) bytes from off. Like io.ReaderAt it gives fewer
// only with an error, which is io.EOF at the source's end.
func (s *Source) ReadAtContext(ctx context.Context, p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, errors.New("storage: read a source at a negative offset")
	}
	if off >= s.size {
		return 0, io.EOF
	}
	short := int64(len(p)) > s.size-off
	if short {
		p = p[:s.size-off]
	}
	if len(p) > 0 {
		if err := s.reader.readAt(ctx, p, off); err != nil {
			return 0, err
		}
	}
	if short {
		return len(p), io.EOF
	}
	return len(p), nil
}

// Close gives up what the Source holds of the cache and waits for its
// readahead. Reads must have returned.
func (s *Source) Close() error { return s.reader.close() }
