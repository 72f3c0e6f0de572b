package clustertest

import "math/rand/v2"

// nemesis spoils a cluster at random. It leaves a majority alive, for what it
// kills, and everything else it may do to all of them.
type nemesis struct {
	team    *team
	random  *rand.Rand
	down    []*peer
	stopped []*peer
}

func newNemesis(c *team, seed uint64) *nemesis {
	return &nemesis{team: c, random: rand.New(rand.NewPCG(seed, 0))}
}

// victim is the leader half of the time, if there is one.
func (n *nemesis) victim() *peer {
	if leader := n.team.leads(); leader != nil && n.random.IntN(2) == 0 {
		return leader
	}
	living := n.team.living()
	return living[n.random.IntN(len(living))]
}

// strike does one thing, and logs it.
func (n *nemesis) strike() {
	c, victim := n.team, n.victim()
	others := c.others(victim)
	strikes := []struct {
		what string
		do   func()
	}{
		{"is killed", func() { victim.kill(); n.down = append(n.down, victim) }},
		{"is frozen", func() { victim.pause(); n.stopped = append(n.stopped, victim) }},
		{"is cut off", func() { c.lab.Split(hosts(victim), hosts(others...)) }},
		{"is not heard", func() { c.lab.Cut(victim.host, hosts(others...)...) }},
		{"doesn't see one other", func() { c.lab.Split(hosts(victim), hosts(others[0])) }},
		{"and all others lose a third of their packets", func() { c.lab.Lose(30, hosts(c.living()...)...) }},
		{"and all others are killed", func() {
			for _, p := range c.living() {
				p.kill()
				n.down = append(n.down, p)
			}
		}},
	}
	strike := strikes[n.random.IntN(len(strikes))]
	state := ""
	if c.leads() == victim {
		state = " (leader)"
	}
	c.t.Logf("%s%s %s", victim.name, state, strike.what)
	strike.do()
}

// relent undoes all of it.
func (n *nemesis) relent() {
	n.team.lab.Heal()
	for _, p := range n.stopped {
		p.resume()
	}
	for _, p := range n.down {
		p.launch()
	}
	n.stopped, n.down = nil, nil
}
