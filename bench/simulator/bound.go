package simulator

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/optimize/convex/lp"

	"millrace/job"
	"millrace/scheduler"
)

// No schedule is shorter than the larger of two times (docs/scheduling.md).
//
// One is the optimum of a linear program that every schedule obeys: minimise T so
// that all frames of each group of uploads are made, in any fractions, by any ways,
// and no resource of a kind of machine is used for longer than T times what there is
// of it. What makes real schedules longer is left out: that tasks are whole, that a
// job keeps to one encoder, that attempts take time to start, and that one thing
// comes after another.
//
// The other is the longest chain of tasks that come after one another: an upload is
// inspected, then its sound is encoded, on one machine and eight threads at most, then
// it is packaged.

// Bounds are times, in seconds, that a case takes at least.
type Bounds struct {
	// Program is by what the rack can do, a ladder made by one way or divided
	// between two. It is also the measure of the rack: of loads and utilisation.
	Program float64
	// Whole is the same where no ladder is divided. Schedules that divide some, as
	// Millrace's of a job that is alone, may take less.
	Whole float64
	// Chain is by the upload with the longest sound.
	Chain float64
}

// Least is the bound: no schedule takes less.
func (b Bounds) Least() float64 { return max(b.Program, b.Chain) }

// LeastWhole is the bound of schedules that divide no ladder.
func (b Bounds) LeastWhole() float64 { return max(b.Whole, b.Chain) }

// bounds finds a case's.
func bounds(machines []*machine, uploads []*upload) (b Bounds, err error) {
	b.Chain = chain(machines, uploads)
	if b.Program, err = formulate(machines, uploads, true).solve(); err != nil {
		return b, err
	}
	if b.Whole, err = formulate(machines, uploads, false).solve(); err != nil {
		return b, fmt.Errorf("with whole ladders: %w", err)
	}
	return b, nil
}

// chain is how long the upload with the longest sound takes if nothing waits and each
// task is on the machine that is fastest at it.
func chain(machines []*machine, uploads []*upload) float64 {
	fastest := make(map[string]*machine) // by kind
	for _, m := range machines {
		if other := fastest[m.kind]; other == nil || m.speed > other.speed {
			fastest[m.kind] = m
		}
	}
	longest := slices.MaxFunc(uploads, func(a, b *upload) int { return cmp.Compare(a.frames, b.frames) })
	sum := 0.0
	for _, task := range []struct {
		kind   job.TaskKind
		frames int64
	}{{job.InspectTask, 1}, {job.AudioTask, longest.frames}, {job.PackageTask, 1}} {
		least := math.Inf(1)
		for _, m := range fastest {
			for _, o := range scheduler.Options(longest.work(task.kind, nil), m.node) {
				o.SecondsPerFrame /= m.speed // as in truth.go
				least = min(least, o.Seconds(task.frames, o.Widest(task.frames)))
			}
		}
		sum += least
	}
	return sum
}

// column is one way to make a group's frames: the use of resources for each.
type column struct {
	group int
	use   map[int]float64 // seconds of each resource for one frame
}

// program is the linear program before it is solved.
type program struct {
	frames  []float64 // by group
	columns []column
	supply  []float64 // by resource: how much of it there is, in machines' speed
}

// resources numbers what kinds of machines have: for each device of a kind its
// own dimensions, and the host's.
type resourceKey struct {
	kind   string
	device string // its name; empty for what the host shares
	dim    int
}

// formulate makes the program of a case, where a ladder may be divided between two
// ways at any rung, or where all stay whole.
func formulate(machines []*machine, uploads []*upload, divided bool) *program {
	p := &program{}
	speeds := make(map[string]float64) // by kind: the sum of the machines' speeds
	counts := make(map[string]float64) // by kind
	nodes := make(map[string]scheduler.Node)
	for _, m := range machines {
		speeds[m.kind] += m.speed
		counts[m.kind]++
		nodes[m.kind] = m.node
	}
	var order []string
	for kind := range nodes {
		order = append(order, kind)
	}
	slices.Sort(order)

	numbers := make(map[resourceKey]int)
	number := func(key resourceKey, whole int64) int {
		n, known := numbers[key]
		if !known {
			n = len(p.supply)
			numbers[key] = n
			p.supply = append(p.supply, float64(whole)*speeds[key.kind]*alike(nodes[key.kind], key.device))
		}
		return n
	}
	use := func(kind string, o scheduler.Option, factor float64) map[int]float64 {
		node := nodes[kind]
		whole, _ := node.Room(o.Device)
		used := make(map[int]float64)
		for d, need := range o.Need {
			if need == 0 || whole[d] >= scheduler.Unlimited {
				continue
			}
			key := resourceKey{kind, deviceName(node, o.Device), d}
			if d >= scheduler.Threads {
				key.device = ""
			}
			used[number(key, whole[d])] = float64(need) * o.SecondsPerFrame * factor
		}
		return used
	}

	groups := make(map[string]int) // by clip
	sample := make(map[string]*upload)
	for _, u := range uploads {
		name := u.clip.name
		if _, known := groups[name]; !known {
			groups[name] = len(p.frames)
			sample[name] = u
			p.frames = append(p.frames, 0)
		}
		p.frames[groups[name]] += float64(u.frames)
	}
	for _, c := range clips {
		u := sample[c.name]
		if u == nil {
			continue
		}
		group := groups[c.name]
		ladder := c.renditions()
		for cut := range ladder {
			if cut > 0 && !divided {
				break
			}
			upper, lower := ladder[:len(ladder)-cut], ladder[len(ladder)-cut:]
			var first, second []map[int]float64
			for _, kind := range order {
				for _, o := range scheduler.Options(u.work(job.EncodeTask, upper), nodes[kind]) {
					first = append(first, use(kind, o, u.factor(o.Encoder)))
				}
				if len(lower) > 0 {
					for _, o := range scheduler.Options(u.work(job.EncodeTask, lower), nodes[kind]) {
						second = append(second, use(kind, o, u.factor(o.Encoder)))
					}
				}
			}
			p.addPairs(group, distinct(first), distinct(second))
		}
	}
	// What is done once for each upload, and its sound.
	small := []job.TaskKind{job.InspectTask, job.PackageTask, job.AudioTask}
	for i, kind := range small {
		group := len(p.frames)
		p.frames = append(p.frames, 0)
		for _, u := range uploads {
			p.frames[group] += [...]float64{1, 1, float64(u.frames)}[i]
		}
		for _, machine := range order {
			for _, o := range scheduler.Options(uploads[0].work(kind, nil), nodes[machine]) {
				factor := 1.0
				if o.SecondsPerFrame == 0 { // a machine's speed doesn't make these faster
					o.SecondsPerFrame, factor = o.FixedSeconds, speeds[machine]/counts[machine]
				}
				p.columns = append(p.columns, column{group, use(machine, o, factor)})
			}
		}
	}
	return p
}

// deviceName is what a node's device is called.
func deviceName(node scheduler.Node, id string) string {
	for _, d := range node.Devices {
		if d.ID == id {
			return d.Name
		}
	}
	return id
}

// alike counts a node's devices of a name; what a host shares is there once.
func alike(node scheduler.Node, name string) float64 {
	if name == "" {
		return 1
	}
	n := 0.0
	for _, d := range node.Devices {
		if d.Name == name {
			n++
		}
	}
	return n
}

// distinct drops ways that use the same of the same: the GPUs of one machine
// each have their own resources, but are alike.
func distinct(uses []map[int]float64) []map[int]float64 {
	var list []map[int]float64
	seen := make(map[string]bool)
	for _, use := range uses {
		key := fmt.Sprint(use) // fmt sorts a map's keys
		if !seen[key] {
			seen[key] = true
			list = append(list, use)
		}
	}
	return list
}

// addPairs adds a column for each way of the upper rungs together with each of
// the lower ones.
func (p *program) addPairs(group int, first, second []map[int]float64) {
	for _, a := range first {
		if len(second) == 0 {
			p.columns = append(p.columns, column{group, a})
			continue
		}
		for _, b := range second {
			both := make(map[int]float64, len(a)+len(b))
			for r, x := range a {
				both[r] += x
			}
			for r, x := range b {
				both[r] += x
			}
			p.columns = append(p.columns, column{group, both})
		}
	}
}

// solve brings the program into the form that the library wants: all variables
// at least 0, all rows equal to something. The variables are the frames of each
// column (in units of the group's frames), T, and a slack for each resource.
func (p *program) solve() (float64, error) {
	groups, resources := len(p.frames), len(p.supply)
	if groups == 0 || resources == 0 {
		return 0, errors.New("there is nothing to do, or nothing to do it with")
	}
	rows, wide := groups+resources, len(p.columns)+1+resources
	t := len(p.columns)
	a := mat.NewDense(rows, wide, nil)
	b := make([]float64, rows)
	cost := make([]float64, wide)
	cost[t] = 1
	for i, c := range p.columns {
		a.Set(c.group, i, 1)
		for r, x := range c.use {
			a.Set(groups+r, i, x*p.frames[c.group]/p.supply[r])
		}
	}
	for g := range groups {
		b[g] = 1
	}
	for r := range resources {
		a.Set(groups+r, t, -1)
		a.Set(groups+r, t+1+r, 1)
	}
	_, x, err := lp.Simplex(cost, a, b, 1e-9, p.begin(a, groups, resources, t))
	if err != nil {
		return 0, fmt.Errorf("solve the linear program of %d columns: %w", wide, err)
	}
	if err := feasible(a, x, b); err != nil {
		return 0, err
	}
	return x[t], nil
}

// begin is a solution to begin with: each group by one column, T by the resource
// that this uses longest.
func (p *program) begin(a *mat.Dense, groups, resources, t int) []int {
	chosen := make([]int, groups)
	least := make([]float64, groups)
	for g := range least {
		least[g] = math.Inf(1)
	}
	for i, c := range p.columns {
		longest := 0.0
		for r := range c.use {
			longest = max(longest, a.At(groups+r, i))
		}
		if longest < least[c.group] {
			least[c.group], chosen[c.group] = longest, i
		}
	}
	load := make([]float64, resources)
	for _, i := range chosen {
		for r := range resources {
			load[r] += a.At(groups+r, i)
		}
	}
	longest := 0
	for r := range load {
		if load[r] > load[longest] {
			longest = r
		}
	}
	basis := append(slices.Clone(chosen), t)
	for r := range resources {
		if r != longest {
			basis = append(basis, t+1+r)
		}
	}
	return basis
}

// feasible makes sure that the library's answer is one.
func feasible(a *mat.Dense, x, b []float64) error {
	var got mat.VecDense
	got.MulVec(a, mat.NewVecDense(len(x), x))
	for i := range b {
		if math.Abs(got.AtVec(i)-b[i]) > 1e-6 {
			return fmt.Errorf("the linear program's solution breaks row %d by %g", i, got.AtVec(i)-b[i])
		}
	}
	return nil
}
