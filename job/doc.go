// Package job is Millrace's vocabulary: what a job is, how its pictures are
// cut, which states it and its tasks go through, and which errors it can end
// in. It imports nothing else of Millrace, does no I/O, reads no clock and
// starts no goroutine, so that every other room can share its words.
//
// A [Job] is one request: one source, one output path, a ladder of
// [Rendition]s. Its pictures lie on a [Timeline], a constant rational frame
// rate and a frame count. The timeline is cut into [Segment]s (what a player
// downloads) and, in runs of whole segments, into [Chunk]s (what one node
// encodes at a time). Each piece of work is a [Task]; each try of a task is an
// [Attempt], and the attempt's number is the fence: a report that carries the
// number of one that doesn't hold the task is refused.
//
// [Apply] functions in state.go are pure: old values in, new values out. The
// tables in transitions.go say which changes are legal.
package job
