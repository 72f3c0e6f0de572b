package job

import (
	"encoding/json"
	"time"
)

// View is a job as the API and webhooks show it: the one place where its JSON
// is defined. The first ten fields are those of the API that Millrace's
// clients were written for; the rest are ours.
type View struct {
	ID             ID              `json:"id"`
	Resolutions    []Resolution    `json:"resolutions"`
	VideoDuration  *int64          `json:"video_duration"` // whole seconds
	Status         Status          `json:"status"`
	InputURL       string          `json:"input_url"`
	OutputPath     string          `json:"output_path"`
	StartTime      *Time           `json:"start_time"`
	EndTime        *Time           `json:"end_time"`
	ErrorMessage   *string         `json:"error_message"`
	EnableDRM      bool            `json:"enable_drm"`
	ClientMetadata json.RawMessage `json:"client_metadata"`

	Requires []string   `json:"requires,omitempty"`
	Prefer   Preference `json:"prefer,omitempty"`
	Deadline *Time      `json:"deadline,omitempty"`
	// WaitsFor says, for people, what the job requires that no node which takes work has.
	WaitsFor string `json:"waits_for,omitempty"`

	Created    Time            `json:"created"`
	Progress   float64         `json:"progress"`    // 0 … 100
	ETASeconds *int64          `json:"eta_seconds"` // null when it can't be told
	Outputs    []Published     `json:"outputs"`     // filled when completed
	Error      *Failure        `json:"error"`
	Warnings   []string        `json:"warnings"`
	Renditions []RenditionView `json:"renditions"`
	Tasks      []Task          `json:"tasks,omitempty"` // on ?expand=tasks
}

// RenditionView is one rung as the API shows it.
type RenditionView struct {
	Name             string  `json:"name"`
	Width            int     `json:"width"`
	Height           int     `json:"height"`
	Codec            Codec   `json:"codec"`
	Encoder          string  `json:"encoder"`
	MaxBitsPerSecond int64   `json:"max_bits_per_second"`
	Frames           int64   `json:"frames"`
	Progress         float64 `json:"progress"`
	Note             string  `json:"note,omitempty"`
}

// Progress is how far a job has come, as its leader knows it from polls.
type Progress struct {
	Percent float64        // 0 … 100
	ETA     *time.Duration // nil when it can't be told
	// WaitsFor says, for people, what the job requires that no open node has; empty
	// if it doesn't wait for a node.
	WaitsFor string
}

// Time is a moment as the API writes it: RFC 3339 with microseconds and offset.
type Time time.Time

// timeLayout always writes an offset, where time.RFC3339 would write Z.
const timeLayout = "2006-01-02T15:04:05.000000-07:00"

// MarshalText writes "2023-04-20T23:20:06.034924+12:00".
func (t Time) MarshalText() ([]byte, error) {
	return []byte(time.Time(t).Format(timeLayout)), nil
}

// UnmarshalText reads any RFC 3339 time.
func (t *Time) UnmarshalText(text []byte) error {
	parsed, err := time.Parse(time.RFC3339Nano, string(text))
	*t = Time(parsed)
	return err
}

// NewView shows a job. Progress comes from the leader; it is ignored for a job
// that has ended.
func NewView(j *Job, progress Progress) View {
	view := View{
		ID: j.ID, Resolutions: j.Spec.Resolutions, Status: j.Status,
		InputURL: j.Spec.Input.URL, OutputPath: j.Spec.Output.URL,
		StartTime: optionalTime(j.Started), EndTime: optionalTime(j.Ended),
		ClientMetadata: j.Spec.ClientMetadata, Created: Time(j.Created),
		Requires: j.Spec.Requires, Prefer: j.Spec.Prefer, Deadline: optionalTime(j.Spec.Deadline),
		Outputs: []Published{}, Warnings: []string{}, Renditions: []RenditionView{}, Error: j.Failure,
	}
	if len(view.ClientMetadata) == 0 {
		view.ClientMetadata = json.RawMessage("{}")
	}
	if j.Failure != nil {
		view.ErrorMessage = &j.Failure.Message
	}
	if !j.Status.Terminal() {
		view.WaitsFor = progress.WaitsFor
	}
	switch {
	case j.Status == Completed:
		view.Progress = 100
		view.Outputs = append(view.Outputs, j.Published...)
	case j.Status == Transcoding:
		view.Progress = progress.Percent
		if progress.ETA != nil {
			seconds := int64(progress.ETA.Round(time.Second) / time.Second)
			view.ETASeconds = &seconds
		}
	}
	if j.Plan != nil {
		seconds := int64(j.Plan.Timeline.Duration().Round(time.Second) / time.Second)
		view.VideoDuration = &seconds
		view.Warnings = append(view.Warnings, j.Plan.Warnings...)
		for _, r := range j.Plan.Renditions {
			view.Renditions = append(view.Renditions, RenditionView{
				Name: r.Name, Width: r.Width, Height: r.Height, Codec: r.Codec, Encoder: r.Encoder,
				MaxBitsPerSecond: r.MaxBitsPerSecond, Frames: j.Plan.Timeline.Frames, Progress: view.Progress, Note: r.Note,
			})
		}
	}
	return view
}

func optionalTime(t time.Time) *Time {
	if t.IsZero() {
		return nil
	}
	shown := Time(t)
	return &shown
}
