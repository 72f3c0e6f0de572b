package job

import (
	"encoding/json"
	"time"
)

// Location is a source or an output path as the state holds it.
type Location struct {
	// URL has every secret replaced by "***": safe to log and to show.
	URL string `json:"url"`
	// Sealed is the location with its secrets, encrypted under the cluster's
	// key; empty when there are none and URL is the whole truth.
	Sealed []byte `json:"sealed,omitempty"`
}

// Spec is what the client asked for, checked, with defaults filled in.
type Spec struct {
	Input           Location        `json:"input"`
	Output          Location        `json:"output"`
	Resolutions     []Resolution    `json:"resolutions"` // in the client's order
	ClientMetadata  json.RawMessage `json:"client_metadata,omitempty"`
	Outputs         []OutputKind    `json:"outputs"`
	Codec           Codec           `json:"codec"`
	Quality         Quality         `json:"quality"`
	Priority        int             `json:"priority"` // −10 … 10, larger first
	SegmentDuration time.Duration   `json:"segment_duration"`
	// Requires are labels that a node must have ("site=paris"), or kinds of
	// encoders ("nvenc", see EncoderKinds), for the job to run there.
	Requires []string `json:"requires,omitempty"`
	// Prefer is what a device is chosen by; empty is PreferTime.
	Prefer Preference `json:"prefer,omitempty"`
	// Deadline is when the client would like to have the job; a hint. Zero: none.
	Deadline time.Time `json:"deadline,omitzero"`
}

// Wants says whether the job is to deliver kind.
func (s Spec) Wants(kind OutputKind) bool {
	for _, k := range s.Outputs {
		if k == kind {
			return true
		}
	}
	return false
}

// Source is what inspecting the source found.
type Source struct {
	// Identity changes when the bytes do (ETag, modification time, size).
	Identity   string `json:"identity"`
	SizeBytes  int64  `json:"size_bytes"`
	Container  string `json:"container"` // ffmpeg's demuxer name
	VideoCodec string `json:"video_codec"`
	// PixelFormat is ffmpeg's name of how its pictures lie in memory ("yuv420p").
	PixelFormat string `json:"pixel_format,omitempty"`
	Width       int    `json:"width"` // pixels as displayed: after rotation and aspect
	Height      int    `json:"height"`
	// Rotated is set where the pictures lie on their side in the file.
	Rotated  bool          `json:"rotated,omitempty"`
	Rate     Rational      `json:"rate"` // average frames per second
	Duration time.Duration `json:"duration"`
	// Stream is the ffmpeg index of the video stream that is encoded.
	Stream int `json:"stream"`
	// Start is the time of the container's first packet: ffmpeg's seeks count from it.
	Start time.Duration `json:"start"`
	// Indexed containers (MP4, Matroska) seek to the right keyframe by
	// themselves; in others (MPEG-TS, MPEG-PS) a seek is a guess.
	Indexed bool `json:"indexed"`
	// Leads is, for each segment of the timeline, how much of the source has to
	// be decoded before a chunk that begins there; empty where that is not known.
	Leads []time.Duration `json:"leads,omitempty"`
	// Hold is for how many frames of the timeline the last picture stands
	// after its first, when the source gives it a length of its own.
	Hold int64 `json:"hold,omitempty"`
	// X264Build is the build of x264 that made an H.264 source, 0 if unknown.
	// Its streams say so only in their first packet, and decoders need it to
	// work around that build's faults when they start elsewhere.
	X264Build int `json:"x264_build,omitempty"`
}

// Picture is what a source's frames need to become standard dynamic range
// BT.709 progressive pictures. Each node turns it into its own filters.
type Picture struct {
	Deinterlace bool `json:"deinterlace,omitempty"`
	// ToneMap is set for HDR sources (PQ, HLG).
	ToneMap bool `json:"tone_map,omitempty"`
	// Matrix is the source's colour matrix as ffmpeg's scale filter names it
	// ("bt601", "bt709", "bt2020").
	Matrix string `json:"matrix,omitempty"`
	// FullRange is set for sources whose luma uses 0 … 255.
	FullRange bool `json:"full_range,omitempty"`
}

// Plan is how a job will be done, found by its inspect task.
type Plan struct {
	Source     Source       `json:"source"`
	Timeline   Timeline     `json:"timeline"`
	Renditions []Rendition  `json:"renditions"` // largest first
	Audio      []AudioTrack `json:"audio,omitempty"`
	Chunks     []Chunk      `json:"chunks,omitempty"`
	// Groups are the names of the renditions that one task makes together of a
	// chunk whose ladder is divided, each group with a decoding of its own. None: no
	// chunk's is.
	Groups [][]string `json:"groups,omitempty"`
	// Picture is what must be done to the source's frames besides scaling.
	Picture Picture `json:"picture"`
	// DelayFrames is the B-frame delay of every segment: how many frames each
	// picture's presentation is shifted against its decoding (and the edit
	// list shifts it back).
	DelayFrames int64    `json:"delay_frames"`
	Warnings    []string `json:"warnings,omitempty"`
}

// Published is one thing that a completed job delivers.
type Published struct {
	Kind OutputKind `json:"kind"`
	Name string     `json:"name"` // under the output path
	URL  string     `json:"url"`
}

// Job is one request and what has become of it. Values are immutable once they
// are in the state: change a copy.
type Job struct {
	ID      ID        `json:"id"`
	Org     string    `json:"org"`
	Spec    Spec      `json:"spec"`
	Status  Status    `json:"status"`
	Created time.Time `json:"created"`
	Started time.Time `json:"started,omitzero"` // of the latest run; zero while queued
	Ended   time.Time `json:"ended,omitzero"`
	Failure *Failure  `json:"failure,omitempty"`
	Plan    *Plan     `json:"plan,omitempty"`
	// Published is set when the job is completed.
	Published []Published `json:"published,omitempty"`
	// Run counts the job's runs: 1, and one more for each retry.
	Run int `json:"run"`
	// MeteredRun is the latest run of which the video was counted for the
	// organisation's day, 0 if none was: it is when the run begins to encode.
	MeteredRun int `json:"metered_run,omitempty"`
	// Revision is the raft index of the last change.
	Revision uint64 `json:"revision"`
}
