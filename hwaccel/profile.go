package hwaccel

// Profile is what trial encodes measured on a device.
type Profile struct {
	Device      Device           `json:"device"`
	FFmpegBuild string           `json:"ffmpeg_build"` // ffmpeg.Tools.Build
	Encoders    []EncoderProfile `json:"encoders"`
	// Room is all that the device can hold at once.
	Room Room `json:"room"`
}

// EncoderProfile is how one encoder did on a device.
type EncoderProfile struct {
	Encoder string `json:"encoder"`
	Works   bool   `json:"works"`
	// Reason says, for people, why it doesn't work; empty if it does.
	Reason string `json:"reason,omitempty"`
	// FramesPerSecond is by rung ("360p"), measured with the whole device at
	// work on one encode of Standard quality.
	FramesPerSecond map[string]float64 `json:"frames_per_second,omitempty"`
	// Sessions is how many encodes the driver allows at once; 0 is no limit.
	Sessions int `json:"sessions,omitempty"`
}

// Encoder finds an encoder that was tried; the zero EncoderProfile doesn't work.
func (p Profile) Encoder(name string) (EncoderProfile, bool) {
	for _, e := range p.Encoders {
		if e.Encoder == name {
			return e, true
		}
	}
	return EncoderProfile{Encoder: name, Reason: "it was not tried on this device"}, false
}

// Works says whether an encoder gave good pictures on this device.
func (p Profile) Works(encoder string) bool {
	e, tried := p.Encoder(encoder)
	return tried && e.Works
}

// PixelsPerSecond estimates how fast an encoder goes through pixels on this
// device, from its fastest rung; 0 if it doesn't work.
func (e EncoderProfile) PixelsPerSecond() float64 {
	best := 0.0
	for _, rung := range trialRungs {
		best = max(best, e.FramesPerSecond[rung.name]*float64(rung.width*rung.height))
	}
	return best
}

// Room is an amount of each thing that work takes up. It is what a device has,
// what is left of it, and what a task needs.
type Room struct {
	Threads         int   `json:"threads,omitempty"`  // CPU threads
	Sessions        int   `json:"sessions,omitempty"` // of the device's encoder
	PixelsPerSecond int64 `json:"pixels_per_second,omitempty"`
	MemoryBytes     int64 `json:"memory_bytes,omitempty"`
	ScratchBytes    int64 `json:"scratch_bytes,omitempty"`
}

// Fits says whether need fits into r, in every dimension. What isn't needed
// can't be lacking, even where r is overdrawn.
func (r Room) Fits(need Room) bool {
	return (need.Threads <= 0 || need.Threads <= r.Threads) &&
		(need.Sessions <= 0 || need.Sessions <= r.Sessions) &&
		(need.PixelsPerSecond <= 0 || need.PixelsPerSecond <= r.PixelsPerSecond) &&
		(need.MemoryBytes <= 0 || need.MemoryBytes <= r.MemoryBytes) &&
		(need.ScratchBytes <= 0 || need.ScratchBytes <= r.ScratchBytes)
}

// Minus is what is left of r once need is taken; it may be negative.
func (r Room) Minus(need Room) Room {
	return Room{
		Threads:         r.Threads - need.Threads,
		Sessions:        r.Sessions - need.Sessions,
		PixelsPerSecond: r.PixelsPerSecond - need.PixelsPerSecond,
		MemoryBytes:     r.MemoryBytes - need.MemoryBytes,
		ScratchBytes:    r.ScratchBytes - need.ScratchBytes,
	}
}

// Plus is r and more together.
func (r Room) Plus(more Room) Room { return r.Minus(Room{}.Minus(more)) }
