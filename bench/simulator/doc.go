// Package simulator runs the scheduler on racks that nobody has at hand. It
// drives the very engine that the leader uses (scheduler.Engine) and the very
// state machine of jobs (job.Record) by a virtual clock; only ffmpeg is replaced,
// by how long it would take.
//
// A [Rack] is made of node kinds with speeds from public tables (hardware.go
// names them), each node a little faster or slower than its kind. A [Workload]
// is jobs with the pictures of vbench's clips and the lengths of real uploads.
// How long an attempt takes follows from the node's true speed, the clip and
// some noise; the scheduler knows only the kind's profile and what it learns.
//
// [Bound] is the least time in which any schedule could do the work, by a
// linear program; [Run] gives the time that a policy needs, and what
// organisations waited. docs/scheduling.md has the derivation and the figures.
package simulator
