package cluster

import (
	"cmp"
	"math"
	"slices"
)

// rumours are the messages that this peer has still to pass on with gossip.
// Of each peer's profile and load only the newest is passed on, so there are at
// most two for each member.
type rumours struct {
	byKey map[rumourKey]*passing
	order uint64
}

type rumourKey struct {
	id   string
	kind byte
}

type passing struct {
	message []byte
	left    int // how many more times it is sent
	order   uint64
}

// loadTransmits is how many times each peer passes a load on. About one peer in
// fifty then misses it, and hears the next one.
const loadTransmits = 4

// announceTransmits is how many times each peer passes on that there is a new
// profile, so that nobody is likely to miss it.
func announceTransmits(peers int) int {
	return loadTransmits + int(math.Ceil(math.Log2(float64(peers+1))))
}

func (r *rumours) spread(key rumourKey, message []byte, transmits int) {
	if r.byKey == nil {
		r.byKey = make(map[rumourKey]*passing)
	}
	r.order++
	r.byKey[key] = &passing{message: message, left: transmits, order: r.order}
}

// drop forgets what was to be passed on about a peer.
func (r *rumours) drop(id string) {
	delete(r.byKey, rumourKey{id, kindLoad})
	delete(r.byKey, rumourKey{id, kindProfile})
}

// next fills a packet: first what was passed on least, then what has waited
// longest. Each message takes overhead bytes more than its own.
func (r *rumours) next(overhead, limit int) [][]byte {
	if len(r.byKey) == 0 {
		return nil
	}
	type candidate struct {
		key rumourKey
		*passing
	}
	waiting := make([]candidate, 0, len(r.byKey))
	for key, p := range r.byKey {
		waiting = append(waiting, candidate{key, p})
	}
	slices.SortFunc(waiting, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(b.left, a.left), cmp.Compare(a.order, b.order))
	})
	var messages [][]byte
	for _, c := range waiting {
		size := overhead + len(c.message)
		if size > limit {
			continue
		}
		limit -= size
		messages = append(messages, c.message)
		if c.left--; c.left == 0 {
			delete(r.byKey, c.key)
		}
	}
	return messages
}
