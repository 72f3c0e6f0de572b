package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"millrace/api/client"
	"millrace/job"
)

// submitCommand posts a job and, if asked, waits for its end.
type submitCommand struct {
	remote
	Input           string           `required:"" placeholder:"URL" help:"The source: http(s)://, s3://, file://, or a path, which must be the same on the peers."`
	Output          string           `required:"" placeholder:"URL" help:"Where the ladder is written: s3://bucket/prefix/, file://, or a folder's path."`
	Resolutions     []string         `required:"" placeholder:"240p,480p" help:"The rungs: ${resolutions}."`
	Outputs         []job.OutputKind `placeholder:"hls,dash" help:"What is made: hls, dash, mp4, thumbnails. Default: hls,dash."`
	Codec           job.Codec        `placeholder:"h264" help:"h264, hevc or av1."`
	Quality         job.Quality      `placeholder:"standard" help:"economy, standard or high."`
	Priority        int              `placeholder:"0" help:"-10 to 10; larger goes first."`
	Requires        []string         `placeholder:"LABEL" help:"What the nodes must have: labels, like ssd or site=paris, or a kind of encoder: nvenc, qsv, vaapi, cpu."`
	Prefer          job.Preference   `placeholder:"time" help:"What a device is chosen by: time or energy."`
	Deadline        time.Time        `placeholder:"TIME" help:"When the job should be done, like 2026-11-25T18:30:00+01:00; a hint."`
	SegmentDuration time.Duration    `placeholder:"4s" help:"Length of a segment, 2s to 10s."`
	Metadata        string           `placeholder:"JSON" help:"An object that comes back in answers and webhooks."`
	IdempotencyKey  string           `placeholder:"TEXT" help:"The same key within a day gives the same job, however often it is submitted."`
	Wait            bool             `help:"Wait for the job's end and show its progress; the exit code tells how it ended."`
}

// Run submits the job.
func (c *submitCommand) Run(ctx context.Context, std streams) error {
	request, err := c.request()
	if err != nil {
		return err
	}
	peer, err := c.dial()
	if err != nil {
		return err
	}
	created, err := peer.CreateJob(ctx, request)
	if err != nil {
		return err
	}
	if c.Wait {
		return follow(ctx, peer, created, std, c.JSON)
	}
	if c.JSON {
		return std.writeJSON(created)
	}
	_, err = fmt.Fprintln(std.out, created.ID)
	return err
}

func (c *submitCommand) request() (client.CreateRequest, error) {
	request := client.CreateRequest{
		Resolutions: c.Resolutions, Outputs: c.Outputs, Codec: c.Codec, Quality: c.Quality,
		Requires: c.Requires, Prefer: c.Prefer, Deadline: c.Deadline,
		Priority: c.Priority, SegmentSeconds: c.SegmentDuration.Seconds(), IdempotencyKey: c.IdempotencyKey,
	}
	if c.Metadata != "" {
		var object map[string]any
		if err := json.Unmarshal([]byte(c.Metadata), &object); err != nil {
			return request, usagef("--metadata must be a JSON object like '{\"title\": \"…\"}': %w", err)
		}
		request.ClientMetadata = json.RawMessage(c.Metadata)
	}
	var err error
	if request.InputURL, err = location(c.Input); err != nil {
		return request, usagef("--input: %w", err)
	}
	if request.OutputPath, err = location(c.Output); err != nil {
		return request, usagef("--output: %w", err)
	}
	if strings.HasPrefix(request.OutputPath, "file://") && !strings.HasSuffix(request.OutputPath, "/") {
		request.OutputPath += "/"
	}
	return request, nil
}

// location is a URL as it is, and a path as a file URL.
func location(text string) (string, error) {
	if strings.Contains(text, "://") {
		return text, nil
	}
	path, err := filepath.Abs(text)
	if err != nil {
		return "", fmt.Errorf("find the folder of %s: %w", text, err)
	}
	if strings.HasSuffix(text, string(os.PathSeparator)) {
		path += "/"
	}
	return (&url.URL{Scheme: "file", Path: path}).String(), nil
}
