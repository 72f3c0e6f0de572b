package media

import (
	"context"
	"fmt"
	"os"
	"path"

	"golang.org/x/sync/errgroup"

	"millrace/media/cmaf"
	"millrace/storage"
)

// keptSegment is a segment that lies on the scratch disk until it may be written to
// the output store.
type keptSegment struct {
	place      int // among its track's segments
	name, file string
}

// keep puts a segment on the scratch disk.
func (t *trackUpload) keep(place int, s cmaf.SegmentData) error {
	file, err := os.CreateTemp(t.uploads.keptIn, "*.m4s")
	if err != nil {
		return fmt.Errorf("keep segment %s: %w", s.Name, err)
	}
	_, err = file.Write(s.Bytes)
	if closed := file.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return fmt.Errorf("keep segment %s: %w", s.Name, err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = append(t.kept, keptSegment{place: place, name: s.Name, file: file.Name()})
	return nil
}

// sendKept puts what was kept of some tracks into the output store.
func sendKept(ctx context.Context, output *storage.Output, tracks []*trackUpload) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(uploadsAtOnce)
	for _, track := range tracks {
		for _, kept := range track.kept {
			group.Go(func() error {
				bytes, err := os.ReadFile(kept.file)
				if err != nil {
					return fmt.Errorf("read the kept segment %s: %w", kept.name, err)
				}
				object, err := output.Put(ctx, path.Join(track.dir, kept.name), typeSegment, bytes)
				if err != nil {
					return err
				}
				track.segments[kept.place].Object = object // nobody else has this place
				return nil
			})
		}
	}
	return group.Wait()
}
