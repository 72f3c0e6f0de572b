package node

import (
	"slices"
	"testing"

	"millrace/cluster"
	"millrace/hwaccel"
	"millrace/job"
)

// TestALoneClipIsSplitOverTwoNodes: a clip of one segment, alone on two nodes, has
// its largest rendition made on one and the others on the other, to the end.
func TestALoneClipIsSplitOverTwoNodes(t *testing.T) {
	r := newRig(t)
	inspected := func(order Order) Ended {
		ended := succeed(order)
		if plan := ended.Result.Plan; plan != nil {
			plan.Source.Width, plan.Source.Height, plan.Timeline.Frames = 1920, 1080, 100
			plan.Renditions = []job.Rendition{
				{Name: "1080p", Width: 1920, Height: 1080, Codec: job.H264, Encoder: "libx264"},
				{Name: "720p", Width: 1280, Height: 720, Codec: job.H264, Encoder: "libx264"},
				{Name: "480p", Width: 854, Height: 480, Codec: job.H264, Encoder: "libx264"},
			}
		}
		return ended
	}
	made := make(map[string]string) // rendition to node
	changes := make(map[string]func(*Report))
	for range 20 {
		for _, node := range []string{"a", "b"} {
			change := changes[node]
			orders := r.poll("s-"+node, func(report *Report) {
				report.Node = node
				if change != nil {
					change(report)
				}
			}).Start
			for _, order := range orders {
				for _, name := range order.Task.Renditions {
					if made[name] != "" {
						t.Errorf("%s is made on %s and on %s", name, made[name], node)
					}
					made[name] = node
				}
			}
			changes[node] = ends(orders, inspected)
		}
		if r.record().Job.Status.Terminal() {
			break
		}
	}
	record := r.record()
	if record.Job.Status != job.Completed {
		t.Fatalf("the job is %s", record.Job.Status)
	}
	if len(made) != 3 || made["1080p"] == made["720p"] || made["720p"] != made["480p"] {
		t.Errorf("the renditions were made on %v", made)
	}
}

// TestAPlanThatIsMadeAgainDividesTheSameChunks, so that what is finished is kept.
func TestAPlanThatIsMadeAgainDividesTheSameChunks(t *testing.T) {
	r := newRig(t)
	one := func(node string) func(*Report) {
		return both(named(node, "", ""), func(report *Report) {
			report.Profiles[0].Encoders[0].FramesPerSecond = map[string]float64{"1080p": 20}
			report.Profiles[0].Room = hwaccel.Room{Threads: 1, MemoryBytes: 16 << 30}
		})
	}
	r.poll("s1", one("a"))
	r.poll("s2", one("b"))
	begin := func(ref job.Ref) {
		r.propose(cluster.StartAttempts{At: r.time, Assignments: []cluster.JobAssignment{{Job: jobID, Assignment: job.Assignment{
			Task: ref.Task, Attempt: ref.Attempt, Node: "a", Session: "s1", Device: "cpu", Threads: 1,
		}}}})
	}
	ids := func(attempt int) (list []job.TaskID) {
		ref := job.Ref{Job: jobID, Task: job.TaskID(job.InspectTask), Attempt: attempt}
		begin(ref)
		plan := job.Plan{
			Source:   job.Source{Identity: "v1", Width: 1920, Height: 1080, VideoCodec: "h264"},
			Timeline: job.Timeline{Rate: job.Rational{Num: 25, Den: 1}, Frames: 300, SegmentFrames: 100},
			Renditions: []job.Rendition{
				{Name: "1080p", Width: 1920, Height: 1080, Codec: job.H264, Encoder: "libx264"},
				{Name: "720p", Width: 1280, Height: 720, Codec: job.H264, Encoder: "libx264"},
			},
		}
		r.propose(r.planCommand(ref, plan, r.time))
		for _, task := range r.record().Tasks {
			if task.Kind == job.EncodeTask {
				list = append(list, task.ID)
			}
		}
		return list
	}
	first := ids(1)
	if want := []job.TaskID{"encode-00000-1", "encode-00000-2", "encode-00001", "encode-00002"}; !slices.Equal(first, want) {
		t.Fatalf("three segments on two nodes are the tasks %v, want %v", first, want)
	}
	failed := job.Ref{Job: jobID, Task: "encode-00001", Attempt: 1}
	begin(failed)
	r.propose(cluster.FailTask{Ref: failed, Failure: *job.Fail(job.InputChanged, "it is another file now"), At: r.time})
	r.propose(cluster.RetryJob{Org: "o", ID: jobID, At: r.time})
	r.poll("s3", one("c")) // the rack would have it cut otherwise
	if again := ids(2); !slices.Equal(again, first) {
		t.Errorf("planned again they are %v, %v before", again, first)
	}
}

func TestGroupsOfAnEarlierPlanAreKeptForWhatIsLeftOfIt(t *testing.T) {
	groups := [][]string{{"1080p"}, {"720p", "480p"}}
	for name, test := range map[string]struct {
		renditions []string
		want       [][]string
	}{
		"all":              {[]string{"1080p", "720p", "480p"}, groups},
		"some":             {[]string{"1080p", "480p"}, [][]string{{"1080p"}, {"480p"}}},
		"one group's only": {[]string{"720p"}, [][]string{{"720p"}}},
		"one more":         {[]string{"1080p", "720p", "480p", "360p"}, nil},
	} {
		var plan job.Plan
		for _, r := range test.renditions {
			plan.Renditions = append(plan.Renditions, job.Rendition{Name: r})
		}
		if got := groupsOf(plan, groups); !slices.EqualFunc(got, test.want, slices.Equal) {
			t.Errorf("%s: the groups are %v, want %v", name, got, test.want)
		}
	}
}
