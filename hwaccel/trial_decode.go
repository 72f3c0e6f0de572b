package hwaccel

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"

	"millrace/job"
)

// clipKey names a clip for decoders.
type clipKey struct{ codec, format, rung string }

// clip is a small file to decode, made at trial time.
type clip struct {
	file   string
	reason string // why there is none
}

// clipEncoders make the clips that no trial of an encoder has left behind.
var clipEncoders = map[string]struct {
	encoder string
	args    []string
}{
	"h264":       {"libx264", []string{"-preset", "veryfast"}},
	"hevc":       {"libx265", []string{"-preset", "ultrafast", "-x265-params", "log-level=error:pools=none:frame-threads=1"}},
	"av1":        {"libsvtav1", []string{"-preset", "12", "-crf", "30"}},
	"vp9":        {"libvpx-vp9", []string{"-deadline", "realtime", "-cpu-used", "8", "-b:v", "2M"}},
	"mpeg2video": {"mpeg2video", []string{"-b:v", "4M", "-bf", "2"}},
}

// sawDecoded notes that software has decoded a codec right: an encoder's trial
// does that by the way.
func (b *bench) sawDecoded(codec job.Codec, format string) {
	if b.decoded == nil {
		b.decoded = make(map[clipKey]bool)
	}
	b.decoded[clipKey{string(codec), format, ""}] = true
}

// clip makes a clip of a codec, pixel format and size, once.
func (b *bench) clip(ctx context.Context, codec, format string, r rung) clip {
	key := clipKey{codec, format, r.name}
	if known, made := b.clips[key]; made {
		return known
	}
	if b.clips == nil {
		b.clips = make(map[clipKey]clip)
	}
	maker := clipEncoders[codec]
	c := clip{file: filepath.Join(b.dir, fmt.Sprintf("clip-%s-%s-%s.mkv", codec, format, r.name))}
	switch {
	case !b.features.Encoders[maker.encoder]:
		c.reason = fmt.Sprintf("it was not tried: this ffmpeg has no %s to make a clip with", maker.encoder)
	default:
		args := slices.Concat(
			[]string{"-f", "lavfi", "-i", moving(r, format), "-frames:v", integer(int64(decoderFrames)), "-c:v", maker.encoder, "-pix_fmt", format},
			maker.args, []string{"-f", "matroska", c.file})
		if _, err := b.run(ctx, NoAPI, args...); err != nil {
			c.reason = "it was not tried: making a clip for it failed: " + sentence("encode", err)
		}
	}
	b.clips[key] = c
	return c
}

// decoders tries every decoder that the device might have.
func (b *bench) decoders(ctx context.Context) {
	apis := apisOf(b.device)
	if b.device.Kind == CPU {
		apis = []API{NoAPI}
	}
	for _, api := range apis {
		for _, decoder := range decoders {
			if decoder.API != api {
				continue
			}
			for _, format := range decoder.Formats {
				if ctx.Err() != nil {
					return
				}
				result := b.decoder(ctx, decoder, format)
				b.log().Debug("tried a decoder", "device", b.device.ID, "codec", decoder.Codec, "api", api,
					"pixel_format", format, "works", result.Works, "reason", result.Reason)
				b.profile.Decoders = append(b.profile.Decoders, result)
			}
		}
	}
}

// decoder decodes a clip on the device and compares it, picture by picture, with
// what software makes of it.
func (b *bench) decoder(ctx context.Context, d Decoder, format string) DecoderProfile {
	result := DecoderProfile{Codec: d.Codec, API: d.API, PixelFormat: format}
	if b.late() {
		result.Reason = notTried
		return result
	}
	if d.Name != "" && !b.features.Decoders[d.Name] {
		result.Reason = fmt.Sprintf("ffmpeg %s was built without the decoder %s", b.trials.Tools.Version, d.Name)
		return result
	}
	if d.API == NoAPI && b.decoded[clipKey{d.Codec, format, ""}] {
		result.Works = true
		return result
	}
	c := b.clip(ctx, d.Codec, format, tinyRung)
	if c.reason != "" {
		result.Reason = c.reason
		return result
	}
	input, chain := []string{"-i", c.file}, ""
	original, least := []string{"-i", c.file}, leastDecodeSSIM
	if surface, onDevice := SurfaceOf(d.API); onDevice {
		input = append(d.Args(b.device.Pin(d.API), 0), input...)
		chain = surface.Download + ",format=" + deviceFormats[format]
	} else { // against what went into the clip
		original, least = []string{"-f", "lavfi", "-i", moving(tinyRung, format)}, leastSSIM
	}
	found, err := b.compare(ctx, d.API, input, original, chain, format)
	switch {
	case err != nil:
		result.Reason = sentence(fmt.Sprintf("decode of %s", d.Codec), err)
	case found.frames != decoderFrames:
		result.Reason = fmt.Sprintf("it made %d of %d frames", found.frames, decoderFrames)
	case found.mean < least:
		result.Reason = fmt.Sprintf("its pictures are not what they should be: SSIM is %.3f, %.2f is the least", found.mean, least)
	default:
		result.Works = true
		if d.API != NoAPI && format == eightBit {
			result.FramesPerSecond = b.decodeSpeed(ctx, d)
		}
	}
	return result
}

// decodeRepeats is how many times a clip is decoded to measure that.
const decodeRepeats = 15

// decodeSpeed measures how fast the device decodes the large rung, where the
// pictures stay on it; nil if there was no time for it.
func (b *bench) decodeSpeed(ctx context.Context, d Decoder) map[string]float64 {
	if b.late() {
		return nil
	}
	c := b.clip(ctx, d.Codec, eightBit, largeRung)
	if c.reason != "" {
		return nil
	}
	args := append(d.Args(b.device.Pin(d.API), 0), "-stream_loop", integer(int64(decodeRepeats-1)), "-i", c.file, "-fps_mode", "passthrough", "-f", "null", "-")
	report, err := b.run(ctx, d.API, args...)
	if err != nil || report.Frames == 0 {
		return nil
	}
	return map[string]float64{largeRung.name: speed(report.Frames, report)}
}

// filters tries the filters that work on the device's pictures.
func (b *bench) filters(ctx context.Context, api API) {
	surface, _ := SurfaceOf(api)
	for _, filter := range surface.filters() {
		if !b.features.Filters[filter.Name] || b.late() || ctx.Err() != nil {
			continue
		}
		text := filter.String()
		if filter == surface.Scaler {
			text = surface.Scale(tinyRung.width, tinyRung.height, "nv12")
		}
		graph := "format=nv12," + surface.Upload + "," + text + "," + surface.Download + ",format=nv12"
		report, err := b.run(ctx, api, "-f", "lavfi", "-i", moving(smallRung, "nv12"), "-vf", graph, "-frames:v", integer(int64(tinyFrames)), "-f", "null", "-")
		works := err == nil && report.Frames == tinyFrames
		b.log().Debug("tried a filter", "device", b.device.ID, "filter", filter.Name, "works", works, "err", err)
		if works {
			b.profile.DeviceFilters = append(b.profile.DeviceFilters, filter.Name)
		}
	}
}
