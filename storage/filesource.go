package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
	"time"

	"millrace/job"
)

// fileReader reads a file under a source root. It needs no cache: the disk, or
// the kernel's page cache, is one.
type fileReader struct {
	file     *os.File
	name     string
	size     int64
	modified time.Time
}

// openFile opens a file source. os.Root resolves the path element by element,
// so no symbolic link leads out of the root, also when it is made meanwhile.
func (s *Store) openFile(l Location) (*Source, error) {
	name := l.Redacted()
	root, rest, found := underRoot(s.config.SourceRoots, l.Path)
	if !found {
		return nil, job.Fail(job.InputDisallowed, "%s is not under a source root.", name)
	}
	folder, err := os.OpenRoot(root)
	if err != nil {
		return nil, job.Fail(job.InputUnreachable, "%s: the source root can't be opened: %s.", name, errnoText(err))
	}
	defer folder.Close() //nolint:errcheck // nothing was written
	// Without O_NONBLOCK, opening a named pipe waits for its writer.
	file, err := folder.OpenFile(rest, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, openFailure(name, err)
	}
	source, err := newFileSource(file, name, s.config.MaxSourceBytes)
	if err != nil {
		_ = file.Close()
		return nil, err
	}
	return source, nil
}

func newFileSource(file *os.File, name string, most int64) (*Source, error) {
	info, err := file.Stat()
	switch {
	case err != nil:
		return nil, job.Fail(job.InputUnreachable, "%s: %s.", name, errnoText(err))
	case !info.Mode().IsRegular():
		return nil, job.Fail(job.InputDisallowed, "%s is not a regular file.", name)
	case info.Size() == 0:
		return nil, job.Fail(job.InputEmpty, "%s has no bytes.", name)
	case info.Size() > most:
		return nil, tooLarge(name, most)
	}
	identity := fmt.Sprintf("modified %d size %d", info.ModTime().UnixNano(), info.Size())
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		identity += fmt.Sprintf(" inode %d", stat.Ino)
	}
	reader := &fileReader{file: file, name: name, size: info.Size(), modified: info.ModTime()}
	return &Source{name: name, identity: identity, size: info.Size(), reader: reader}, nil
}

func openFailure(name string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return job.Fail(job.InputNotFound, "%s: there is no such file.", name)
	case errors.Is(err, fs.ErrPermission):
		return job.Fail(job.InputAccessDenied, "%s: the file may not be read.", name)
	case errors.Is(err, syscall.ENXIO):
		return job.Fail(job.InputDisallowed, "%s is not a regular file.", name)
	case leadsOut(err):
		return job.Fail(job.InputDisallowed, "%s leads out of its source root.", name)
	}
	return job.Fail(job.InputUnreachable, "%s: %s.", name, errnoText(err))
}

// leadsOut says whether os.Root refused a path that escapes, an error that has
// no exported name, or a loop of links.
func leadsOut(err error) bool {
	var path *fs.PathError
	if errors.Is(err, syscall.ELOOP) {
		return true
	}
	return errors.As(err, &path) && path.Err.Error() == "path escapes from parent"
}

// errnoText is the error without the path, which may be long and private.
func errnoText(err error) string {
	var path *fs.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	return printable(err.Error())
}

func (f *fileReader) readAt(ctx context.Context, p []byte, off int64) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	_, err := f.file.ReadAt(p, off)
	if errors.Is(err, io.EOF) {
		return changed(f.name, "it has become shorter")
	}
	if err != nil {
		return job.Fail(job.InputUnreachable, "%s: %s.", f.name, errnoText(err))
	}
	// Looked at after the read: a write during it shows, one before it too.
	info, err := f.file.Stat()
	if err != nil {
		return job.Fail(job.InputUnreachable, "%s: %s.", f.name, errnoText(err))
	}
	if info.Size() != f.size || !info.ModTime().Equal(f.modified) {
		return changed(f.name, "its size or modification time is another")
	}
	return nil
}

func (f *fileReader) close() error { return f.file.Close() }
