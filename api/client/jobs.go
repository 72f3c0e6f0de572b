package client

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"millrace/job"
)

// CreateRequest asks for a job. InputURL, OutputPath and Resolutions are
// needed; the zero value of everything else means the API's default.
type CreateRequest struct {
	InputURL       string           `json:"input_url"`
	OutputPath     string           `json:"output_path"`
	Resolutions    []string         `json:"resolutions"` // "720p"; checked by the peer
	ClientMetadata json.RawMessage  `json:"client_metadata,omitempty"`
	Outputs        []job.OutputKind `json:"outputs,omitempty"`
	Codec          job.Codec        `json:"codec,omitempty"`
	Quality        job.Quality      `json:"quality,omitempty"`
	Priority       int              `json:"priority,omitempty"`
	// Requires are labels or a kind of encoder; Deadline is a hint.
	Requires []string       `json:"requires,omitempty"`
	Prefer   job.Preference `json:"prefer,omitempty"`
	Deadline time.Time      `json:"deadline,omitzero"`
	// SegmentSeconds is the target length of a segment in seconds.
	SegmentSeconds float64 `json:"segment_duration,omitempty"`
	// IdempotencyKey makes a repeated request give the same job; "" has one drawn
	// for this call, so that it may go to several peers and still make one job.
	IdempotencyKey string `json:"idempotency_key,omitempty"`
}

// JobFilter chooses jobs of a list; its zero value is all of them, newest first.
type JobFilter struct {
	Statuses    []job.Status
	CreatedFrom string // ISO 8601 date or time, inclusive
	CreatedTo   string
	OldestFirst bool
	PageSize    int // jobs asked for at a time, 0 for the API's default
}

func (f JobFilter) query() url.Values {
	query := url.Values{}
	for _, status := range f.Statuses {
		query.Add("status", string(status))
	}
	for name, value := range map[string]string{"created_from": f.CreatedFrom, "created_to": f.CreatedTo} {
		if value != "" {
			query.Set(name, value)
		}
	}
	if f.OldestFirst {
		query.Set("ordering", "created")
	}
	if f.PageSize > 0 {
		query.Set("page_size", strconv.Itoa(f.PageSize))
	}
	return query
}

// CreateJob submits a job. A call that ended in an error of the network may
// still have made one; with an own idempotency key it can be made again.
func (c *Client) CreateJob(ctx context.Context, request CreateRequest) (job.View, error) {
	if request.IdempotencyKey == "" {
		request.IdempotencyKey = rand.Text()
	}
	var created job.View
	err := c.postTwice(ctx, c.orgURL("transcoding_jobs"), request, &created)
	return created, wrap("create the job", err)
}

// Job reads a job.
func (c *Client) Job(ctx context.Context, id job.ID) (job.View, error) {
	return c.job(ctx, id, nil)
}

// JobWithTasks reads a job and what each of its tasks did where.
func (c *Client) JobWithTasks(ctx context.Context, id job.ID) (job.View, error) {
	return c.job(ctx, id, url.Values{"expand": {"tasks"}})
}

func (c *Client) job(ctx context.Context, id job.ID, query url.Values) (job.View, error) {
	var found job.View
	address := c.orgURL("transcoding_jobs", string(id))
	address.RawQuery = query.Encode()
	err := c.do(ctx, http.MethodGet, address, nil, nil, &found)
	return found, wrap("read job "+string(id), err)
}

// Jobs lists jobs, a page at a time as the caller goes on. It ends after the
// first error.
func (c *Client) Jobs(ctx context.Context, filter JobFilter) iter.Seq2[job.View, error] {
	return pages[job.View](ctx, c, c.orgURL("transcoding_jobs"), filter.query())
}

// Cancel stops a job and returns the peer's sentence about it. Cancelling a
// job that has ended is no error and changes nothing.
func (c *Client) Cancel(ctx context.Context, id job.ID) (string, error) {
	var answer struct {
		Message string `json:"message"`
	}
	err := c.do(ctx, http.MethodDelete, c.orgURL("transcoding_jobs", string(id)), nil, nil, &answer)
	return answer.Message, wrap("cancel job "+string(id), err)
}

// Retry queues a failed or cancelled job again; with resolutions, only those
// of its rungs.
func (c *Client) Retry(ctx context.Context, id job.ID, resolutions ...string) (job.View, error) {
	var request struct {
		Resolutions []string `json:"resolutions,omitempty"`
	}
	request.Resolutions = resolutions
	var queued job.View
	err := c.do(ctx, http.MethodPost, c.orgURL("transcoding_jobs", string(id), "retry"), nil, request, &queued)
	return queued, wrap("retry job "+string(id), err)
}

// Explain says why a job's tasks run where they do or why they wait.
func (c *Client) Explain(ctx context.Context, id job.ID) ([]job.Placement, error) {
	var answer struct {
		Tasks []job.Placement `json:"tasks"`
	}
	err := c.do(ctx, http.MethodGet, c.orgURL("transcoding_jobs", string(id), "explain"), nil, nil, &answer)
	return answer.Tasks, wrap("explain job "+string(id), err)
}

// pages goes through a list. Only the number of the next page is believed, not
// the host in its address: that one is how the peer looks from its own side of
// a proxy.
func pages[T any](ctx context.Context, c *Client, address *url.URL, query url.Values) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for number := 1; ; number++ {
			var page struct {
				Next    *string `json:"next"`
				Results []T     `json:"results"`
			}
			query.Set("page", strconv.Itoa(number))
			address.RawQuery = query.Encode()
			if err := c.do(ctx, http.MethodGet, address, nil, nil, &page); err != nil {
				var none T
				yield(none, fmt.Errorf("list page %d of %s: %w", number, address.Path, err))
				return
			}
			for _, item := range page.Results {
				if !yield(item, nil) {
					return
				}
			}
			if page.Next == nil {
				return
			}
		}
	}
}

func wrap(doing string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", doing, err)
}
