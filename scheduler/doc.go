// Package scheduler decides which device runs which task, and how a job's
// timeline is cut into chunks. It is pure: no clock, I/O, randomness or
// goroutine, so the same events in the same order always give the same
// decisions, and whole racks can be simulated with the very code that runs them.
//
// # Words
//
//	room    what a device and its host have, as a vector (see [Room])
//	work    what one frame of a task is: two tasks of equal [Work] are alike
//	class   devices of one kind, speed and host, with the same labels
//	way     how work is done on a class: encoder, need of room, seconds a frame
//	lane    the tasks of one organisation that are of one work
//	price   what a second of a resource is worth while the rack is full
//
// # A decision
//
// Events go in ([Engine.SetNode], [Engine.Queue], [Engine.End], …), and
// [Engine.Decide] answers with assignments. It goes through these steps for each:
//
//	order    the lane whose organisation has had least for its weight, of those
//	         that may find room; in it, the job that is due first; of it, the
//	         longest task
//	ways     the classes that can do the work, by price: first those that no
//	         other work needs more, then the others if it ends sooner that way
//	fit      a device of the class with room in every dimension; a tree of rooms
//	         finds it without looking at all of them
//
// Nothing here depends on how many tasks wait or run but by the logarithm: jobs
// lie in heaps, devices in trees, and a lane that found no room isn't looked at
// again before some room comes back.
//
// The room that running attempts take up is counted from what was decided,
// never from what nodes say of themselves, so no node is promised more than it
// measured. docs/scheduling.md has the reasons and the figures.
package scheduler
