package cmaf

import "fmt"

// InitName is the file name of a track's init segment.
const InitName = "init.mp4"

// SegmentPattern is [SegmentName] as a DASH media template.
const SegmentPattern = "$Number%05d$.m4s"

// FirstSegment is the number of a track's first segment.
const FirstSegment = 1

// SegmentName is the file name of the track's nth segment, counted from
// [FirstSegment]: "00001.m4s". Numbers above 99999 simply take more digits.
func SegmentName(n int) string { return fmt.Sprintf("%05d.m4s", n) }
