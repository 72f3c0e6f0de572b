package scheduler

// tree finds a device with enough room among all of a class. It is a complete
// binary tree whose leaves are the devices' free room and whose inner nodes hold,
// for each dimension, the largest below: a branch whose largest don't fit is
// not entered.
type tree struct {
	leaves  int // a power of two
	largest []Room
	devices []*device // by leaf; nil where there is none
	unused  []int     // leaves
	// by is the dimension that a class's work runs out of first: of two branches
	// that may fit, the one that has more of it is tried first, so that work spreads.
	by int
}

// none is the room of a leaf that must not be found: everything needs a thread,
// if only a thousandth.
var none = Room{Threads: -1}

func newTree(by int) *tree {
	return &tree{leaves: 1, largest: []Room{none, none}, devices: make([]*device, 1), unused: []int{0}, by: by}
}

// add gives a device a leaf.
func (t *tree) add(d *device) {
	if len(t.unused) == 0 {
		t.grow()
	}
	d.leaf = t.unused[len(t.unused)-1]
	t.unused = t.unused[:len(t.unused)-1]
	t.devices[d.leaf] = d
	t.update(d)
}

func (t *tree) remove(d *device) {
	t.devices[d.leaf] = nil
	t.set(d.leaf, &none)
	t.unused = append(t.unused, d.leaf)
}

func (t *tree) grow() {
	old := t.devices
	t.leaves *= 2
	t.devices = make([]*device, t.leaves)
	t.largest = make([]Room, 2*t.leaves)
	for i := range t.largest {
		t.largest[i] = none
	}
	copy(t.devices, old)
	for i := t.leaves - 1; i >= len(old); i-- {
		t.unused = append(t.unused, i) // the lowest last: it is taken first
	}
	for _, d := range old {
		if d != nil {
			t.update(d)
		}
	}
}

// update tells the tree of a device's room after it changed.
func (t *tree) update(d *device) {
	room := d.room()
	t.set(d.leaf, &room)
}

// room is a device's free room as the tree has it.
func (t *tree) room(d *device) *Room { return &t.largest[t.leaves+d.leaf] }

func (t *tree) set(leaf int, room *Room) {
	n := t.leaves + leaf
	t.largest[n] = *room
	for n /= 2; n > 0; n /= 2 {
		left, right, both := &t.largest[2*n], &t.largest[2*n+1], &t.largest[n]
		same := true
		for d := range both {
			if most := max(left[d], right[d]); most != both[d] {
				both[d], same = most, false
			}
		}
		if same {
			return
		}
	}
}

// find is a device with room for need that isn't to be skipped, nil if there is
// none. skip may be nil.
func (t *tree) find(need *Room, skip func(*device) bool) *device {
	return t.below(1, need, skip)
}

func (t *tree) below(n int, need *Room, skip func(*device) bool) *device {
	if !t.largest[n].Fits(need) {
		return nil
	}
	if n >= t.leaves {
		d := t.devices[n-t.leaves]
		if d == nil || skip != nil && skip(d) {
			return nil
		}
		return d
	}
	first, second := 2*n, 2*n+1
	if t.largest[first][t.by] < t.largest[second][t.by] {
		first, second = second, first
	}
	if d := t.below(first, need, skip); d != nil {
		return d
	}
	return t.below(second, need, skip)
}
