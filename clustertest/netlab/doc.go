// Package netlab gives tests machines on a network of their own: network
// namespaces with their own addresses, whose links can be cut, in one direction
// or both, made to lose packets, and made slow.
//
//	func TestMain(m *testing.M) { os.Exit(netlab.Main(func() int { return rig.Main(m, testsAtOnce) })) }
//
//	lab := netlab.New(t)
//	a, b := lab.Host(), lab.Host()
//	exited, err := a.Start(exec.Command("millrace", "serve", …)) // at a.Address()
//	lab.Cut(a, b)             // what a sends doesn't reach b; b's words reach a
//	lab.Lose(30, a, b)        // three packets in ten, each way
//	lab.Delay(time.Second/2, a, b)
//	lab.Heal()
//
// # How it is made
//
// [Main] runs the test binary once more, in a network namespace that nothing
// else is in: the hub. Each [Lab] is a bridge in the hub, and each [Host] a
// further namespace, tied to the bridge by a veth pair. All of them have no name
// and live as long as the processes in them, so runs of tests never collide and
// a run that is killed leaves nothing. The test itself, with its HTTP servers and
// clients, stands in the hub and reaches every host.
//
// Cuts and losses are rules of nftables that drop packets where they arrive (a
// rule at the sender would tell the sender). Delay is by a relay, for not every
// kernel has netem: the slow link's packets are routed into a TUN device, kept
// for a while, and put out of the other host's.
//
// Where the user isn't root, the hub is in a user namespace too; a kernel that
// forbids that needs root.
package netlab
