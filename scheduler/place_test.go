package scheduler

import (
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"millrace/hwaccel"
	"millrace/job"
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func cpu(threads int, encoders ...string) Device {
	profile := hwaccel.Profile{
		Device: hwaccel.Device{ID: "cpu", Kind: hwaccel.CPU},
		Room:   hwaccel.Room{Threads: threads, MemoryBytes: 64 << 30},
	}
	for _, name := range encoders {
		profile.Encoders = append(profile.Encoders, hwaccel.EncoderProfile{Encoder: name, Works: true})
	}
	return Device{Profile: profile, Free: profile.Room}
}

func encode(id job.ID, chunk int, change func(*Task)) Task {
	task := Task{
		Job: id, Task: job.EncodeTaskID(chunk), Attempt: 1, Kind: job.EncodeTask, Queued: noon, Divisible: true,
		Work: 100, Encoders: []string{"libx264"}, Need: hwaccel.Room{Threads: 1, MemoryBytes: 1 << 28},
	}
	if change != nil {
		change(&task)
	}
	return task
}

// where writes a decision as "task@node×threads", in the order of the decision.
func where(placed []Assignment) []string {
	var list []string
	for _, a := range placed {
		list = append(list, fmt.Sprintf("%s/%s@%s×%d", a.Job, a.Task, a.Node, a.Threads))
	}
	return list
}

func TestPlace(t *testing.T) {
	two := []Node{{ID: "a", Session: "s", Devices: []Device{cpu(2, "libx264")}}, {ID: "b", Session: "s", Devices: []Device{cpu(2, "libx264")}}}
	for name, test := range map[string]struct {
		waiting []Task
		nodes   []Node
		want    []string
	}{
		"nothing waits, nothing starts": {nil, two, nil},
		"chunks spread over the nodes": {
			[]Task{encode("j", 0, nil), encode("j", 1, nil), encode("j", 2, nil), encode("j", 3, nil)}, two,
			[]string{"j/encode-00000@a×1", "j/encode-00001@b×1", "j/encode-00002@a×1", "j/encode-00003@b×1"},
		},
		"what has no room waits": {
			[]Task{encode("j", 0, nil), encode("j", 1, nil), encode("j", 2, nil)},
			[]Node{{ID: "a", Devices: []Device{cpu(2, "libx264")}}},
			[]string{"j/encode-00000@a×1", "j/encode-00001@a×1"},
		},
		"a lone chunk gets the whole node": {
			[]Task{encode("j", 0, nil)}, []Node{{ID: "a", Devices: []Device{cpu(8, "libx264")}}},
			[]string{"j/encode-00000@a×8"},
		},
		"spare threads go to what can use them": {
			[]Task{encode("j", 0, nil), encode("j", 1, func(k *Task) { k.Divisible = false; k.Work = 1 })},
			[]Node{{ID: "a", Devices: []Device{cpu(4, "libx264")}}},
			[]string{"j/encode-00000@a×3", "j/encode-00001@a×1"},
		},
		"priority goes before age": {
			[]Task{encode("old", 0, nil), encode("new", 0, func(k *Task) { k.Queued = noon.Add(time.Hour); k.Priority = 5 })},
			[]Node{{ID: "a", Devices: []Device{cpu(1, "libx264")}}},
			[]string{"new/encode-00000@a×1"},
		},
		"age goes before size": {
			[]Task{encode("new", 0, func(k *Task) { k.Queued = noon.Add(time.Hour); k.Work = 1e9 }), encode("old", 0, nil)},
			[]Node{{ID: "a", Devices: []Device{cpu(1, "libx264")}}},
			[]string{"old/encode-00000@a×1"},
		},
		"within a job the largest goes first": {
			[]Task{encode("j", 0, nil), encode("j", 1, func(k *Task) { k.Work = 200 })},
			[]Node{{ID: "a", Devices: []Device{cpu(1, "libx264")}}},
			[]string{"j/encode-00001@a×1"},
		},
		"a draining node gets nothing": {
			[]Task{encode("j", 0, nil)},
			[]Node{{ID: "a", Draining: true, Devices: []Device{cpu(8, "libx264")}}, {ID: "b", Devices: []Device{cpu(1, "libx264")}}},
			[]string{"j/encode-00000@b×1"},
		},
		"an encoder that doesn't work there isn't used there": {
			[]Task{encode("j", 0, func(k *Task) { k.Encoders = []string{"libx265"} })},
			[]Node{{ID: "a", Devices: []Device{cpu(8, "libx264")}}, {ID: "b", Devices: []Device{cpu(1, "libx264", "libx265")}}},
			[]string{"j/encode-00000@b×1"},
		},
		"a node where it failed is the last choice": {
			[]Task{encode("j", 0, func(k *Task) { k.FailedOn = []string{"a"} })},
			[]Node{{ID: "a", Devices: []Device{cpu(8, "libx264")}}, {ID: "b", Devices: []Device{cpu(1, "libx264")}}},
			[]string{"j/encode-00000@b×1"},
		},
		"but it is a choice": {
			[]Task{encode("j", 0, func(k *Task) { k.FailedOn = []string{"a"} })},
			[]Node{{ID: "a", Devices: []Device{cpu(1, "libx264")}}},
			[]string{"j/encode-00000@a×1"},
		},
		"a task that needs more memory than there is gets all of it": {
			[]Task{encode("big", 0, func(k *Task) { k.Need.MemoryBytes = 1 << 50 }), encode("next", 0, func(k *Task) { k.Queued = noon.Add(1) })},
			[]Node{{ID: "a", Devices: []Device{cpu(4, "libx264")}}},
			[]string{"big/encode-00000@a×1"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := where(Place(Input{Waiting: test.waiting, Nodes: test.nodes})); !slices.Equal(got, test.want) {
				t.Errorf("placed %v, want %v", got, test.want)
			}
		})
	}
}

func TestTheBetterEncoderIsChosen(t *testing.T) {
	task := encode("j", 0, func(k *Task) { k.Encoders = []string{"h264_best", "libx264"} })
	nodes := []Node{
		{ID: "a", Devices: []Device{cpu(8, "libx264")}},
		{ID: "b", Devices: []Device{cpu(1, "libx264", "h264_best")}},
	}
	placed := Place(Input{Waiting: []Task{task}, Nodes: nodes})
	if len(placed) != 1 || placed[0].Node != "b" || placed[0].Encoder != "h264_best" {
		t.Errorf("placed %+v, want h264_best on b", placed)
	}
}

func TestPlacementKeepsItsPromises(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := drawInput(t)
		placed := Place(in)
		if again := Place(in); !reflect.DeepEqual(placed, again) {
			t.Fatalf("the same input gave %v and then %v", where(placed), where(again))
		}
		left := make(map[string]hwaccel.Room)
		whole := make(map[string]hwaccel.Room)
		for _, node := range in.Nodes {
			left[node.ID], whole[node.ID] = node.Devices[0].Free, node.Devices[0].Profile.Room
		}
		waiting := make(map[job.ID]Task)
		for _, task := range in.Waiting {
			waiting[task.Job] = task
		}
		for _, a := range placed {
			task, found := waiting[a.Job]
			if !found {
				t.Fatalf("%s is placed twice or wasn't waiting", a.Job)
			}
			delete(waiting, a.Job)
			if a.Threads < task.Need.Threads {
				t.Fatalf("%s needs %d threads and gets %d", a.Job, task.Need.Threads, a.Threads)
			}
			need := task.Need
			need.Threads = a.Threads
			need.MemoryBytes = min(need.MemoryBytes, whole[a.Node].MemoryBytes)
			if !left[a.Node].Fits(need) {
				t.Fatalf("%s needs %+v and %s has only %+v left", a.Job, need, a.Node, left[a.Node])
			}
			left[a.Node] = left[a.Node].Minus(need)
		}
		for _, task := range waiting {
			for _, node := range in.Nodes {
				need := task.Need
				need.MemoryBytes = min(need.MemoryBytes, whole[node.ID].MemoryBytes)
				if !node.Draining && node.Devices[0].Profile.Works("libx264") && left[node.ID].Fits(need) {
					t.Fatalf("%s waits although %s has room: %+v", task.Job, node.ID, left[node.ID])
				}
			}
		}
	})
}

func drawInput(t *rapid.T) Input {
	var in Input
	for i := range rapid.IntRange(0, 6).Draw(t, "nodes") {
		encoders := []string{}
		if rapid.Bool().Draw(t, "works") {
			encoders = append(encoders, "libx264")
		}
		device := cpu(rapid.IntRange(1, 8).Draw(t, "threads"), encoders...)
		device.Profile.Room.MemoryBytes = rapid.Int64Range(1, 16).Draw(t, "memory") << 28
		device.Free = device.Profile.Room.Minus(hwaccel.Room{
			Threads:     rapid.IntRange(0, 9).Draw(t, "threads used"),
			MemoryBytes: rapid.Int64Range(0, 16).Draw(t, "memory used") << 28,
		})
		in.Nodes = append(in.Nodes, Node{ID: fmt.Sprint("n", i), Draining: rapid.Bool().Draw(t, "draining"), Devices: []Device{device}})
	}
	for i := range rapid.IntRange(0, 20).Draw(t, "tasks") {
		in.Waiting = append(in.Waiting, encode(job.ID(fmt.Sprint("j", i)), 0, func(k *Task) {
			k.Priority = rapid.IntRange(-10, 10).Draw(t, "priority")
			k.Queued = noon.Add(time.Duration(rapid.IntRange(0, 100).Draw(t, "age")) * time.Second)
			k.Need.MemoryBytes = rapid.Int64Range(0, 20).Draw(t, "need") << 28
			k.Divisible = rapid.Bool().Draw(t, "divisible")
		}))
	}
	return in
}
