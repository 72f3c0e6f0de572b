package scheduler

import (
	"cmp"
	"iter"
	"math/rand/v2"
	"slices"

	"millrace/job"
)

// piece is a run of segments that becomes a chunk; a divided one's ladder is made
// in groups of renditions, each a task of its own.
type piece struct {
	first, count int
	divided      bool
}

// lone foresees how long a job that has the rack to itself takes if it is cut in some
// way: its tasks go, the longest first, to the slot that is free first, as the engine
// places them. How hard the pictures are nobody knows, so it is the mean of several
// guesses.
type lone struct {
	slots int
	// decode and encode are what the segments take, in seconds on one slot; lead is
	// the decoding before a piece that begins with the segment.
	decode, encode, lead []float64
	// shares are the parts of the encoding that the groups of a divided piece make;
	// empty where none may be divided.
	shares []float64
	// hard is, for each guess, how hard each segment is: 1 is the mean.
	hard [][]float64
	// sound is for how long each of so many slots makes that first, in seconds.
	sound      float64
	soundSlots int

	// paces are, for each guess, how much longer each slot takes than was measured.
	paces [][]float64

	tasks []loneTask // of the way that was looked at last
	free  []loneSlot // a heap, the first to be free on top
}

// loneSlot is when a slot is free, and its pace.
type loneSlot struct{ at, pace float64 }

// loneTask is a piece with the whole ladder (a share of 1), or one of its groups.
type loneTask struct {
	piece    piece
	share    float64
	expected float64 // seconds
}

const (
	// guesses is of how many the mean is taken. In each the pictures are harder or
	// easier than the mean by sceneSpread at most for about sceneSegments, and each
	// segment by segmentSpread besides: of a film, an animation and a street's camera
	// the segments took 0.55 to 1.32 of their mean, neighbours alike.
	guesses       = 32
	sceneSpread   = 0.3
	sceneSegments = 3
	segmentSpread = 0.1
	// paceSpread is by how much slots differ from what was measured.
	paceSpread = 0.05
	// runSeconds is what a run of ffmpeg takes before it decodes (0.18 s were measured).
	runSeconds = 0.2
	// mostPieces and mostLooks bound the search for the best way to cut: of more pieces
	// than that each is a small part of all, and it mostly ends after some hundred looks.
	mostPieces = 64
	mostLooks  = 1000
	// worthChange is to which part a change must shorten a job: more than what is
	// foreseen may be wrong by, for each costs others something.
	worthChange = 0.998
)

// newLone looks at a plan for slots on which a frame takes so long. groups are those
// of its renditions that a piece may be divided into; none if it may not.
func newLone(plan job.Plan, slots int, secondsPerFrame float64, groups [][]string) *lone {
	l := &lone{slots: slots, soundSlots: 1}
	decoded, encoded := float64(plan.Source.Width*plan.Source.Height)/decodeToEncode, 0.0
	for _, r := range plan.Renditions {
		encoded += float64(r.Width * r.Height)
	}
	decoding := secondsPerFrame * decoded / max(1, decoded+encoded)
	for i := range plan.Timeline.Segments() {
		frames := float64(plan.Timeline.Segment(i).Len())
		l.decode = append(l.decode, frames*decoding)
		l.encode = append(l.encode, frames*(secondsPerFrame-decoding))
		before := startSeconds - runSeconds // on average
		if i < len(plan.Source.Leads) {
			before = plan.Source.Leads[i].Seconds() * plan.Timeline.Rate.Float() * decoding
		}
		l.lead = append(l.lead, before)
	}
	for _, group := range groups {
		share := 0.0
		for _, r := range plan.Renditions {
			if slices.Contains(group, r.Name) {
				share += float64(r.Width*r.Height) / max(1, encoded)
			}
		}
		l.shares = append(l.shares, share)
	}
	if len(plan.Audio) > 0 {
		l.hear(plan)
	}
	l.guess()
	return l
}

// hear takes note of the sound: of as many slots as the engine would give it threads.
func (l *lone) hear(plan job.Plan) {
	pictures := 0.0
	for i := range l.encode {
		pictures += l.encode[i] + l.decode[i]
	}
	frames := SoundFrames(&plan)
	l.sound = audioSeconds * float64(frames)
	together := (pictures + l.sound) / float64(max(1, l.slots))
	l.soundSlots = max(1, min(l.slots, soundFor(frames, l.sound, together)))
	l.sound /= float64(l.soundSlots)
}

// guess draws how hard the segments are: the same for all ways to cut them.
func (l *lone) guess() {
	random := rand.New(rand.NewPCG(0, 0))
	// around is up to spread from 1.
	around := func(spread float64) float64 { return 1 + spread*(2*random.Float64()-1) }
	for range guesses {
		hard, scene := make([]float64, len(l.encode)), 0.0
		for i := range hard {
			if i == 0 || random.IntN(sceneSegments) == 0 {
				scene = around(sceneSpread)
			}
			hard[i] = scene * around(segmentSpread)
		}
		paces := make([]float64, l.slots)
		for i := range paces {
			paces[i] = around(paceSpread)
		}
		l.hard, l.paces = append(l.hard, hard), append(l.paces, paces)
	}
}

// takes is how long a task takes, in seconds, if its segments are so hard.
func (l *lone) takes(of piece, share float64, hard []float64) float64 {
	seconds := runSeconds + l.lead[of.first]
	for i := of.first; i < of.first+of.count; i++ {
		seconds += l.decode[i] + l.encode[i]*share*hard[i]
	}
	return seconds
}

// end is when all pieces are made, in seconds, on average.
func (l *lone) end(pieces []piece) float64 {
	l.tasks = l.tasks[:0]
	for _, p := range pieces {
		shares := l.shares
		if !p.divided {
			shares = []float64{1}
		}
		for _, share := range shares {
			expected := 0.0
			for i := p.first; i < p.first+p.count; i++ {
				expected += l.decode[i] + l.encode[i]*share
			}
			l.tasks = append(l.tasks, loneTask{p, share, expected})
		}
	}
	slices.SortStableFunc(l.tasks, func(a, b loneTask) int { return cmp.Compare(b.expected, a.expected) })
	sum := 0.0
	for g, hard := range l.hard {
		l.free = l.free[:0]
		for _, pace := range l.paces[g][:min(l.slots, len(l.tasks)+l.soundSlots)] {
			l.free = append(l.free, loneSlot{pace: pace})
		}
		for range l.soundSlots {
			l.add(l.sound)
		}
		last := 0.0
		for _, task := range l.tasks {
			last = max(last, l.add(l.takes(task.piece, task.share, hard)))
		}
		sum += last
	}
	return sum / guesses
}

// add gives the slot that is free first something that takes so long, and says when
// it is done.
func (l *lone) add(seconds float64) float64 {
	slot := l.free[0]
	slot.at += seconds * slot.pace
	at := 0
	for child := 1; child < len(l.free); child = 2*at + 1 {
		if right := child + 1; right < len(l.free) && l.free[right].at < l.free[child].at {
			child = right
		}
		if slot.at <= l.free[child].at {
			break
		}
		l.free[at] = l.free[child]
		at = child
	}
	l.free[at] = slot
	return slot.at
}

// improve moves cuts, joins, cuts and divides pieces, where they may be, for as long as
// that ends the job sooner, and says when that is. No piece gets longer than so many
// segments.
func improve(pieces []piece, longest int, divide bool, ends func([]piece) float64) ([]piece, float64) {
	end := ends(pieces)
	for looks, improved := 0, true; improved; {
		improved = false
		for changed := range changes(pieces, longest, divide) {
			if looks++; looks > mostLooks {
				return pieces, end
			}
			if sooner := ends(changed); sooner < end*worthChange {
				pieces, end, improved = changed, sooner, true
				break
			}
		}
	}
	return pieces, end
}

// changes are the ways to cut that differ from one in one place.
func changes(pieces []piece, longest int, divide bool) iter.Seq[[]piece] {
	// replaced has others in the place of count pieces.
	replaced := func(at, count int, others ...piece) []piece {
		return slices.Replace(slices.Clone(pieces), at, at+count, others...)
	}
	return func(yield func([]piece) bool) {
		for i, p := range pieces {
			if divide && !yield(replaced(i, 1, piece{p.first, p.count, !p.divided})) {
				return
			}
			for n := 1; n < p.count && len(pieces) < mostPieces; n++ {
				if !yield(replaced(i, 1, piece{p.first, n, p.divided}, piece{p.first + n, p.count - n, p.divided})) {
					return
				}
			}
			if i+1 == len(pieces) {
				return
			}
			next := pieces[i+1]
			both := p.count + next.count
			if both <= longest && !yield(replaced(i, 2, piece{p.first, both, p.divided && next.divided})) {
				return
			}
			for n := max(1, both-longest); n <= min(both-1, longest); n++ {
				if n != p.count && !yield(replaced(i, 2, piece{p.first, n, p.divided}, piece{p.first + n, both - n, next.divided})) {
					return
				}
			}
		}
	}
}
