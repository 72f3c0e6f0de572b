package media

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strconv"

	"golang.org/x/sync/errgroup"

	"millrace/hwaccel"
	"millrace/job"
	"millrace/media/cmaf"
	"millrace/media/ffmpeg"
)

// ffmpeg's AAC encoder has one thread. So that a film's sound isn't the last of it to be
// ready, a task with several threads decodes once, cuts the samples into pieces and
// encodes as many of these at once as it has threads.
//
// An access unit has what 2048 samples sound like, half of them in common with the unit
// before and half with the one after, and is decoded together with these. So a piece begins
// leadUnits before its own first one, which gives the encoder its look at what was before:
// it then takes the same windows as in one run, which is what must agree where two pieces
// meet (none of 240 joints differed with 4 units). What differs is how
// many bits each unit has, as the rate control has another past; after the lead the noise
// at joints is that of any other place.
const (
	// pieceSamples is how many samples of all channels together a piece has at most, 34
	// MB: a minute and a half of stereo at 48 kHz. The first seconds of a run and its
	// start take as long as 17 s more.
	pieceSamples = 8400 * cmaf.AccessUnitSamples
	leadUnits    = 48
	// afterUnits is what the encoder must have heard after a piece's last unit: the
	// half of it that the next one shares, and one to look ahead.
	afterUnits = 2
	// bytesPerSample is of one channel: 32 bits of floating point, as the encoder takes
	// them.
	bytesPerSample = 4
)

// pieceUnits is how many access units a piece of so many channels has.
func pieceUnits(channels int) int { return pieceSamples / cmaf.AccessUnitSamples / max(2, channels) }

// soundPiece is the samples of some of a track's access units.
type soundPiece struct {
	samples []byte
	// skip and take are the units that its run must leave out before its own, and those.
	skip, take int64
}

// splitSound cuts samples of so many channels into pieces, all but the last of as many
// access units.
func splitSound(r io.Reader, channels int, send func(soundPiece) error) error {
	count := pieceUnits(channels)
	unit := cmaf.AccessUnitSamples * bytesPerSample * channels
	lead := 0 // units in held before the piece's own
	var held []byte
	for {
		whole := make([]byte, (lead+count+afterUnits)*unit)
		n, err := io.ReadFull(r, whole[copy(whole, held):])
		n += len(held)
		switch {
		case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
			return send(soundPiece{samples: whole[:n], skip: int64(lead), take: cmaf.AllUnits})
		case err != nil:
			return err
		}
		if err := send(soundPiece{samples: whole, skip: int64(lead), take: int64(count)}); err != nil {
			return err
		}
		held = whole[(lead+count-leadUnits)*unit:]
		lead = leadUnits
	}
}

// inPieces says whether a track is long enough to be cut.
func inPieces(timeline job.Timeline, track job.AudioTrack) bool {
	samples := samplesAt(timeline, timeline.Frames, int64(track.SampleRate))
	return samples > 2*int64(pieceUnits(track.Channels))*cmaf.AccessUnitSamples
}

// madePiece is a piece that was encoded, as fragmented MP4.
type madePiece struct {
	soundPiece
	made []byte
	err  error
}

// encodePieces reads a track's samples, encodes them in pieces, as many at once as slots
// has room for, and cuts what comes out, in order.
func (t *Toolbox) encodePieces(ctx context.Context, r io.Reader, track job.AudioTrack, slots chan struct{}, cutter *cmaf.AudioCutter) (info cmaf.TrackInfo, err error) {
	group, ctx := errgroup.WithContext(ctx)
	// As many may be ready as are under way: whoever waits for the first has the others.
	pieces := make(chan chan madePiece, cap(slots))
	group.Go(func() error {
		err := splitSound(r, track.Channels, func(p soundPiece) error {
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
				return ctx.Err()
			}
			made := make(chan madePiece, 1)
			group.Go(func() error {
				defer func() { <-slots }()
				encoded, err := t.encodePiece(ctx, track, p.samples)
				p.samples = nil
				made <- madePiece{p, encoded, err}
				return nil
			})
			select {
			case pieces <- made:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
		if err == nil { // else what is there isn't all of it
			close(pieces)
		}
		return err
	})
	group.Go(func() (err error) {
		info, err = cutter.CutPieces(ctx, inOrder(ctx, pieces))
		return err
	})
	return info, group.Wait()
}

// inOrder waits for each piece in turn.
func inOrder(ctx context.Context, pieces <-chan chan madePiece) iter.Seq2[cmaf.Piece, error] {
	return func(yield func(cmaf.Piece, error) bool) {
		for {
			var piece madePiece
			select {
			case made, more := <-pieces:
				if !more {
					return
				}
				piece = <-made // whose run ends with ctx
			case <-ctx.Done():
				piece.err = ctx.Err()
			}
			if !yield(cmaf.Piece{Output: bytes.NewReader(piece.made), Skip: piece.skip, Take: piece.take}, piece.err) || piece.err != nil {
				return
			}
		}
	}
}

// encodePiece encodes samples.
func (t *Toolbox) encodePiece(ctx context.Context, track job.AudioTrack, samples []byte) (made []byte, err error) {
	global, input := hwaccel.ThreadArgs(1)
	args := slices.Concat(global, input, []string{
		"-protocol_whitelist", "pipe",
		"-f", "f32le", "-ar", strconv.Itoa(track.SampleRate), "-ac", strconv.Itoa(track.Channels), "-i", "pipe:0",
		"-af", "aformat=sample_fmts=fltp:channel_layouts=" + layoutOf(track),
	}, aacArgs(track, ffmpeg.PipeURL(0)))
	report, err := t.FFmpeg.Run(ctx, ffmpeg.Command{
		Args: args, Input: bytes.NewReader(samples),
		Outputs: []func(io.Reader) error{func(r io.Reader) (err error) {
			made, err = io.ReadAll(r)
			return err
		}},
		Dir: t.Scratch, Nice: t.Nice, Logger: t.Logger, FirstFrameTimeout: t.FirstFrameTimeout, StallTimeout: t.StallTimeout,
	})
	if err != nil {
		return nil, fmt.Errorf("encode a piece of audio track %s: %w", track.Name, withLastWords(err, report))
	}
	return made, nil
}
