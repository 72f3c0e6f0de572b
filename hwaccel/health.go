package hwaccel

// Health is how a device is doing. What its driver doesn't tell is nil, which is
// not the same as 0.
type Health struct {
	// Lost says, for people, why the device that was there can't be used now;
	// empty while it can.
	Lost               string   `json:"lost,omitempty"`
	TemperatureCelsius *int     `json:"temperature_celsius,omitempty"`
	PowerWatts         *float64 `json:"power_watts,omitempty"`
	// EnergyJoules counts up from when the driver was loaded.
	EnergyJoules *float64 `json:"energy_joules,omitempty"`
	// Throttled is why the device runs slower than it could: "temperature", …
	Throttled []string `json:"throttled,omitempty"`
	// Xid is the driver's number of the last fault since the watch began, 0 for none.
	Xid uint64 `json:"xid,omitempty"`
}

// Usage is what works on a device now, whoever started it. What its driver
// doesn't tell is nil.
type Usage struct {
	GPUPercent      *int   `json:"gpu_percent,omitempty"`
	EncoderPercent  *int   `json:"encoder_percent,omitempty"`
	DecoderPercent  *int   `json:"decoder_percent,omitempty"`
	MemoryUsedBytes *int64 `json:"memory_used_bytes,omitempty"`
	Sessions        *int   `json:"sessions,omitempty"` // of the encoder
	// Others is the part of it that isn't ours: room that is not there for us.
	Others Others `json:"others,omitzero"`
}

// Others is what programs besides this peer take up on a device.
type Others struct {
	Sessions       int   `json:"sessions,omitempty"`
	MemoryBytes    int64 `json:"memory_bytes,omitempty"`
	EncoderPercent int   `json:"encoder_percent,omitempty"`
	DecoderPercent int   `json:"decoder_percent,omitempty"`
}

func number[T int | int64 | float64](n T) *T { return &n }
