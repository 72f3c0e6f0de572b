// Package media makes ladders out of videos. Its functions are what a worker
// calls for each kind of task:
//
//	Inspect     what is in the source, and the plan: timeline, ladder, sound
//	Encode      one chunk of the timeline, decoded once for all its renditions
//	Audio       every audio track, once for the whole job
//	Thumbnails  small pictures for a player's seek bar
//	Package     check everything that was written, then publish it
//	Cleanup     remove what a cancelled job wrote
//
// All of them read the source through a loopback URL (see package storage),
// run ffmpeg in its sandbox (media/ffmpeg), cut what it writes on the fly into
// CMAF segments (media/cmaf) and put those into the output store as they come,
// so that nothing but the segment at hand is held in memory and no scratch file
// is needed.
//
// # Exactness
//
// Every cut is a frame number on the job's timeline. Within ffmpeg the fps
// filter puts the source's frames on the grid, where a frame's pts is its
// number, and trim takes exactly a chunk's frames. A chunk begins to decode at
// the keyframe before its start, not at its start, so that the grid chooses the
// same frames as in one uncut run. The cutter then counts what came out, and
// the package task compares all renditions with each other before anything is
// published.
package media
