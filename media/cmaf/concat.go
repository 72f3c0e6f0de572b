package cmaf

import (
	"context"
	"fmt"
	"io"

	"millrace/job"
)

// Concat writes a track's init segment and then its segments to w: together,
// and with nothing between them, they are a playable fragmented MP4 file. It
// is what ffmpeg is fed with to make an MP4 file without encoding again.
//
// Give ffmpeg -copyts when it puts pictures and sound together: without it each
// input is moved to start at 0, and an audio track's priming, which starts
// before 0, makes the sound late by an access unit.
//
// open opens an object of the track by its name; each is closed before the next.
func Concat(ctx context.Context, w io.Writer, track job.Track, open func(ctx context.Context, name string) (io.ReadCloser, error)) error {
	one := func(name string) error {
		r, err := open(ctx, name)
		if err != nil {
			return fmt.Errorf("open %s: %w", name, err)
		}
		_, err = io.Copy(w, r)
		if closeErr := r.Close(); err == nil {
			err = closeErr
		}
		if err != nil {
			return fmt.Errorf("append %s: %w", name, err)
		}
		return nil
	}
	if err := one(track.Init.Name); err != nil {
		return err
	}
	for _, segment := range track.Segments {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := one(segment.Name); err != nil {
			return err
		}
	}
	return nil
}
