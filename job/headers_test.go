package job

import (
	"slices"
	"testing"
	"time"
)

func TestHeadersAreThoseOfChunksThatCount(t *testing.T) {
	attempt := func(headers string, outcome Outcome) Attempt { return Attempt{Headers: headers, Outcome: outcome} }
	for name, test := range map[string]struct {
		state    TaskState
		attempts []Attempt
		want     string
	}{
		"nothing has run":                  {TaskWaiting, nil, ""},
		"one runs":                         {TaskRunning, []Attempt{attempt("ada", OutcomeRunning)}, "ada"},
		"one is finished":                  {TaskFinished, []Attempt{attempt("ada", OutcomeFinished)}, "ada"},
		"what was lost left no chunk":      {TaskWaiting, []Attempt{attempt("ada", OutcomeLost)}, ""},
		"what failed first doesn't count":  {TaskRunning, []Attempt{attempt("ada", OutcomeFailed), attempt("turing", OutcomeRunning)}, "turing"},
		"what is made again doesn't count": {TaskWaiting, []Attempt{attempt("ada", OutcomeFinished)}, ""},
		"a note of an earlier program":     {TaskFinished, []Attempt{attempt("", OutcomeFinished)}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := Record{Tasks: []*Task{{Kind: AudioTask, State: TaskFinished}, {Kind: EncodeTask, State: test.state, Renditions: []string{"1080p", "720p"}, Attempts: test.attempts}}}
			if got := r.Headers([]string{"720p"}); got != test.want {
				t.Errorf("the headers are %q, want %q", got, test.want)
			}
		})
	}
}

// TestRenditionsOfOtherTasksHaveHeadersOfTheirOwn: two encoders may make a ladder.
func TestRenditionsOfOtherTasksHaveHeadersOfTheirOwn(t *testing.T) {
	running := func(headers string, renditions ...string) *Task {
		return &Task{Kind: EncodeTask, State: TaskRunning, Renditions: renditions, Attempts: []Attempt{{Headers: headers, Outcome: OutcomeRunning}}}
	}
	r := Record{Tasks: []*Task{running("ada", "1080p", "720p"), running("", "480p"), running("x264", "480p", "360p")}}
	for name, want := range map[string]string{"1080p": "ada", "720p": "ada", "480p": "x264", "360p": "x264", "240p": ""} {
		if got := r.Headers([]string{name}); got != want {
			t.Errorf("%s has the headers %q, want %q", name, got, want)
		}
	}
}

func TestStartingAnAttemptNotesItsHeaders(t *testing.T) {
	s := begin(t)
	s.plan(testPlan("etag"))
	s.then(s.Start(Assignment{Task: "encode-00000", Attempt: 1, Encoder: "h264_nvenc", Headers: "ada"}, noon))
	if got := s.Headers([]string{"240p"}); got != "ada" {
		t.Errorf("the job's headers are %q", got)
	}
}

func TestAChangeToTheSameEncoderMakesAllChunksAgain(t *testing.T) {
	before := encoding(t)
	same := toSoftware
	same.To, same.CRF = same.From, map[string]float64{"720p": 27, "360p": 27}
	change, err := before.ChangeEncoder(same, noon.Add(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	after := apply(before, change)
	for i := range 3 {
		if task := after.Task(EncodeTaskID(i)); task.State != TaskWaiting || task.Result != nil || task.Failures != 0 {
			t.Errorf("%s is %s with %d failures", task.ID, task.State, task.Failures)
		}
	}
	if !slices.Equal(after.Job.Plan.Renditions, before.Job.Plan.Renditions) {
		t.Errorf("the renditions are %+v", after.Job.Plan.Renditions)
	}
	if warning := after.Job.Plan.Warnings[0]; warning != "2 renditions are made by h264_nvenc on other devices, all of it again: the GPU fell off the bus" {
		t.Errorf("the warning is %q", warning)
	}
}
