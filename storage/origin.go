package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"millrace/job"
)

// origin is a remote object that can be asked for ranges: over http or S3.
type origin interface {
	// get asks for the bytes [first, last], or for all where last < 0, of the
	// version that known tells (if it isn't zero). An answer may be for all
	// bytes though a range was asked. The error is as Retry.run wants it.
	get(ctx context.Context, first, last int64, known version) (*answer, error)
	// cacheKey names the object within this node, whoever asks.
	cacheKey() string
}

// answer is a successful response of an origin. The receiver closes body.
type answer struct {
	body   io.ReadCloser
	ranged bool  // false: body is the whole object
	first  int64 // offset of body's first byte
	length int64 // bytes of body, −1 unknown
	total  int64 // bytes of the object, −1 unknown
	version
}

// errRangeRefused is an origin that refuses a range beyond the object's end
// instead of cutting it, as HTTP asks.
var errRangeRefused = errors.New("the server refuses the range")

// version is what the origin says to tell one version of an object from another.
type version struct {
	etag     string
	modified string
}

// identity names the version. Without ETag and Last-Modified it can't.
func (v version) identity(size int64) string {
	switch {
	case v.etag != "":
		return fmt.Sprintf("etag %s size %d", v.etag, size)
	case v.modified != "":
		return fmt.Sprintf("modified %s size %d", v.modified, size)
	}
	return fmt.Sprintf("size %d", size)
}

// strongTag says whether the ETag promises equal bytes, not just equal meaning.
func (v version) strongTag() bool { return v.etag != "" && !strings.HasPrefix(v.etag, "W/") }

// differs says how the answer shows another version than the known one, "" if
// it doesn't. What a server leaves out proves nothing.
func (a *answer) differs(known version, size int64) string {
	switch {
	case a.total >= 0 && a.total != size:
		return fmt.Sprintf("it had %d bytes and now has %d", size, a.total)
	case known.etag != "" && a.etag != "" && a.etag != known.etag:
		return "its ETag is another"
	case known.etag == "" && known.modified != "" && a.modified != "" && a.modified != known.modified:
		return "its modification time is another"
	}
	return ""
}

func changed(name, how string) error {
	return job.Fail(job.InputChanged, "%s changed while it was read: %s.", name, how)
}

// parseContentRange reads "bytes first-last/total" and "bytes */total"; first
// and total are −1 for "*".
func parseContentRange(header string) (first, last, total int64, ok bool) {
	rest, found := strings.CutPrefix(strings.TrimSpace(header), "bytes ")
	if !found {
		return 0, 0, 0, false
	}
	span, size, found := strings.Cut(rest, "/")
	if !found {
		return 0, 0, 0, false
	}
	number := func(text string) int64 {
		n, err := strconv.ParseUint(text, 10, 63)
		if err != nil {
			ok = false
		}
		return int64(n)
	}
	ok = true
	first, last, total = -1, -1, -1
	if span != "*" {
		from, to, _ := strings.Cut(span, "-")
		first, last = number(from), number(to)
		ok = ok && first <= last
	}
	if size != "*" {
		total = number(size)
		ok = ok && last < total
	}
	return first, last, total, ok
}
