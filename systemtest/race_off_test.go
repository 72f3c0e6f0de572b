//go:build !race

package systemtest

// raceDetector says whether the tests, and so the program, are built with it.
const raceDetector = false
