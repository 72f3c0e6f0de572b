package hwaccel

import "millrace/job"

// Remedy is what helps against a failure of an encode.
type Remedy string

// What to do. They are in the order of how far they go.
const (
	// RetryHere: the device had no room. The room that is believed to be there
	// shrinks, and the same work goes there again when some is free.
	RetryHere Remedy = "retry here"
	// Elsewhere: this device is at fault, or may be.
	Elsewhere Remedy = "elsewhere"
	// NextEncoder: this device will never do it with this encoder; another one
	// here may, software at the last.
	NextEncoder Remedy = "next encoder"
	// InputsFault: nothing that can be done on our side helps.
	InputsFault Remedy = "the input's fault"
	// NotOurs: a store or the machine failed, not the device.
	NotOurs Remedy = "not the device's"
)

// remedies are of the codes that tell of a device or may do so.
var remedies = map[job.Code]Remedy{
	job.HardwareSessions:      RetryHere,
	job.HardwareMemory:        Elsewhere,
	job.HardwareLost:          Elsewhere,
	job.HardwareUnavailable:   Elsewhere,
	job.HardwareUnsupported:   NextEncoder,
	job.HardwareDriver:        NextEncoder,
	job.EncoderFailed:         Elsewhere, // what ffmpeg said is not in any table
	job.EncoderStalled:        Elsewhere,
	job.EncoderOutputMismatch: Elsewhere,
}

// RemedyFor says what helps against an encode's failure with code.
func RemedyFor(code job.Code) Remedy {
	if remedy, known := remedies[code]; known {
		return remedy
	}
	if code.Info().Blame == job.BlameInput {
		return InputsFault
	}
	return NotOurs
}
