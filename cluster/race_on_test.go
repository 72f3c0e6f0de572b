//go:build race

package cluster

const raceEnabled = true

// pace stretches the timeouts of tests' peers: the race detector makes them
// several times as slow, and a leader that isn't heard in time is deposed.
const pace = 3
