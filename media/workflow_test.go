package media

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"millrace/hwaccel"
	"millrace/job"
	"millrace/media/cmaf"
	"millrace/media/mediatest"
	"millrace/storage"
)

// workflow takes one source through all of a job's tasks, as nodes would.
type workflow struct {
	*testing.T
	bench   *mediatest.Bench
	toolbox *Toolbox
	in      Input
	spec    job.Spec
	encoder hwaccel.Row
	// lossless encodes the H.264 renditions without loss.
	lossless  bool
	reference *reference // once made

	plan   job.Plan
	output *storage.Output
	folder string
	tasks  []*job.Task
	done   job.Result // of the package task
	// decoded are the samples of tracks of sound that were looked at.
	decoded map[string][]float64
}

func tinySpec() job.Spec {
	return job.Spec{
		Resolutions: []job.Resolution{90, 64}, Outputs: []job.OutputKind{job.HLS, job.DASH},
		Codec: job.H264, Quality: job.Economy, SegmentDuration: time.Second,
	}
}

// start makes the workflow of the source at path, not inspected yet.
func start(t *testing.T, path string, spec job.Spec) *workflow {
	t.Helper()
	bench := mediatest.Open(t, path)
	return &workflow{
		T: t, bench: bench, spec: spec, encoder: hwaccel.EncodersFor(spec.Codec, hwaccel.CPU)[0],
		toolbox: &Toolbox{
			FFmpeg: bench.Tools, Limits: DefaultLimits, Scratch: t.TempDir(), Logger: nil,
			FirstFrameTimeout: time.Minute, StallTimeout: time.Minute,
		},
		in: Input{
			URL: bench.URL, Name: bench.Source.Name(), Reader: bench.Source,
			Size: bench.Source.Size(), Identity: bench.Source.Identity(),
		},
		output: bench.Output, folder: bench.Folder,
	}
}

// inspected is start and Inspect, which must succeed.
func inspected(t *testing.T, path string, spec job.Spec) *workflow {
	t.Helper()
	w := start(t, path, spec)
	var err error
	if w.plan, err = w.toolbox.Inspect(t.Context(), w.in, w.spec, w.encoder); err != nil {
		t.Fatal(err)
	}
	return w
}

// chunked is the same workflow at an empty output, its timeline cut into chunks
// of so many segments, all for one chunk.
func (w *workflow) chunked(t *testing.T, segments int) *workflow {
	t.Helper()
	v := *w
	v.T, v.tasks, v.decoded = t, nil, make(map[string][]float64)
	v.output, v.folder = w.bench.NewOutput(t)
	var counts []int
	for left := v.plan.Timeline.Segments(); left > 0; left -= counts[len(counts)-1] {
		counts = append(counts, min(segments, left))
	}
	var err error
	if v.plan.Chunks, err = v.plan.Timeline.Cut(counts); err != nil {
		t.Fatal(err)
	}
	return &v
}

// wholeTimeline is more segments than any chunk has.
const wholeTimeline = 1 << 20

// do notes a task's result as the cluster would.
func (w *workflow) do(id job.TaskID, kind job.TaskKind, work func(context.Context) (job.Result, error)) {
	w.Helper()
	result, err := work(w.Context())
	if err != nil {
		w.Fatalf("%s: %v", id, err)
	}
	i := slices.IndexFunc(w.tasks, func(k *job.Task) bool { return k.ID == id })
	task := &job.Task{ID: id, Kind: kind, Result: &result}
	if i >= 0 {
		w.tasks[i] = task
		return
	}
	w.tasks = append(w.tasks, task)
	slices.SortFunc(w.tasks, func(a, b *job.Task) int { return strings.Compare(string(a.ID), string(b.ID)) })
}

func (w *workflow) encode(chunk job.Chunk) (job.Result, error) {
	return w.encodeGroup(chunk, w.plan.Renditions)
}

// encodeGroup makes some of a chunk's renditions.
func (w *workflow) encodeGroup(chunk job.Chunk, renditions []job.Rendition) (job.Result, error) {
	task := EncodeTask{
		Plan: w.plan, Quality: w.spec.Quality, Chunk: chunk, Renditions: renditions,
		Encoder: w.encoder, Threads: 1, Attempt: 1,
	}
	if w.lossless {
		task.arguments = losslessArgs
	}
	return w.toolbox.Encode(w.Context(), w.in, w.output, task)
}

// losslessArgs are an encoder whose pictures come out as they went in, with
// keyframes and B-frames as in the real ladders.
func losslessArgs(s hwaccel.Settings) []string {
	row, _ := hwaccel.Encoder("libx264")
	args := row.Args(s)
	for i := range args {
		switch args[i] {
		case "-crf":
			args[i], args[i+1] = "-qp", "0"
		case "-profile:v":
			args[i+1] = "high444"
		case "-preset":
			args[i+1] = "ultrafast"
		case "-maxrate", "-bufsize":
			args[i+1] = "1000000000"
		}
	}
	return args
}

// encodeAll runs all tasks but the package task.
func (w *workflow) encodeAll() {
	w.Helper()
	for _, chunk := range w.plan.Chunks {
		w.do(job.EncodeTaskID(chunk.Index), job.EncodeTask, func(context.Context) (job.Result, error) { return w.encode(chunk) })
	}
	if len(w.plan.Audio) > 0 {
		w.do(job.TaskID(job.AudioTask), job.AudioTask, func(ctx context.Context) (job.Result, error) {
			return w.toolbox.Audio(ctx, w.in, w.output, w.plan, 1, nil)
		})
	}
	if w.spec.Wants(job.Thumbnails) {
		w.do(job.TaskID(job.ThumbnailsTask), job.ThumbnailsTask, func(ctx context.Context) (job.Result, error) {
			return w.toolbox.Thumbnails(ctx, w.in, w.output, w.plan)
		})
	}
}

func (w *workflow) pack() (job.Result, error) {
	return w.toolbox.Package(w.Context(), w.output, PackageTask{Spec: w.spec, Plan: w.plan, Tasks: w.tasks})
}

// finish runs all tasks.
func (w *workflow) finish() {
	w.Helper()
	w.encodeAll()
	var err error
	if w.done, err = w.pack(); err != nil {
		w.Fatalf("package: %v", err)
	}
}

// joined is one file of a track's init segment and all segments, as they lie in
// the output folder.
func (w *workflow) joined(dir string) string {
	w.Helper()
	whole, err := os.ReadFile(filepath.Join(w.folder, dir, cmaf.InitName))
	if err != nil {
		w.Fatal(err)
	}
	for i := range w.plan.Timeline.Segments() {
		part, err := os.ReadFile(w.segmentPath(dir, i))
		if err != nil {
			w.Fatal(err)
		}
		whole = append(whole, part...)
	}
	path := filepath.Join(w.TempDir(), "joined.mp4")
	if err := os.WriteFile(path, whole, 0o600); err != nil {
		w.Fatal(err)
	}
	return path
}

// segmentPath is the file of segment i, counted from 0.
func (w *workflow) segmentPath(dir string, i int) string {
	return filepath.Join(w.folder, dir, cmaf.SegmentName(i+cmaf.FirstSegment))
}
