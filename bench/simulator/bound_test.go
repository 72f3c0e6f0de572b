package simulator

import (
	"math"
	"testing"

	"millrace/scheduler"
)

// TestTheBoundIsTheLongerOfTheRacksWorkAndOfOneUploadsSound: a large rack could do
// all long before the longest sound is encoded, which is one task.
func TestTheBoundIsTheLongerOfTheRacksWorkAndOfOneUploadsSound(t *testing.T) {
	film := Workload{Jobs: 20, Orgs: 2, MedianSeconds: 60, Sigma: 0, LongestSeconds: 60, Films: 0.1}
	clips := Workload{Jobs: 20, Orgs: 2, MedianSeconds: 60, Sigma: 0, LongestSeconds: 60}
	for name, test := range map[string]struct {
		rack     map[string]int
		workload Workload
		chain    bool
	}{
		"a film on a large rack": {map[string]int{"cpu64": 40, "l4": 10}, film, true},
		"a film on a small rack": {map[string]int{"cpu8": 2}, film, false},
		"clips on a small rack":  {map[string]int{"cpu8": 1, "arc": 1}, clips, false},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := NewCase(Rack{Nodes: test.rack}, test.workload, 1)
			if err != nil {
				t.Fatal(err)
			}
			b := c.Bounds
			want := b.Program
			if test.chain {
				want = b.Chain
			}
			if b.Least() != want || (b.Chain > b.Program) != test.chain {
				t.Errorf("the bound is %.1f s, by the program %.1f s, by the chain %.1f s", b.Least(), b.Program, b.Chain)
			}
			if b.LeastWhole() < b.Least()*(1-1e-9) {
				t.Errorf("with whole ladders the bound is %.3f s, less than %.3f s where they may be divided", b.LeastWhole(), b.Least())
			}
		})
	}
}

// TestTheChainIsInspectionSoundAndPackagingOnTheFastestMachine, whose speed counts for
// the sound only.
func TestTheChainIsInspectionSoundAndPackagingOnTheFastestMachine(t *testing.T) {
	machines := []*machine{{kind: "cpu8", node: kinds["cpu8"](), speed: 0.5}, {kind: "cpu8", node: kinds["cpu8"](), speed: 2}}
	film := &upload{id: "film", clip: clips[7], frames: filmSeconds * frameRate}
	clip := &upload{id: "clip", clip: clips[7], frames: segmentFrames}
	sound := scheduler.Options(film.work("audio", nil), machines[0].node)[0]
	sound.SecondsPerFrame /= 2
	want := 1 + sound.Seconds(film.frames, 8) + 0.5 // as many threads as the machine has
	if got := chain(machines, []*upload{clip, film}); math.Abs(got-want) > 1e-9 {
		t.Errorf("the chain takes %.3f s, by hand %.3f s", got, want)
	}
}

// TestLaddersThatStayWholeTakeMore where devices differ in what they do best.
func TestLaddersThatStayWholeTakeMore(t *testing.T) {
	c := few(t, nil)
	if c.Bounds.Whole <= c.Bounds.Program {
		t.Errorf("with whole ladders the program takes %.3f s, with divided ones %.3f s", c.Bounds.Whole, c.Bounds.Program)
	}
	result, err := c.Run(t.Context(), "millrace")
	if err != nil {
		t.Fatal(err)
	}
	if result.MakespanToWholeBound >= result.MakespanToBound {
		t.Errorf("the makespan is %.4f of the bound of whole ladders, %.4f of the lower one", result.MakespanToWholeBound, result.MakespanToBound)
	}
}

// TestBoundOfWorkThatCanBeDoneInOneWay, on a machine that is slower than its kind, which
// inspecting and packaging don't notice.
func TestBoundOfWorkThatCanBeDoneInOneWay(t *testing.T) {
	const threads, frames, speed = 8, 30_000, 0.8
	m := &machine{kind: "cpu8", node: kinds["cpu8"](), speed: speed}
	u := &upload{id: "j", clip: clips[7], density: 5, frames: frames}
	found, err := bounds([]*machine{m}, []*upload{u})
	if err != nil {
		t.Fatal(err)
	}
	perFrame := func(work scheduler.Work) float64 { return scheduler.Options(work, m.node)[0].SecondsPerFrame }
	pictures := frames * perFrame(u.work("encode", u.clip.renditions())) * u.clip.hardness()
	sound := frames * perFrame(u.work("audio", nil)) // isn't harder
	want := (pictures+sound)/speed/threads + (1+0.5)/threads
	if got := found.Program; math.Abs(got-want) > 1e-6*want {
		t.Errorf("the bound is %.4f s, by hand %.4f s", got, want)
	}
}
