package hwaccel

import (
	"context"
	"fmt"
	"os"
	"time"
)

// Encoder tries one encoder of a device again, without its speed at many
// sessions: it is for one that has failed and may be working again.
func (t Trials) Encoder(ctx context.Context, device Device, room Room, encoder string) (EncoderProfile, error) {
	row, known := Encoder(encoder)
	if !known {
		return EncoderProfile{}, fmt.Errorf("try %s: no such encoder is known", encoder)
	}
	features, err := t.Tools.Features(ctx)
	if err != nil {
		return EncoderProfile{}, fmt.Errorf("try %s on %s: %w", encoder, device.Name, err)
	}
	dir, err := os.MkdirTemp(t.Scratch, "trial-")
	if err != nil {
		return EncoderProfile{}, fmt.Errorf("try %s on %s: %w", encoder, device.Name, err)
	}
	defer func() { _ = os.RemoveAll(dir) }() // what stays is swept with the scratch folder
	bench := &bench{trials: t, features: features, device: device, dir: dir, threads: room.Threads, until: time.Now().Add(trialTime)}
	result := bench.encoder(ctx, row)
	return result, ctx.Err()
}
