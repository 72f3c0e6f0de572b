package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"millrace/node"
	"millrace/storage"
)

// serveCommand runs a peer.
type serveCommand struct {
	Settings
}

// Run serves until ctx ends.
func (c *serveCommand) Run(ctx context.Context) error {
	return serve(ctx, c.Settings, newLogger(c.Settings))
}

// serve runs a peer until ctx ends, then drains it. It is the only place where
// the command line meets the peer.
func serve(ctx context.Context, settings Settings, log *slog.Logger) error {
	stores, err := storageConfig(settings)
	if err != nil {
		return err
	}
	// ffmpeg runs in folders of its own, from which a relative path leads elsewhere.
	data, err := filepath.Abs(settings.Data)
	if err != nil {
		return fmt.Errorf("find the folder %s: %w", settings.Data, err)
	}
	return node.Run(ctx, node.Config{
		Labels: settings.Label, Taints: settings.Taint, Hours: settings.WorkHours,
		DataDir: data, HTTPAddr: settings.HTTP, GossipAddr: settings.Gossip, RaftAddr: settings.Raft,
		Advertise: settings.Advertise, Expect: settings.Expect, Join: settings.Join, Bundle: settings.Bundle, MaxVoters: settings.MaxVoters,
		Storage: stores, WebhookNetworks: settings.AllowWebhookNetwork, WebhookTimeout: settings.WebhookTimeout,
		FFmpegPath: settings.FFmpeg, FFprobePath: settings.FFprobe, Slots: settings.Slots,
		FirstFrameTimeout: settings.FirstFrameTimeout, StallTimeout: settings.StallTimeout, DrainTimeout: settings.DrainTimeout,
		Retention: node.Retention{KeepJobs: settings.KeepJobs, KeepFor: time.Duration(settings.KeepDays) * 24 * time.Hour},
		Version:   versionText(), Logger: log,
	})
}

// storageConfig is what the settings say of sources and outputs.
func storageConfig(settings Settings) (storage.Config, error) {
	config := storage.Config{
		AllowedNetworks: settings.AllowSourceNetwork, CacheBytes: int64(settings.CacheBytes),
		MaxSourceBytes: int64(settings.MaxSourceBytes), StallTimeout: settings.TransferTimeout, RootCAs: settings.SourceCAFile,
		DefaultS3: storage.S3Defaults{
			Endpoint: settings.S3Endpoint, Region: settings.S3Region, PathStyle: settings.S3PathStyle, CAFile: settings.S3CAFile,
		},
	}
	if settings.S3AccessKey != "" {
		config.DefaultS3.Credentials = &storage.Credentials{AccessKey: settings.S3AccessKey, SecretKey: settings.S3SecretKey}
	}
	for roots, to := range map[*[]string]*[]string{&settings.SourceRoot: &config.SourceRoots, &settings.OutputRoot: &config.OutputRoots} {
		for _, root := range *roots {
			absolute, err := filepath.Abs(root)
			if err != nil {
				return config, fmt.Errorf("find the folder %s: %w", root, err)
			}
			*to = append(*to, absolute)
		}
	}
	return config, nil
}

// newLogger writes to standard error, in the form and from the level that are set.
func newLogger(settings Settings) *slog.Logger {
	var level slog.Level
	// The enum of the flag has only names that slog knows.
	_ = level.UnmarshalText([]byte(settings.LogLevel))
	options := &slog.HandlerOptions{Level: level}
	if settings.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(os.Stderr, options))
	}
	return slog.New(slog.NewTextHandler(os.Stderr, options))
}
