package storage

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/sync/errgroup"

	"millrace/job"
)

// Output is a place that a job's objects are written to: a prefix in a bucket
// or a folder. It needs no closing and is safe for concurrent use. Every error
// that isn't the end of a context holds a *job.Failure.
//
// Names are of objects under the output path: elements joined by slashes, such
// as "720p/00001.m4s".
type Output struct {
	store *Store
	name  string // redacted
	at    outputStore
}

// outputStore is what an Output needs of S3 or a file system. Names are
// checked; errors are failures; what may pass has been retried.
type outputStore interface {
	put(ctx context.Context, name, contentType string, body io.ReaderAt, size int64) (etag string, err error)
	get(ctx context.Context, name string) (io.ReadCloser, error)
	list(ctx context.Context, prefix string) iter.Seq2[job.Object, error]
	delete(ctx context.Context, name string) error
	removeBase() error // if it's empty
	abort(ctx context.Context) error
	url(name string) string
}

// OpenOutput makes an Output. It connects to nothing but, where the peer's AWS
// credentials chain is needed, that; Check says whether the place can be
// written to.
func (s *Store) OpenOutput(ctx context.Context, l Location) (*Output, error) {
	name := l.Redacted()
	switch l.Scheme {
	case S3:
		client, err := s.s3.client(ctx, l)
		if err != nil {
			return nil, plain(outputSide.transport(ctx, name, err))
		}
		return &Output{store: s, name: name, at: &bucketOutput{store: s, client: client, location: l, name: name}}, nil
	case File:
		root, rest, found := underRoot(s.config.OutputRoots, l.Path)
		if !found && slices.Contains(s.config.OutputRoots, l.Path) {
			root, rest, found = l.Path, ".", true
		}
		if !found {
			return nil, job.Fail(job.OutputDisallowed, "%s is not under an output root.", name)
		}
		return &Output{store: s, name: name, at: &folderOutput{root: root, base: rest, name: name, log: s.log}}, nil
	}
	return nil, job.Fail(job.OutputDisallowed, "The output's scheme %q is not one that is written to.", string(l.Scheme))
}

// Name is the output path without its secrets.
func (o *Output) Name() string { return o.name }

// URL is where an object of that name lies, without secrets. It doesn't say
// that the object is there.
func (o *Output) URL(name string) string { return o.at.url(name) }

// Put writes body as name, over what is there. When it returns nil the object
// is durable and whole.
func (o *Output) Put(ctx context.Context, name, contentType string, body []byte) (job.Object, error) {
	sum := sha256.Sum256(body)
	return o.write(ctx, name, contentType, bytes.NewReader(body), int64(len(body)), sum[:])
}

// PutFile writes the file at path as name, like Put. The file must not change
// meanwhile. To S3 a large one goes in parts; on failure none is left there.
func (o *Output) PutFile(ctx context.Context, name, contentType, path string) (job.Object, error) {
	file, err := os.Open(path)
	if err != nil {
		return job.Object{}, job.Fail(job.InternalError, "Open %q to upload it: %s.", name, errnoText(err))
	}
	defer file.Close() //nolint:errcheck // read only
	hash := sha256.New()
	size, err := io.Copy(hash, contextReader{ctx, file})
	if ctx.Err() != nil {
		return job.Object{}, context.Cause(ctx)
	}
	if err != nil {
		return job.Object{}, job.Fail(job.InternalError, "Read %q to upload it: %s.", name, errnoText(err))
	}
	return o.write(ctx, name, contentType, file, size, hash.Sum(nil))
}

func (o *Output) write(ctx context.Context, name, contentType string, body io.ReaderAt, size int64, sum []byte) (job.Object, error) {
	if err := checkName(name); err != nil {
		return job.Object{}, err
	}
	etag, err := o.at.put(ctx, name, contentType, body, size)
	if err != nil {
		return job.Object{}, fmt.Errorf("write %s: %w", name, err)
	}
	return job.Object{Name: name, Size: size, SHA256: hex.EncodeToString(sum), ETag: etag}, nil
}

// Get opens an object. One that isn't there is a job.OutputVerification
// failure. An error while reading holds a *job.Failure too. Close it.
func (o *Output) Get(ctx context.Context, name string) (io.ReadCloser, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	return o.at.get(ctx, name)
}

// List gives the objects whose names start with prefix ("" for all), in no
// promised order, with name, size and ETag (no SHA256). It ends at the first error.
func (o *Output) List(ctx context.Context, prefix string) iter.Seq2[job.Object, error] {
	if prefix != "" {
		if err := checkName(strings.TrimSuffix(prefix, "/")); err != nil {
			return func(yield func(job.Object, error) bool) { yield(job.Object{}, err) }
		}
	}
	return o.at.list(ctx, prefix)
}

// deletesAtOnce is how many objects are deleted in parallel: single deletes are
// slow, and the request for many at once isn't understood by every store.
const deletesAtOnce = 8

// Delete removes objects. Ones that aren't there are no error.
func (o *Output) Delete(ctx context.Context, names ...string) error {
	for _, name := range names {
		if err := checkName(name); err != nil {
			return err
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(deletesAtOnce)
	for _, name := range names {
		group.Go(func() error { return o.at.delete(ctx, name) })
	}
	return group.Wait()
}

// DeletePrefix removes every object whose name starts with prefix, "" for
// everything under the output path, whoever wrote it. Folders that it empties
// go too, with "" also the output path itself.
func (o *Output) DeletePrefix(ctx context.Context, prefix string) error {
	var names []string
	for object, err := range o.List(ctx, prefix) {
		if err != nil {
			return err
		}
		names = append(names, object.Name)
	}
	if err := o.Delete(ctx, names...); err != nil || prefix != "" {
		return err
	}
	return o.at.removeBase()
}

// AbortUploads removes what uploads that never ended left under the output
// path: parts in S3, temporary files in a folder. Call it when no task of the
// job runs any more.
func (o *Output) AbortUploads(ctx context.Context) error { return o.at.abort(ctx) }

// probeName is the object that Check writes. It is always the same, so that at
// most one is left where deleting is forbidden.
const probeName = ".millrace-check"

// Check finds out, by writing and removing a small object, whether the output
// can be written to.
func (o *Output) Check(ctx context.Context) error {
	if _, err := o.at.put(ctx, probeName, "text/plain", strings.NewReader("millrace\n"), 9); err != nil {
		return fmt.Errorf("check the output: %w", err)
	}
	if err := o.at.delete(ctx, probeName); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		// A policy that lets us write but not delete does for a job.
		o.store.log.WarnContext(ctx, "the output's check object can't be removed", "output", o.name, "err", err)
	}
	return nil
}

// checkName refuses object names that could lead out of the output path. Names
// are made by us, so a bad one is our own error.
func checkName(name string) error {
	bad := name == "" || len(name) > 512 || strings.ContainsFunc(name, func(r rune) bool {
		return unicode.IsControl(r) || r == '\\' || r == unicode.ReplacementChar
	})
	for element := range strings.SplitSeq(name, "/") {
		bad = bad || element == "" || element == "." || element == ".."
	}
	if bad {
		return job.Fail(job.InternalError, "%q can't be the name of an output object.", clip(name))
	}
	return nil
}

// contextReader stops reading when its context ends.
type contextReader struct {
	ctx context.Context
	io.Reader
}

func (r contextReader) Read(p []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	return r.Reader.Read(p)
}

// failingReader gives a body's errors as failures.
type failingReader struct {
	io.ReadCloser
	explain func(error) error
}

func (r *failingReader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = plain(r.explain(err))
	}
	return n, err
}

// plain is a transient's failure where nobody will try again.
func plain(err error) error {
	var passing *transient
	if errors.As(err, &passing) {
		return passing.failure
	}
	return err
}

// randomName is 128 bits that nobody guesses, in hex.
func randomName() string {
	var bits [16]byte
	_, _ = rand.Read(bits[:]) // never fails
	return hex.EncodeToString(bits[:])
}
