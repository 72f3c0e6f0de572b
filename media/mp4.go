package media

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/text/language"

	"millrace/job"
	"millrace/media/cmaf"
	"millrace/media/ffmpeg"
	"millrace/media/playlist"
	"millrace/storage"
)

// writeMP4s makes one progressive MP4 for each rendition, index first, from the
// segments that are there already: nothing is encoded again. They go through
// the scratch folder, since the index of such a file can only be written when
// its end is known.
func (t *Toolbox) writeMP4s(ctx context.Context, output *storage.Output, plan job.Plan, shown playlist.Presentation) error {
	dir, err := os.MkdirTemp(t.Scratch, "mp4-")
	if err != nil {
		return scratchFailure(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	var sound []string
	for i, audio := range shown.Audio {
		file := filepath.Join(dir, fmt.Sprintf("audio%d.mp4", i))
		if err := fetchTrack(ctx, output, audio.Track, file); err != nil {
			return fmt.Errorf("fetch audio track %s: %w", audio.Audio.Name, err)
		}
		sound = append(sound, file)
	}
	for _, video := range shown.Video {
		if err := t.writeMP4(ctx, output, dir, video, shown.Audio, sound); err != nil {
			return fmt.Errorf("make %s: %w", mp4Name(video.Rendition), err)
		}
	}
	return nil
}

func (t *Toolbox) writeMP4(ctx context.Context, output *storage.Output, dir string, video playlist.VideoTrack, tracks []playlist.AudioTrack, sound []string) error {
	pictures, result := filepath.Join(dir, "video.mp4"), filepath.Join(dir, "result.mp4")
	if err := fetchTrack(ctx, output, video.Track, pictures); err != nil {
		return fmt.Errorf("fetch the segments: %w", err)
	}
	// -copyts: else ffmpeg moves the sound by its encoder's priming.
	args := append([]string{"-copyts"}, ffmpeg.InputArgs(pictures)...)
	maps := []string{"-map", "0:v"}
	for i, file := range sound {
		args = append(args, ffmpeg.InputArgs(file)...)
		maps = append(maps, "-map", strconv.Itoa(i+1)+":a", "-metadata:s:a:"+strconv.Itoa(i), "language="+iso639(tracks[i].Audio.Language))
	}
	args = append(args, maps...)
	args = append(args, "-c", "copy", "-map_metadata", "-1", "-movflags", "+faststart", "-f", "mp4")
	if video.Rendition.Codec == job.HEVC {
		args = append(args, "-tag:v", "hvc1")
	}
	report, err := t.FFmpeg.Run(ctx, ffmpeg.Command{
		Args: append(args, "file:"+result), Dir: dir, Nice: t.Nice, Logger: t.Logger,
		FirstFrameTimeout: t.FirstFrameTimeout, StallTimeout: t.StallTimeout,
	})
	if err != nil {
		return withLastWords(err, report)
	}
	_, err = output.PutFile(ctx, mp4Name(video.Rendition), typeVideo, result)
	return err
}

// fetchTrack reads a track's segments back from the output store into one file.
func fetchTrack(ctx context.Context, output *storage.Output, track job.Track, file string) (err error) {
	f, err := os.Create(file)
	if err != nil {
		return scratchFailure(err)
	}
	defer func() {
		if closed := f.Close(); err == nil && closed != nil {
			err = scratchFailure(closed)
		}
	}()
	return cmaf.Concat(ctx, f, track, func(ctx context.Context, name string) (io.ReadCloser, error) { return output.Get(ctx, name) })
}

// scratchFailure names what a user sees when the node's disk is the problem.
func scratchFailure(err error) error {
	return fmt.Errorf("write to the scratch folder: %w", job.Fail(job.WorkerDiskFull, "the node's scratch folder can't be written: %v", err))
}

// iso639 is the three-letter code that MP4 files use.
func iso639(tag string) string {
	parsed, err := language.Parse(tag)
	if err != nil {
		return "und"
	}
	base, _ := parsed.Base()
	return base.ISO3()
}
