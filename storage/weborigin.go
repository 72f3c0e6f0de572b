package storage

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"millrace/job"
)

// webOrigin is a source behind an http or https URL. Each request starts from
// the job's own URL, since what it redirects to may be short-lived.
type webOrigin struct {
	store *Store
	url   string
	name  string // redacted
}

func (o *webOrigin) cacheKey() string { return o.url }

func (o *webOrigin) get(ctx context.Context, first, last int64, known version) (*answer, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, o.url, nil)
	if err != nil {
		return nil, job.Fail(job.InputUnreachable, "%s: the URL can't be requested.", o.name)
	}
	// Compressed transfer would make ranges meaningless and bombs possible.
	request.Header.Set("Accept-Encoding", "identity")
	request.Header.Set("User-Agent", "millrace")
	request.Header.Set("Accept", "*/*")
	if last >= 0 {
		request.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", first, last))
		if known.strongTag() {
			request.Header.Set("If-Range", known.etag)
		}
	}
	response, err := o.store.web.Do(request)
	if err != nil {
		return nil, inputSide.transport(ctx, o.name, err)
	}
	got, err := o.read(response, first, last, known)
	if err != nil {
		_ = response.Body.Close()
		return nil, err
	}
	return got, nil
}

func (o *webOrigin) read(response *http.Response, first, last int64, known version) (*answer, error) {
	header := response.Header
	got := &answer{
		body: response.Body, length: response.ContentLength, total: -1,
		version: version{etag: header.Get("ETag"), modified: header.Get("Last-Modified")},
	}
	switch encoding := strings.ToLower(header.Get("Content-Encoding")); encoding {
	case "gzip", "x-gzip", "deflate", "br", "zstd", "compress":
		if response.StatusCode < 300 {
			return nil, job.Fail(job.UnsupportedContainer, "%s: the server sends it compressed (%s), though asked not to.", o.name, encoding)
		}
	}
	switch response.StatusCode {
	case http.StatusOK:
		got.total = response.ContentLength
		return got, nil
	case http.StatusPartialContent:
		if last < 0 {
			break // not asked for
		}
		from, to, total, ok := parseContentRange(header.Get("Content-Range"))
		if !ok || from != first || to > last {
			return nil, &transient{failure: job.Fail(job.InputUnreachable, "%s: the server answered with another range than asked for.", o.name)}
		}
		got.ranged, got.first, got.length, got.total = true, from, to-from+1, total
		return got, nil
	case http.StatusNoContent:
		return nil, job.Fail(job.InputEmpty, "%s has no bytes.", o.name)
	case http.StatusRequestedRangeNotSatisfiable:
		if _, _, total, ok := parseContentRange(header.Get("Content-Range")); first == 0 && ok && total > 0 {
			return nil, errRangeRefused
		}
		if first == 0 {
			return nil, job.Fail(job.InputEmpty, "%s has no bytes.", o.name)
		}
		return nil, changed(o.name, "it has become shorter")
	case http.StatusPreconditionFailed:
		if known != (version{}) {
			return nil, changed(o.name, "its ETag is another")
		}
	}
	return nil, inputSide.status(o.name, response.StatusCode, header, "")
}
