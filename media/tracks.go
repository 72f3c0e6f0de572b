package media

import (
	"context"
	"fmt"
	"io"
	"os"

	"millrace/job"
	"millrace/media/cmaf"
	"millrace/media/ffmpeg"
	"millrace/storage"
)

// emit takes a finished segment from a cutter.
type emit = func(context.Context, cmaf.SegmentData) error

// cut reads one output of ffmpeg to its end.
type cut = func(context.Context, io.Reader) (cmaf.TrackInfo, error)

// trackOutput is one output of a run of ffmpeg that becomes a track's segments.
type trackOutput struct {
	name, dir string
	// what it is, for errors: "audio track 1".
	what        string
	contentType string
	// writeInit is for the task that is the first of its track.
	writeInit bool
	cutter    func(emit) cut
}

// makeTracks runs ffmpeg, cuts each of its outputs into segments and puts these
// into the output store while it goes on, or, where alone isn't nil, once it has
// ended and alone has let them. accept looks at the run once it has ended and all
// is uploaded or ready for it, before any init segment is written.
func (t *Toolbox) makeTracks(ctx context.Context, in Input, output *storage.Output, command ffmpeg.Command, outputs []trackOutput, alone func(context.Context) error, accept func(ffmpeg.Report) error) ([]job.Track, error) {
	sending := newUploads(ctx, output)
	if alone != nil {
		folder, err := os.MkdirTemp(t.Scratch, "backup-")
		if err != nil {
			return nil, fmt.Errorf("make a folder for what a backup encodes: %w", err)
		}
		defer func() { _ = os.RemoveAll(folder) }()
		sending.keptIn = folder
	}
	tracks := make([]*trackUpload, len(outputs))
	infos := make([]cmaf.TrackInfo, len(outputs))
	for i, o := range outputs {
		tracks[i] = &trackUpload{uploads: sending, dir: o.dir}
		cut := o.cutter(tracks[i].emit)
		command.Outputs = append(command.Outputs, func(r io.Reader) (err error) {
			if infos[i], err = cut(sending.ctx, r); err != nil {
				return fmt.Errorf("cut %s: %w", o.what, err)
			}
			return nil
		})
	}
	if command.Sandbox == nil {
		command.Sandbox = t.FFmpeg.Sandbox.ForInput(in.URL)
	}
	command.Dir, command.Nice, command.Logger = t.Scratch, t.Nice, t.Logger
	command.FirstFrameTimeout, command.StallTimeout = t.FirstFrameTimeout, t.StallTimeout
	report, err := t.FFmpeg.Run(sending.ctx, command)
	// An upload that failed stops the run; its own error says why.
	if sent := sending.wait(); sent != nil && ctx.Err() == nil {
		err = sent
	}
	if err == nil {
		err = accept(report)
	}
	if err != nil {
		return nil, withLastWords(err, report)
	}
	if alone != nil {
		if err := alone(ctx); err != nil {
			return nil, err
		}
		if err := sendKept(ctx, output, tracks); err != nil {
			return nil, err
		}
	}
	var made []job.Track
	for i, o := range outputs {
		track, err := tracks[i].finish(ctx, o.name, infos[i], o.contentType, o.writeInit)
		if err != nil {
			return nil, fmt.Errorf("write the init segment of %s: %w", o.what, err)
		}
		made = append(made, track)
	}
	return made, nil
}
