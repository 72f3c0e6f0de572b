//go:build standin

package hwaccel

import (
	"context"
	"encoding/json"
	"os"
)

// A build with the tag "standin" is for tests of whole peers on machines without
// a GPU: it takes what the NVIDIA driver would say from a file, anew at each
// scan, so that a GPU can be lost and come back. What ffmpeg says of that GPU is
// the business of another stand-in.

// standInFile names the variable with the path of the file:
// {"found": [Sighting, …]}, or {"reason": "…"} for no GPU.
const standInFile = "MILLRACE_STANDIN_GPUS"

type standIn struct{ file string }

func nvidiaHere(ours func(pid int) bool) nvidiaDriver {
	if file := os.Getenv(standInFile); file != "" {
		return standIn{file}
	}
	return newNVIDIA(ours)
}

func (s standIn) scan(context.Context) ([]Sighting, string) {
	text, err := os.ReadFile(s.file)
	if err != nil {
		return nil, err.Error()
	}
	var said struct {
		Found  []Sighting `json:"found"`
		Reason string     `json:"reason"`
	}
	if err := json.Unmarshal(text, &said); err != nil {
		return nil, err.Error()
	}
	return said.Found, said.Reason
}

func (standIn) close() {}
