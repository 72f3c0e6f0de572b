// Package bench measures Millrace against what its users would run instead.
// Every figure is a ratio of things that ran in turn, on the same machine, on
// the same clip, in the same call: absolute times say more about the machine
// than about the program. docs/benchmarks.md has the results and the commands.
package bench
