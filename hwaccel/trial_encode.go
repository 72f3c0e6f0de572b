package hwaccel

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"millrace/job"
	"millrace/media/ffmpeg"
)

// encoder tries one encoder: whether it makes the pictures, all of them and with
// keyframes where they were asked for, in 8 and in 10 bits, and how fast.
func (b *bench) encoder(ctx context.Context, row Row) EncoderProfile {
	result := EncoderProfile{Encoder: row.Encoder}
	switch {
	case !b.features.Encoders[row.Encoder]:
		result.Reason = fmt.Sprintf("ffmpeg %s was built without %s", b.trials.Tools.Version, row.Encoder)
		return result
	case b.late():
		result.Reason = notTried
		return result
	}
	declared, err := Declared(ctx, b.features, row.Encoder)
	if err != nil {
		result.Reason = sentence("encode", err)
		return result
	}
	try := &encoderTrial{bench: b, row: row, declared: declared}
	made, err := try.make(ctx, smallRung, trialFrames, false)
	if err != nil {
		result.Reason = sentence("encode of "+smallRung.name, err)
		return result
	}
	result.Works, result.SSIM, result.Signature, result.Without = true, made.ssim, made.signature, try.without
	result.FramesPerSecond = map[string]float64{smallRung.name: made.speed}
	b.sawDecoded(row.Codec, eightBit)
	switch {
	case row.PixelFormat10 == "":
		result.TenBitReason = fmt.Sprintf("%s takes pictures of 8 bits only", row.Encoder)
	default:
		_, err := try.make(ctx, tinyRung, tinyFrames, true)
		if err != nil {
			result.TenBitReason = sentence("encode of 10-bit pictures", err)
			break
		}
		result.TenBit = true
		b.sawDecoded(row.Codec, tenBit)
	}
	return result
}

// programOptions are options of the ffmpeg program rather than of an encoder.
var programOptions = map[string]bool{"c": true, "pix_fmt": true, "tag": true, "force_key_frames": true}

// Declared is what an ffmpeg says that it knows as options of an encoder, for
// [Settings]. The error is of asking it.
func Declared(ctx context.Context, features *ffmpeg.Features, encoder string) (func(option string) bool, error) {
	options, err := features.EncoderOptions(ctx, encoder)
	if err != nil {
		return nil, err
	}
	return func(name string) bool { return options[name] || programOptions[name] }, nil
}

// encoderTrial is the trials of one encoder; what the device refuses is learnt
// on the way.
type encoderTrial struct {
	bench    *bench
	row      Row
	declared func(string) bool
	without  []string
}

// trialOutput is what a trial encode made.
type trialOutput struct {
	file        string
	ssim, speed float64
	signature   string
}

// make encodes moving pictures and looks at what came out.
func (e *encoderTrial) make(ctx context.Context, r rung, frames int64, tenBit bool) (trialOutput, error) {
	name := e.row.Encoder + ".mp4"
	if tenBit {
		name = e.row.Encoder + "-10.mp4"
	}
	out := trialOutput{file: filepath.Join(e.bench.dir, name)}
	report, err := e.encode(ctx, r, frames, tenBit, out.file)
	for err != nil && ctx.Err() == nil {
		refused := slices.DeleteFunc(e.row.refused(report.LastWords), func(f string) bool { return slices.Contains(e.without, f) })
		if len(refused) == 0 {
			return out, err
		}
		e.without = append(e.without, refused...)
		report, err = e.encode(ctx, r, frames, tenBit, out.file)
	}
	if err != nil {
		return out, err
	}
	out.speed = speed(frames, report)
	if err := e.bench.checkPackets(ctx, r, frames, out.file); err != nil {
		return out, err
	}
	format := e.row.Format(tenBit)
	found, err := e.bench.compare(ctx, NoAPI, []string{"-i", out.file},
		[]string{"-f", "lavfi", "-i", moving(r, format) + fmt.Sprintf(",trim=end_frame=%d", frames)}, "", format)
	switch {
	case err != nil:
		return out, fmt.Errorf("compare its pictures with the source's: %w", err)
	case found.frames != frames:
		return out, fmt.Errorf("it made %d of %d frames", found.frames, frames)
	case found.mean < leastSSIM || found.poorest < leastFrameSSIM:
		return out, fmt.Errorf("its pictures don't look like the source's: SSIM is %.3f, and %.3f for the poorest; %.2f and %.2f are the least", found.mean, found.poorest, leastSSIM, leastFrameSSIM)
	}
	out.ssim = found.mean
	out.signature, err = signature(out.file)
	return out, err
}

func (e *encoderTrial) encode(ctx context.Context, r rung, frames int64, tenBit bool, file string) (ffmpeg.Report, error) {
	return e.bench.run(ctx, e.row.API, e.args(r, frames, tenBit, "-f", "mp4", "-movflags", "frag_keyframe+empty_moov+default_base_moof", file)...)
}

// args encode moving pictures; they go to the device first where there is one.
func (e *encoderTrial) args(r rung, frames int64, tenBit bool, output ...string) []string {
	pictures := moving(r, e.row.Format(tenBit))
	surface, onDevice := SurfaceOf(e.row.API)
	args := []string{"-f", "lavfi", "-i", pictures, "-frames:v", integer(frames)}
	if onDevice {
		args = append(args, "-vf", surface.Upload)
	}
	args = append(args, e.row.Args(Settings{
		Rendition:     job.Rendition{MaxBitsPerSecond: 8_000_000, BufferBits: 16_000_000},
		SegmentFrames: trialSegment, Threads: e.bench.threads, TenBit: tenBit, OnDevice: onDevice,
		Declared: e.declared, Without: e.without,
	})...)
	return append(args, output...)
}

// speed is ffmpeg's own figure, which leaves its start out, or for a run too
// short to have one, frames over all of its time.
func speed(frames int64, report ffmpeg.Report) float64 {
	if report.FramesPerSecond > 0 {
		return report.FramesPerSecond
	}
	return float64(frames) / max(report.Elapsed.Seconds(), 0.001)
}

// checkPackets counts what a trial wrote, and where its keyframes are: encoders
// have been seen to exit well with neither.
func (b *bench) checkPackets(ctx context.Context, r rung, frames int64, file string) error {
	found, err := b.trials.Tools.Probe(ctx, file, "-select_streams", "v:0",
		"-show_packets", "-show_entries", "stream:packet=stream_index,pts,dts,flags")
	if err != nil {
		return fmt.Errorf("look at its output: %w", err)
	}
	if len(found.Streams) != 1 {
		return fmt.Errorf("its output has %d video streams", len(found.Streams))
	}
	stream := found.Streams[0]
	if len(found.Packets) != int(frames) {
		return fmt.Errorf("it made %d of %d frames", len(found.Packets), frames)
	}
	if stream.Width != r.width || stream.Height != r.height {
		return fmt.Errorf("it made pictures of %d×%d in place of %d×%d", stream.Width, stream.Height, r.width, r.height)
	}
	var keys, want []int
	for i, packet := range found.Packets {
		if packet.Key {
			keys = append(keys, i)
		}
	}
	for i := 0; i < int(frames); i += trialSegment {
		want = append(want, i)
	}
	if !slices.Equal(keys, want) {
		return fmt.Errorf("it put keyframes at frames %v in place of %v", keys, want)
	}
	return nil
}

// signature is a hash of the decoder's configuration in a file's header.
func signature(file string) (string, error) {
	const head = 4096 // the header of a fragmented file with one track is some 800 bytes
	input, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer func() { _ = input.Close() }()
	text := make([]byte, head)
	n, err := input.Read(text)
	if err != nil {
		return "", fmt.Errorf("read the header of its output: %w", err)
	}
	text = text[:n]
	for _, name := range []string{"avcC", "hvcC", "av1C"} {
		at := bytes.Index(text, []byte(name))
		if at < 4 {
			continue
		}
		size := int(binary.BigEndian.Uint32(text[at-4:]))
		if size < 8 || at-4+size > len(text) {
			continue
		}
		sum := sha256.Sum256(text[at : at-4+size])
		return hex.EncodeToString(sum[:8]), nil
	}
	return "", fmt.Errorf("its output's header has no decoder configuration")
}
