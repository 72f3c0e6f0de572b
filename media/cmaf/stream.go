package cmaf

import (
	"bytes"
	"context"
	"errors"
	"io"
)

// readStream reads fragmented MP4 to its end: header is called once with what
// the moov box says, then visit for each sample in decoding order. One fragment is
// in memory at a time.
func readStream(ctx context.Context, r io.Reader, header func(inputTrack) error, visit func(sample) error) error {
	stream := &boxStream{r: r}
	var (
		moof, mdat bytes.Buffer
		track      inputTrack
		started    bool  // the moov was read
		moofStart  int64 // where the latest moof begins
	)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		start := stream.position
		box, err := stream.next()
		if errors.Is(err, io.EOF) {
			if !started {
				return mismatch("ffmpeg's output has no header: it ended after %d bytes", stream.position)
			}
			return nil
		}
		if err != nil {
			return err
		}
		switch {
		case box.kind == "moov" && !started:
			if err := stream.payload(box, &moof, maxMoovBytes); err != nil {
				return err
			}
			if track, err = parseMoov(moof.Bytes()); err != nil {
				return err
			}
			if err := header(track); err != nil {
				return err
			}
			started = true
			moof.Reset()
		case box.kind == "moof" && started:
			moofStart = start
			if err := stream.payload(box, &moof, maxMoofBytes); err != nil {
				return err
			}
		case box.kind == "mdat" && moof.Len() > 0:
			at := stream.position - moofStart
			if err := stream.payload(box, &mdat, maxSegmentBytes); err != nil {
				return err
			}
			f := fragment{moof: moof.Bytes(), mdat: mdat.Bytes(), mdatAt: at}
			if err := f.samples(track.defaults, visit); err != nil {
				return err
			}
			moof.Reset()
		case box.kind == "moov" || box.kind == "moof" || box.kind == "mdat":
			return mismatch("ffmpeg's output has a %q box at %d where none belongs", box.kind, start)
		default: // ftyp, styp, sidx, free, mfra, …
			if err := stream.skip(box); err != nil {
				return err
			}
		}
	}
}
