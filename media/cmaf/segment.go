package cmaf

import (
	"bytes"
	"fmt"

	"github.com/Eyevinn/mp4ff/mp4"
)

// SegmentData is one finished media segment.
type SegmentData struct {
	// Number is within the track, from [FirstSegment]; Name is its file's.
	Number int
	Name   string
	// Samples is the number of pictures or access units.
	Samples int64
	// Duration is how long the segment is shown or heard, in ticks of
	// [TrackInfo].Timescale. The first of an audio track is shorter than its
	// access units by the priming that the edit list hides.
	Duration int64
	// Bytes is the whole segment: styp, moof, mdat. The receiver owns it.
	Bytes []byte
}

// TrackInfo is what a cutter learned of its track.
type TrackInfo struct {
	// Codec is the RFC 6381 string found in the bitstream ("avc1.64001f").
	Codec string
	// Init is the init segment: the same bytes for all chunks encoded alike.
	Init []byte
	// Timescale is the ticks per second of all times.
	Timescale int64
	// Width and Height are coded pixels; 0 for audio.
	Width, Height int
	// DelayFrames is how many frames the encoder really delayed a picture in
	// this chunk, at most the configured delay; 0 for audio.
	DelayFrames int64
	// Segments and Samples count what was emitted.
	Segments int
	Samples  int64
}

// sampleInfo is a sample as a segment's trun box has it.
type sampleInfo struct {
	size   uint32
	sync   bool
	offset int32 // composition offset, ticks, not negative
}

// segmentWriter is what the segments of a track have in common.
type segmentWriter struct {
	sampleDuration uint32
	sampleFlags    uint32 // of the samples after the first
	offsets        bool   // write composition offsets
}

// encode makes a CMAF segment of one fragment. data is the samples' bytes.
func (w segmentWriter) encode(number int, decodeTime int64, samples []sampleInfo, data []byte) ([]byte, error) {
	styp := mp4.NewStyp("msdh", 0, []string{"msdh", "cmfs"})
	moof := &mp4.MoofBox{}
	traf := &mp4.TrafBox{}
	trun := w.trun(samples)
	tfhd := mp4.CreateTfhd(trackID)
	tfhd.Flags |= tfhdDefaultDuration | tfhdDefaultFlags
	tfhd.DefaultSampleDuration, tfhd.DefaultSampleFlags = w.sampleDuration, w.sampleFlags
	tfdt := mp4.CreateTfdt(uint64(decodeTime))
	tfdt.Version = 1 // always 64 bits, so that a segment's size doesn't depend on its place

	for _, add := range []error{
		moof.AddChild(mp4.CreateMfhd(uint32(number))), moof.AddChild(traf),
		traf.AddChild(tfhd), traf.AddChild(tfdt), traf.AddChild(trun),
	} {
		if add != nil {
			return nil, fmt.Errorf("write segment %d: %w", number, add)
		}
	}
	mdat := &mp4.MdatBox{Data: data}
	trun.DataOffset = int32(moof.Size() + mdat.HeaderSize())

	buffer := bytes.NewBuffer(make([]byte, 0, styp.Size()+moof.Size()+mdat.Size()))
	for _, box := range []mp4.Box{styp, moof, mdat} {
		if err := box.Encode(buffer); err != nil {
			return nil, fmt.Errorf("write segment %d: %w", number, err)
		}
	}
	return buffer.Bytes(), nil
}

func (w segmentWriter) trun(samples []sampleInfo) *mp4.TrunBox {
	trun := mp4.CreateTrun(0)
	trun.Version = 0
	trun.Flags = trunDataOffset | trunSizes
	if w.offsets {
		trun.Flags |= trunCompositionTimes
	}
	for i, s := range samples {
		flags := uint32(flagsNonSync)
		if s.sync {
			flags = flagsSync
		}
		if flags != w.sampleFlags && i == 0 {
			trun.SetFirstSampleFlags(flags)
		} else if flags != w.sampleFlags {
			// A keyframe where none was asked for: say so of each sample.
			trun.Flags |= trunFlags
		}
		trun.Samples = append(trun.Samples, mp4.Sample{Size: s.size, Flags: flags, CompositionTimeOffset: s.offset})
	}
	if trun.HasSampleFlags() {
		trun.RemoveFirstSampleFlags()
	}
	return trun
}
