package scheduler

// heap is a binary heap whose items know where they lie in it, so that one that
// changed is moved, or removed, in logarithmic time.
type heap[T any] struct {
	items []T
	less  func(a, b T) bool
	// at is where an item keeps its place.
	at func(T) *int
}

func (h *heap[T]) len() int { return len(h.items) }

func (h *heap[T]) push(item T) {
	h.items = append(h.items, item)
	*h.at(item) = len(h.items) - 1
	h.up(len(h.items) - 1)
}

// remove takes an item out. It is not an error if it isn't in.
func (h *heap[T]) remove(item T) {
	i := *h.at(item)
	if i < 0 {
		return
	}
	*h.at(item) = -1
	last := len(h.items) - 1
	if i != last {
		h.items[i] = h.items[last]
		*h.at(h.items[i]) = i
	}
	var zero T
	h.items[last] = zero
	h.items = h.items[:last]
	if i != last {
		h.fix(h.items[i])
	}
}

// fix moves an item that changed.
func (h *heap[T]) fix(item T) {
	if i := *h.at(item); i >= 0 && !h.down(i) {
		h.up(i)
	}
}

// sink moves an item that changed so that it can only have to go back.
func (h *heap[T]) sink(item T) {
	if i := *h.at(item); i >= 0 {
		h.down(i)
	}
}

func (h *heap[T]) up(i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if !h.less(h.items[i], h.items[parent]) {
			return
		}
		h.swap(i, parent)
		i = parent
	}
}

func (h *heap[T]) down(i int) bool {
	start := i
	for {
		child := 2*i + 1
		if child >= len(h.items) {
			break
		}
		if right := child + 1; right < len(h.items) && h.less(h.items[right], h.items[child]) {
			child = right
		}
		if !h.less(h.items[child], h.items[i]) {
			break
		}
		h.swap(i, child)
		i = child
	}
	return i != start
}

func (h *heap[T]) swap(i, j int) {
	h.items[i], h.items[j] = h.items[j], h.items[i]
	*h.at(h.items[i]), *h.at(h.items[j]) = i, j
}
