package cmaf

import (
	"bytes"
	"fmt"

	"github.com/Eyevinn/mp4ff/mp4"
)

// trackID is the one track's number in init and media segments.
const trackID = 1

// initTrack is what an init segment says of its track.
type initTrack struct {
	mediaType string // "video" or "audio", mp4ff's words
	timescale uint32
	entry     []byte // the sample entry, whole
	// width and height are in pixels as displayed; 0 for audio.
	width, height uint32
	// mediaTime is the composition time, in ticks, that is shown first: the
	// edit list hides what comes before. 0 writes no edit list.
	mediaTime int64
	// sampleDuration in ticks and sampleFlags are the fragments' defaults.
	sampleDuration, sampleFlags uint32
}

// Sample flags: what depends on what, and whether decoding can start there.
const (
	flagsSync    = 0x02000000 // depends on no other sample
	flagsNonSync = 0x01010000 // depends on others
)

// encode writes the CMAF header. It depends on nothing but t: times of creation
// are zero and names are neutral.
func (t initTrack) encode() ([]byte, error) {
	segment := mp4.NewMP4Init()
	segment.AddChild(mp4.NewFtyp("iso6", 0, []string{"iso6", "cmfc", "dash"}))
	moov := mp4.NewMoovBox()
	segment.AddChild(moov)
	mvhd := mp4.CreateMvhd()
	mvhd.Timescale = t.timescale
	moov.AddChild(mvhd)
	moov.AddChild(mp4.NewMvexBox())
	trak := segment.AddEmptyTrack(t.timescale, t.mediaType, "und")

	trak.Tkhd.Width, trak.Tkhd.Height = mp4.Fixed32(t.width<<16), mp4.Fixed32(t.height<<16)
	trak.Mdia.Hdlr.Name = t.mediaType
	// Not stsd.AddChild: it wants an entry that mp4ff has parsed.
	stsd := trak.Mdia.Minf.Stbl.Stsd
	stsd.Children, stsd.SampleCount = []mp4.Box{rawBox(t.entry)}, 1
	if t.mediaTime != 0 {
		elst := &mp4.ElstBox{Entries: []mp4.ElstEntry{{MediaTime: t.mediaTime, MediaRateInteger: 1}}}
		edts := &mp4.EdtsBox{}
		edts.AddChild(elst)
		// An edit list stands before the media box.
		trak.Edts = edts
		trak.Children = []mp4.Box{trak.Tkhd, edts, trak.Mdia}
	}
	moov.Children = []mp4.Box{mvhd, trak, moov.Mvex} // the usual order; mp4ff has mvex first
	moov.Mvex.Trex.DefaultSampleDuration = t.sampleDuration
	moov.Mvex.Trex.DefaultSampleFlags = t.sampleFlags

	var buffer bytes.Buffer
	if err := segment.Encode(&buffer); err != nil {
		return nil, fmt.Errorf("write the init segment: %w", err)
	}
	return buffer.Bytes(), nil
}

func rawBox(raw []byte) mp4.Box {
	return mp4.CreateUnknownBox(string(raw[4:8]), uint64(len(raw)), raw[8:])
}
