package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"millrace/hwaccel"
	"millrace/job"
	"millrace/media/ffmpeg"
)

// probeCommand tries this machine's encoders and decoders. It needs no peer, and
// shares what it finds with the one whose data folder is named.
type probeCommand struct {
	Fresh   bool   `help:"Try everything anew, whatever was found before."`
	JSON    bool   `name:"json" help:"Print JSON (docs/hardware.md has its form)."`
	Data    string `default:"millrace-data" env:"MILLRACE_DATA" placeholder:"DIR" help:"Folder that what is found is kept in; a peer's own, so that it needs no trials at its next start. Made when it isn't there."`
	FFmpeg  string `name:"ffmpeg" default:"ffmpeg" env:"MILLRACE_FFMPEG" placeholder:"PATH" help:"The ffmpeg to try."`
	FFprobe string `name:"ffprobe" default:"ffprobe" env:"MILLRACE_FFPROBE" placeholder:"PATH" help:"The ffprobe to look at its output with."`
}

// probed is what the command prints as JSON.
type probed struct {
	FFmpeg  probedFFmpeg   `json:"ffmpeg"`
	Devices []probedDevice `json:"devices"`
}

type probedFFmpeg struct {
	Path    string `json:"path"`
	Version string `json:"version"`
	Build   string `json:"build"`
}

// probedDevice is a device with what was tried on it. There is false for those
// that this machine has none of: then each encoder has the reason.
type probedDevice struct {
	There    bool                     `json:"there"`
	Device   hwaccel.Device           `json:"device"`
	Encoders []probedEncoder          `json:"encoders"`
	Decoders []hwaccel.DecoderProfile `json:"decoders"`
	Filters  []string                 `json:"device_filters"`
	Room     hwaccel.Room             `json:"room"`
}

// probedEncoder has the fields that scripts look for always, also where a
// profile leaves out what is empty.
type probedEncoder struct {
	Codec job.Codec `json:"codec"`
	hwaccel.EncoderProfile
	Reason          string             `json:"reason"`
	TenBit          bool               `json:"ten_bit"`
	FramesPerSecond map[string]float64 `json:"frames_per_second"`
	Sessions        int                `json:"sessions"`
}

// Run tries the devices and prints what it found.
func (c *probeCommand) Run(ctx context.Context, std streams) error {
	tools, err := ffmpeg.Find(ctx, c.FFmpeg, c.FFprobe)
	if err != nil {
		return err
	}
	tools.Sandbox = &ffmpeg.Sandbox{}
	if err := os.MkdirAll(c.Data, 0o700); err != nil {
		return fmt.Errorf("make the data folder: %w", err)
	}
	scratch, err := os.MkdirTemp(c.Data, "probe-")
	if err != nil {
		return fmt.Errorf("make a folder for the trials: %w", err)
	}
	defer func() { _ = os.RemoveAll(scratch) }()
	if scratch, err = filepath.Abs(scratch); err != nil {
		return fmt.Errorf("find the folder for the trials: %w", err)
	}
	machine := &hwaccel.Machine{}
	defer machine.Close()
	trials := hwaccel.Trials{
		Tools: tools, Cache: filepath.Join(c.Data, "profiles.json"), Scratch: scratch, Machine: &hwaccel.Machine{},
		Logger: slog.New(slog.NewTextHandler(std.err, &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
	measure := trials.Profile
	if c.Fresh {
		measure = trials.Fresh
	}
	scan := machine.Scan(ctx)
	found := probed{FFmpeg: probedFFmpeg{Path: tools.FFmpeg, Version: tools.Version, Build: tools.Build}}
	for _, sighting := range scan.Devices {
		profile, err := measure(ctx, sighting.Device, sighting.Room)
		if err != nil {
			return err
		}
		found.add(profile)
	}
	for _, profile := range hwaccel.Absent(scan) {
		found.add(profile)
	}
	if c.JSON {
		return std.writeJSON(found)
	}
	return found.print(std)
}

func (p *probed) add(profile hwaccel.Profile) {
	d := probedDevice{
		There: !profile.Device.Absent(), Device: profile.Device, Room: profile.Room,
		Encoders: []probedEncoder{}, Decoders: profile.Decoders, Filters: profile.DeviceFilters,
	}
	for _, e := range profile.Encoders {
		row, _ := hwaccel.Encoder(e.Encoder)
		shown := probedEncoder{
			Codec: row.Codec, EncoderProfile: e,
			Reason: e.Reason, TenBit: e.TenBit, FramesPerSecond: e.FramesPerSecond, Sessions: e.Sessions,
		}
		if shown.FramesPerSecond == nil {
			shown.FramesPerSecond = map[string]float64{}
		}
		d.Encoders = append(d.Encoders, shown)
	}
	if d.Decoders == nil {
		d.Decoders = []hwaccel.DecoderProfile{}
	}
	if d.Filters == nil {
		d.Filters = []string{}
	}
	p.Devices = append(p.Devices, d)
}

// print shows encoders, then decoders, as tables.
func (p *probed) print(std streams) error {
	fmt.Fprintf(std.out, "ffmpeg %s (%s)\n\n", p.FFmpeg.Version, p.FFmpeg.Path)
	var encoders, decoders [][]string
	for _, d := range p.Devices {
		for _, e := range d.Encoders {
			encoders = append(encoders, []string{d.Device.Name, e.Encoder, yesNo(e.Works), yesNo(e.TenBit), speedOf(e.FramesPerSecond, "360p"), speedOf(e.FramesPerSecond, "1080p"), sessionsOf(e), energyOf(e.JoulesPerFrame), e.Reason})
		}
		for _, row := range decodersOf(d.Decoders) {
			decoders = append(decoders, append([]string{d.Device.Name}, row...))
		}
	}
	if err := std.table([]string{"DEVICE", "ENCODER", "WORKS", "10 BIT", "360P FPS", "1080P FPS", "SESSIONS", "J/FRAME", "WHY NOT"}, encoders); err != nil {
		return err
	}
	if len(decoders) == 0 {
		return nil
	}
	fmt.Fprintln(std.out)
	return std.table([]string{"DEVICE", "DECODER", "DECODES", "WHY NOT"}, decoders)
}

// decodersOf has a row for each way to decode, with the codecs that it does and
// the reasons why it doesn't do the others.
func decodersOf(list []hwaccel.DecoderProfile) [][]string {
	var rows [][]string
	for _, api := range []hwaccel.API{hwaccel.NoAPI, hwaccel.CUDA, hwaccel.QSV, hwaccel.VAAPI} {
		name := string(api)
		if api == hwaccel.NoAPI {
			name = "software"
		}
		var does, reasons []string
		tried := false
		for _, d := range list {
			if d.API != api {
				continue
			}
			tried = true
			codec := d.Codec
			if strings.HasSuffix(d.PixelFormat, "10le") {
				codec += " (10 bit)"
			}
			if d.Works {
				does = append(does, codec)
			} else {
				reasons = append(reasons, codec+": "+d.Reason)
			}
		}
		if tried {
			rows = append(rows, []string{name, strings.Join(does, ", "), strings.Join(slices.Compact(reasons), "; ")})
		}
	}
	return rows
}

func speedOf(byRung map[string]float64, rung string) string {
	fps, measured := byRung[rung]
	if !measured {
		return "-"
	}
	return fmt.Sprintf("%.0f", fps)
}

// energyOf is a frame's energy and the rung for which it was measured.
func energyOf(byRung map[string]float64) string {
	for rung, joules := range byRung { // one, or none where it can't be read
		return fmt.Sprintf("%.3g (%s)", joules, rung)
	}
	return "-"
}

func sessionsOf(e probedEncoder) string {
	if !e.Works || e.Sessions == 0 {
		return "-"
	}
	return fmt.Sprint(e.Sessions)
}
