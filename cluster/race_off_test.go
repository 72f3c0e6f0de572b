//go:build !race

package cluster

const raceEnabled = false

// pace stretches the timeouts of tests' peers.
const pace = 1
