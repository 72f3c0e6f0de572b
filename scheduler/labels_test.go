package scheduler

import (
	"slices"
	"strings"
	"testing"
	"time"

	"millrace/job"
)

func labelled(node Node, labels, taints string) Node {
	node.Labels, node.Taints = words(labels), words(taints)
	return node
}

func words(text string) []string { return strings.Fields(text) }

func TestANodeTakesWhatRequiresItsTaintsAndNoMoreThanItsLabels(t *testing.T) {
	for name, test := range map[string]struct {
		requires, labels, taints, encoder string
		want                              bool
	}{
		"nothing of nothing":            {"", "", "", "libx264", true},
		"nothing of a label":            {"", "ssd", "", "libx264", true},
		"a label":                       {"ssd", "ssd site=paris", "", "libx264", true},
		"a label that isn't there":      {"ssd", "site=paris", "", "libx264", false},
		"another value":                 {"site=rome", "site=paris", "", "libx264", false},
		"one of two":                    {"site=paris,ssd", "ssd", "", "libx264", false},
		"a kind":                        {"nvenc", "", "", "h264_nvenc", true},
		"another kind":                  {"nvenc", "", "", "h264_qsv", false},
		"the CPU":                       {"cpu", "", "", "libx264", true},
		"the CPU, not a GPU":            {"cpu", "", "", "h264_vaapi", false},
		"a kind, of nothing to encode":  {"nvenc", "", "", "", true},
		"a taint is a label":            {"film", "", "film", "libx264", true},
		"a taint that isn't required":   {"", "", "film", "libx264", false},
		"a taint beside another label":  {"ssd", "ssd", "film", "libx264", false},
		"one of two taints":             {"film", "", "film night", "libx264", false},
		"both taints, a label, a kind":  {"film,night,nvenc,ssd", "ssd", "film night", "av1_nvenc", true},
		"a taint, of nothing to encode": {"nvenc", "", "film", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Meets(test.requires, words(test.labels), words(test.taints), test.encoder); got != test.want {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestWorkGoesWhereItsRequirementsAreMet(t *testing.T) {
	requires := func(what string) Work {
		return ladderWork(func(w *Work) { w.Encoders, w.Requires = "libx264,h264_nvenc", what })
	}
	nodes := []Node{
		gpuNode("a", 8, 1, nil), labelled(cpuNode("b", 8, nil), "", "film"), labelled(gpuNode("c", 8, 1, nil), "ssd", "film"),
	}
	for what, want := range map[string]string{
		"cpu": "j/encode-00000@a/cpu", "nvenc": "j/encode-00000@a/gpu-0",
		"film,nvenc": "j/encode-00000@c/gpu-0", "cpu,film,ssd": "j/encode-00000@c/cpu", "ssd": "",
	} {
		e := engineWith(nodes...)
		queue(e, Job{ID: "j"}, requires(what), 100)
		if got := strings.Join(where(e.Decide()), " "); !strings.HasPrefix(got, want) || (got == "") != (want == "") {
			t.Errorf("%s: placed at %q, want %q", what, got, want)
		}
	}
}

func TestTheEncoderOfAJobIsOneThatItMayUse(t *testing.T) {
	e := engineWith(cpuNode("a", 64, nil), labelled(gpuNode("b", 2, 1, nil), "ssd", ""), labelled(gpuNode("c", 2, 8, nil), "", "film"))
	for requires, want := range map[string]string{
		"": "libx264", "nvenc": "h264_nvenc", "ssd": "h264_nvenc", "film": "h264_nvenc", "cpu,film": "libx264", "qsv": "", "rome": "",
	} {
		if got := e.Encoder(Work{Encoders: "h264_nvenc,h264_qsv,libx264", Requires: requires}); got != want {
			t.Errorf("requiring %q: %q, want %q", requires, got, want)
		}
	}
}

func TestWhatIsMissingIsNamed(t *testing.T) {
	night := cpuNode("d", 4, nil)
	night.Closed = "it is outside its work hours until Mon 19:00"
	e := engineWith(
		labelled(gpuNode("a", 4, 1, nil), "ssd", ""), labelled(cpuNode("b", 4, nil), "site=rome", ""),
		labelled(cpuNode("c", 4, nil), "site=paris", "film"), labelled(night, "night", ""),
	)
	all := "h264_nvenc,h264_qsv,libx264"
	for name, test := range map[string]struct{ encoders, requires, want string }{
		"nothing":             {all, "", ""},
		"what there is":       {all, "ssd,nvenc", ""},
		"a label":             {all, "gold", "no device of the cluster can do this: no node has the label gold"},
		"labels":              {all, "gold,site=oslo,ssd", "no node has the labels gold and site=oslo"},
		"labels of different": {all, "site=rome,ssd", "no node has all of the labels site=rome and ssd"},
		"a kind":              {all, "qsv", "no device of the cluster can do this: encoder h264_qsv"},
		"a kind elsewhere":    {all, "nvenc,site=rome", "encoder h264_nvenc, on a node with the label site=rome"},
		"another's encoder":   {"libx264", "nvenc", "encoder libx264, and the job requires the kind nvenc"},
		"a taint":             {all, "site=paris", "every node with the label site=paris is tainted (c with film), and the job doesn't require that"},
		"a taint elsewhere":   {"hevc_nvenc", "", "encoder hevc_nvenc; tainted nodes are kept for jobs that require that: c with film"},
		"closed":              {all, "night", "take nothing now: d/cpu: it is outside its work hours until Mon 19:00"},
		"nothing to encode":   {"", "site=rome", ""},
	} {
		if got := e.Unmet(Work{Kind: job.EncodeTask, Encoders: test.encoders, Requires: test.requires}); !strings.Contains(got, test.want) || (got == "") != (test.want == "") {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}

func TestAWaitForALabelIsExplained(t *testing.T) {
	e := engineWith(cpuNode("a", 4, nil))
	queue(e, Job{ID: "j"}, ladderWork(func(w *Work) { w.Requires = "gold" }), 900)
	e.Decide()
	if told := e.Explain("j"); len(told) != 1 || !strings.Contains(told[0].Reason, "no node has the label gold") {
		t.Errorf("explained by %+v", told)
	}
	e.SetNode(labelled(cpuNode("b", 4, nil), "gold", ""))
	if got := where(e.Decide()); !slices.Equal(got, []string{"j/encode-00000@b/cpu×4"}) {
		t.Errorf("when a node with it came, placed %v", got)
	}
}

func TestWhatACancelledJobLeavesIsCleanedUpWhereItsLabelsAreOrAnywhereInTheEnd(t *testing.T) {
	cleanup := func(e *Engine) {
		e.SetJob(Job{ID: "j", Org: "o", Queued: noon, Started: true})
		e.Queue(Task{Job: "j", Task: "cleanup", Attempt: 1, Work: Work{Kind: job.CleanupTask, Requires: "site=paris"}, Frames: 1})
	}
	other, kept := cpuNode("a", 4, nil), labelled(cpuNode("b", 4, nil), "", "film")
	e := engineWith(other, kept)
	cleanup(e)
	later := noon
	wait := func() { later = later.Add(strayAfter * time.Second / 2); e.Advance(later) }
	if got := where(e.Decide()); got != nil {
		t.Fatalf("done elsewhere though a node with the label may just be restarting: %v", got)
	}
	wait()
	e.SetNode(labelled(cpuNode("p", 4, nil), "site=paris", ""))
	if got := where(e.Decide()); !slices.Equal(got, []string{"j/cleanup@p/cpu×1"}) {
		t.Fatalf("with a node that has the label: %v", got)
	}
	e.End(job.Ref{Job: "j", Task: "cleanup", Attempt: 1}, 0)
	closed := labelled(cpuNode("p", 4, nil), "site=paris", "")
	closed.Closed = "it is draining"
	e.SetNode(closed)
	cleanup(e)
	for range 2 {
		if got := where(e.Decide()); got != nil {
			t.Fatalf("done elsewhere at once: %v", got)
		}
		wait()
	}
	if got := where(e.Decide()); !slices.Equal(got, []string{"j/cleanup@a/cpu×1"}) {
		t.Errorf("no open node has had the label for a while: %v", got)
	}
	e = engineWith(kept)
	cleanup(e)
	e.Decide()
	wait()
	wait()
	if got := where(e.Decide()); !slices.Equal(got, []string{"j/cleanup@b/cpu×1"}) {
		t.Errorf("where there are only tainted nodes: %v", got)
	}
}
