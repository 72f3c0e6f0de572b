// Package bench measures Millrace against what its users would run instead.
// Figures are ratios of things that ran in turn, on the same machine, on the
// same clip or bytes, in the same call: absolute times say more about the machine
// than about the program. docs/benchmarks.md has the results and the commands.
package bench
