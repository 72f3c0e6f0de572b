package scheduler

import "slices"

// Under a full queue nearly all works wait for room, and each end of an attempt
// makes room for a few on one host. What is known of where there is none keeps
// Decide from asking all trees for all works again.

// roomyMost is how many hosts with room a pile keeps in mind; with more of them it
// is looked for in the trees.
const roomyMost = 8

// reopen lets the piles be tried again that may find room on a host that got some.
func (e *Engine) reopen(h *host) {
	for _, d := range h.devices {
		room := d.class.tree.room(d)
		for _, w := range d.class.ways {
			p := w.pile
			if !p.listed || !p.roomless && !p.full || p.roomless && !e.fits(w, room) {
				continue
			}
			p.full = false
			switch {
			case !p.roomless || slices.Contains(p.roomy, h):
			case len(p.roomy) == roomyMost:
				p.roomless = false
			default:
				p.roomy = append(p.roomy, h)
			}
		}
	}
}

// awake lets all piles be tried again: one that has room may wait for something better, which
// may be gone when the rack changes.
func (e *Engine) awake() {
	for _, p := range e.active {
		p.full = false
	}
}

// noRoom notes that no device has room for any of a pile's ways.
func (p *pile) noRoom() { p.roomless, p.roomy = true, p.roomy[:0] }

// hasRoom says whether there may be a device with room for any of a pile's ways.
func (e *Engine) hasRoom(p *pile) bool {
	if p.roomless {
		return slices.ContainsFunc(p.roomy, func(h *host) bool { return e.hostHasRoom(h, p) })
	}
	return slices.ContainsFunc(p.ways, func(w *way) bool { return e.fits(w, &w.class.tree.largest[1]) })
}

// hostHasRoom says whether one of a host's devices has room for any of a pile's ways.
func (e *Engine) hostHasRoom(h *host, p *pile) bool {
	if h.gone {
		return false
	}
	for _, d := range h.devices {
		room := d.class.tree.room(d)
		for _, w := range p.ways {
			if w.class == d.class && e.fits(w, room) {
				return true
			}
		}
	}
	return false
}

// shut closes all piles for which there is no room before they have their turn:
// what was just placed mostly took the room that had opened many.
func (e *Engine) shut() {
	for _, p := range e.active {
		if !p.full && !e.hasRoom(p) {
			p.full = true
			p.noRoom()
		}
	}
}
