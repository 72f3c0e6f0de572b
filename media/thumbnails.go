package media

import (
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"millrace/hwaccel"
	"millrace/job"
	"millrace/media/ffmpeg"
	"millrace/storage"
)

// Thumbnails are small pictures at even distances, tiled into sheets, with a
// WebVTT index that says where on which sheet the picture of a time is: what
// players' seek bars read.
const (
	thumbnailsIndex  = "index.vtt"
	thumbnailSide    = 90 // short side, pixels
	thumbnailEvery   = 10 * time.Second
	thumbnailsFewest = 20 // of a video that is long enough to have one a second
	sheetColumns     = 5
	sheetRows        = 5
)

// Thumbnails makes the sheets and their index. Only keyframes are decoded: a
// seek bar needs no more, and it costs a twentieth.
func (t *Toolbox) Thumbnails(ctx context.Context, in Input, output *storage.Output, plan job.Plan) (job.Result, error) {
	dir, err := os.MkdirTemp(t.Scratch, "thumbnails-")
	if err != nil {
		return job.Result{}, scratchFailure(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()

	width, height := fit(plan.Source.Width, plan.Source.Height, thumbnailSide)
	step := thumbnailStep(plan.Timeline)
	count := int((plan.Timeline.Frames + step - 1) / step)
	graph := fmt.Sprintf("[0:%d]%s,framestep=%d,scale=%d:%d:flags=lanczos,format=yuvj420p,setsar=1,tile=%dx%d[%s]",
		plan.Source.Stream, grid(plan, job.FrameRange{End: plan.Timeline.Frames}), step, width, height, sheetColumns, sheetRows, outputName(0))
	args, _ := hwaccel.ThreadArgs(1)
	args = append(args, decoderArgs(plan.Source)...)
	args = append(args, "-skip_frame", "nokey")
	args = append(args, ffmpeg.InputArgs(in.URL)...)
	args = append(args, "-filter_complex", graph, "-map", "["+outputName(0)+"]",
		"-c:v", "mjpeg", "-q:v", "4", "-map_metadata", "-1", "-fps_mode", "passthrough", "-f", "image2", "file:"+filepath.Join(dir, "%05d.jpg"))
	report, err := t.FFmpeg.Run(ctx, ffmpeg.Command{
		Args: args, Dir: dir, Nice: t.Nice, Sandbox: t.FFmpeg.Sandbox.ForInput(in.URL), Logger: t.Logger,
		FirstFrameTimeout: t.FirstFrameTimeout, StallTimeout: t.StallTimeout,
	})
	if err != nil {
		return job.Result{}, withLastWords(fmt.Errorf("make thumbnails: %w", err), report)
	}

	var result job.Result
	sheets := (count + sheetColumns*sheetRows - 1) / (sheetColumns * sheetRows)
	for n := range sheets {
		file := fmt.Sprintf("%05d.jpg", n+1)
		object, err := output.PutFile(ctx, path.Join(thumbnailsDir, file), typeJPEG, filepath.Join(dir, file))
		if os.IsNotExist(err) {
			err = job.Fail(job.EncoderOutputMismatch, "ffmpeg made fewer than %d sheets of thumbnails", sheets)
		}
		if err != nil {
			return job.Result{}, err
		}
		result.Objects = append(result.Objects, object)
	}
	index, err := output.Put(ctx, path.Join(thumbnailsDir, thumbnailsIndex), typeWebVTT, thumbnailIndex(plan.Timeline, step, count, width, height))
	result.Objects = append(result.Objects, index)
	return result, err
}

// thumbnailStep is the frames from one thumbnail to the next.
func thumbnailStep(timeline job.Timeline) int64 {
	every := min(thumbnailEvery, max(time.Second, timeline.Duration()/thumbnailsFewest))
	return max(1, int64(every.Seconds()*timeline.Rate.Float()))
}

func thumbnailIndex(timeline job.Timeline, step int64, count, width, height int) []byte {
	var b strings.Builder
	b.WriteString("WEBVTT\n")
	for i := range count {
		start, end := timeline.At(int64(i)*step), timeline.At(min(int64(i+1)*step, timeline.Frames))
		place := i % (sheetColumns * sheetRows)
		fmt.Fprintf(&b, "\n%s --> %s\n%05d.jpg#xywh=%d,%d,%d,%d\n", vttTime(start), vttTime(end),
			i/(sheetColumns*sheetRows)+1, place%sheetColumns*width, place/sheetColumns*height, width, height)
	}
	return []byte(b.String())
}

func vttTime(d time.Duration) string {
	ms := d.Milliseconds()
	return fmt.Sprintf("%02d:%02d:%02d.%03d", ms/3_600_000, ms/60_000%60, ms/1000%60, ms%1000)
}

// removeThumbnails removes sheets and index.
func removeThumbnails(ctx context.Context, output *storage.Output) error {
	var names []string
	for object, err := range output.List(ctx, thumbnailsDir+"/") {
		if err != nil {
			return err
		}
		base := path.Base(object.Name)
		stem, jpeg := strings.CutSuffix(base, ".jpg")
		if _, err := strconv.Atoi(stem); base == thumbnailsIndex || jpeg && err == nil {
			names = append(names, object.Name)
		}
	}
	return output.Delete(ctx, names...)
}
