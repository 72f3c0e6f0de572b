//go:build !race

package rig

// RaceDetector says whether the tests, and so the program, are built with it.
const RaceDetector = false
