package media

import (
	"context"
	"path"
	"sync"

	"golang.org/x/sync/errgroup"

	"millrace/job"
	"millrace/media/cmaf"
	"millrace/storage"
)

// uploadsAtOnce is how many segments of one task are under way to the output
// store. Encoding goes on meanwhile; when this many wait, it waits too, so that
// memory stays bounded (a segment of the largest rung is some 10 MB).
const uploadsAtOnce = 6

// uploads puts a task's segments into the output store as they are cut.
type uploads struct {
	group  *errgroup.Group
	ctx    context.Context
	output *storage.Output
	// keptIn is a folder on the scratch disk for segments that must not be written
	// yet, "" where they may (see sendKept).
	keptIn string
}

func newUploads(ctx context.Context, output *storage.Output) *uploads {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(uploadsAtOnce)
	return &uploads{group: group, ctx: ctx, output: output}
}

// wait waits for all uploads and gives the first error.
func (u *uploads) wait() error { return u.group.Wait() }

// trackUpload collects one track's segments.
type trackUpload struct {
	uploads  *uploads
	dir      string
	mu       sync.Mutex
	segments []job.Segment // in the order of emission
	kept     []keptSegment // in no order
}

// emit is the cutter's Emit: it takes the segment and returns at once unless
// too many are under way.
func (t *trackUpload) emit(_ context.Context, s cmaf.SegmentData) error {
	t.mu.Lock()
	place := len(t.segments)
	t.segments = append(t.segments, job.Segment{Number: s.Number, Samples: s.Samples, Duration: s.Duration})
	t.mu.Unlock()
	t.uploads.group.Go(func() error {
		if t.uploads.keptIn != "" {
			return t.keep(place, s)
		}
		object, err := t.uploads.output.Put(t.uploads.ctx, path.Join(t.dir, s.Name), typeSegment, s.Bytes)
		if err != nil {
			return err
		}
		t.mu.Lock()
		defer t.mu.Unlock()
		t.segments[place].Object = object
		return nil
	})
	return t.uploads.ctx.Err()
}

// finish describes the track, once all uploads have been waited for. The init
// segment is written only by the task that is the first of its track.
func (t *trackUpload) finish(ctx context.Context, name string, info cmaf.TrackInfo, contentType string, writeInit bool) (job.Track, error) {
	track := job.Track{Name: name, Codec: info.Codec, Timescale: info.Timescale, Segments: t.segments}
	if !writeInit {
		track.Init = describeObject(initName(t.dir), info.Init)
		return track, nil
	}
	var err error
	track.Init, err = t.uploads.output.Put(ctx, initName(t.dir), contentType, info.Init)
	return track, err
}
