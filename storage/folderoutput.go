package storage

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"iter"
	"log/slog"
	"net/url"
	"os"
	"path"
	"strings"
	"syscall"

	"millrace/job"
)

// folderOutput writes under a folder of an output root. Everything goes through
// os.Root, so that no symbolic link leads out; links inside are refused too,
// since they would let one output path reach into another.
type folderOutput struct {
	root string // the output root
	base string // the output path from there
	name string
	log  *slog.Logger
}

// Temporary files lie beside what they become, so that the rename stays within
// one file system.
const (
	tempPrefix = ".millrace-"
	tempSuffix = ".tmp"
)

func isTemp(name string) bool {
	return strings.HasPrefix(name, tempPrefix) && strings.HasSuffix(name, tempSuffix)
}

func (f *folderOutput) url(name string) string {
	u := url.URL{Scheme: "file", Path: path.Join(f.root, f.base, name)}
	return u.String()
}

// open opens the root and checks that no element of the path is a link.
func (f *folderOutput) open(name string) (*os.Root, string, error) {
	root, err := os.OpenRoot(f.root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, "", job.Fail(job.OutputBucketNotFound, "%s: the output root is not there on this node.", f.name)
	}
	if err != nil {
		return nil, "", f.failure(err)
	}
	full := path.Join(f.base, name)
	for end := 0; end < len(full); end++ {
		if next := strings.IndexByte(full[end:], '/'); next >= 0 {
			end += next
		} else {
			end = len(full)
		}
		info, err := root.Lstat(full[:end])
		if errors.Is(err, fs.ErrNotExist) {
			break
		}
		if err == nil && info.Mode()&fs.ModeSymlink != 0 {
			err = syscall.ELOOP
		}
		if err != nil {
			_ = root.Close()
			return nil, "", f.failure(err)
		}
	}
	return root, full, nil
}

func (f *folderOutput) failure(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return job.Fail(job.OutputUnreachable, "%s: the disk is full.", f.name)
	case leadsOut(err):
		return job.Fail(job.OutputDisallowed, "%s: the path leads through a symbolic link.", f.name)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return job.Fail(job.OutputAccessDenied, "%s: %s.", f.name, errnoText(err))
	case errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.EISDIR), errors.Is(err, syscall.ENAMETOOLONG):
		return job.Fail(job.OutputDisallowed, "%s: %s.", f.name, errnoText(err))
	}
	return job.Fail(job.OutputUnreachable, "%s: %s.", f.name, errnoText(err))
}

func (f *folderOutput) put(ctx context.Context, name, _ string, body io.ReaderAt, size int64) (string, error) {
	root, full, err := f.open(name)
	if err != nil {
		return "", err
	}
	defer root.Close() //nolint:errcheck // holds nothing unwritten
	// A delete running beside us may remove the folder that we just made, as empty.
	const tries = 5
	for range tries {
		if err = ctx.Err(); err != nil {
			return "", context.Cause(ctx)
		}
		err = writeAtomically(ctx, root, full, io.NewSectionReader(body, 0, size))
		if !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	if err != nil && ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	return "", f.failure(err)
}

// writeAtomically makes the file whole and durable before it has its name.
func writeAtomically(ctx context.Context, root *os.Root, name string, body io.Reader) (err error) {
	folder := path.Dir(name)
	if err := makeFolders(root, folder); err != nil {
		return err
	}
	temp := path.Join(folder, tempPrefix+randomName()+tempSuffix)
	file, err := root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = file.Close()
			_ = root.Remove(temp)
		}
	}()
	if _, err := io.Copy(file, contextReader{ctx, body}); err != nil {
		return err
	}
	if err := file.Sync(); err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	if err := root.Rename(temp, name); err != nil {
		return err
	}
	return syncFolder(root, folder)
}

// makeFolders is MkdirAll whose new folders survive a power cut.
func makeFolders(root *os.Root, folder string) error {
	if info, err := root.Stat(folder); err == nil && info.IsDir() {
		return nil
	}
	if parent := path.Dir(folder); parent != folder {
		if err := makeFolders(root, parent); err != nil {
			return err
		}
	}
	if err := root.Mkdir(folder, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncFolder(root, path.Dir(folder))
}

func syncFolder(root *os.Root, folder string) error {
	file, err := root.Open(folder)
	if err != nil {
		return err
	}
	err = file.Sync()
	if errors.Is(err, syscall.EINVAL) {
		err = nil // some network file systems don't sync folders
	}
	return errors.Join(err, file.Close())
}

func (f *folderOutput) get(_ context.Context, name string) (io.ReadCloser, error) {
	root, full, err := f.open(name)
	if err != nil {
		return nil, err
	}
	defer root.Close() //nolint:errcheck // nothing was written
	file, err := root.OpenFile(full, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, job.Fail(job.OutputVerification, "%s: %s is not there.", f.name, name)
	}
	if err != nil {
		return nil, f.failure(err)
	}
	return &failingReader{file, f.failure}, nil
}

func (f *folderOutput) list(ctx context.Context, prefix string) iter.Seq2[job.Object, error] {
	return func(yield func(job.Object, error) bool) {
		f.walk(ctx, func(name string, info fs.FileInfo) error {
			if isTemp(path.Base(name)) || !strings.HasPrefix(name, prefix) {
				return nil
			}
			if !yield(job.Object{Name: name, Size: info.Size()}, nil) {
				return fs.SkipAll
			}
			return nil
		}, func(err error) { yield(job.Object{}, err) })
	}
}

// walk visits every regular file under the base, by its name from there.
func (f *folderOutput) walk(ctx context.Context, visit func(name string, info fs.FileInfo) error, fail func(error)) {
	root, full, err := f.open("")
	if err != nil {
		fail(err)
		return
	}
	defer root.Close() //nolint:errcheck // nothing was written
	err = fs.WalkDir(root.FS(), full, func(file string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // removed meanwhile, or never made
		}
		if err == nil && ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		return visit(strings.TrimPrefix(file, full+"/"), info)
	})
	switch {
	case err == nil:
	case ctx.Err() != nil:
		fail(context.Cause(ctx))
	default:
		fail(f.failure(err))
	}
}

func (f *folderOutput) delete(ctx context.Context, name string) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	root, full, err := f.open(name)
	if err != nil {
		return err
	}
	defer root.Close() //nolint:errcheck // holds nothing unwritten
	if err := root.Remove(full); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return f.failure(err)
	}
	// Folders that have become empty go, but not the output path itself, which
	// the operator may have made with care; one with something in it refuses.
	for folder := path.Dir(full); strings.HasPrefix(folder, f.base+"/"); folder = path.Dir(folder) {
		if root.Remove(folder) != nil {
			break
		}
	}
	return nil
}

// removeBase removes the output path's folder if nothing is in it.
func (f *folderOutput) removeBase() error {
	root, full, err := f.open("")
	if err != nil {
		return err
	}
	defer root.Close() //nolint:errcheck // holds nothing unwritten
	err = root.Remove(full)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTEMPTY) || errors.Is(err, syscall.EEXIST) {
		return nil
	}
	return f.failure(err)
}

func (f *folderOutput) abort(ctx context.Context) error {
	var names []string
	var failed error
	f.walk(ctx, func(name string, _ fs.FileInfo) error {
		if isTemp(path.Base(name)) {
			names = append(names, name)
		}
		return nil
	}, func(err error) { failed = err })
	for _, name := range names {
		failed = errors.Join(failed, f.delete(ctx, name))
	}
	return failed
}
