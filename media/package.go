package media

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"millrace/job"
	"millrace/media/playlist"
	"millrace/storage"
)

// PackageTask is what a package attempt is given: the finished tasks with
// their results.
type PackageTask struct {
	Spec  job.Spec
	Plan  job.Plan
	Tasks []*job.Task
}

// RedoError says that finished tasks have to be done again before the job can
// be published.
type RedoError struct {
	Failure *job.Failure
	Tasks   []job.TaskID
}

func (e *RedoError) Error() string { return e.Failure.Error() }
func (e *RedoError) Unwrap() error { return e.Failure }

// Package checks that every frame and every object is there, that the
// renditions fit together, and publishes them: playlists first, the masters
// last. Until that last write a reader sees nothing of the job.
//
// The error is a *RedoError when other tasks must be done again first.
func (t *Toolbox) Package(ctx context.Context, output *storage.Output, task PackageTask) (job.Result, error) {
	shown, err := assemble(task)
	if err != nil {
		return job.Result{}, redo(task.Tasks, err, func(k *job.Task) bool { return k.Kind == job.EncodeTask || k.Kind == job.AudioTask })
	}
	if err := verify(ctx, output, task.Tasks, shown); err != nil {
		return job.Result{}, err
	}
	if err := sweep(ctx, output, task.Plan, shown); err != nil {
		return job.Result{}, fmt.Errorf("remove what earlier runs left behind: %w", err)
	}
	var published []job.Published
	publish := func(kind job.OutputKind, name string) {
		published = append(published, job.Published{Kind: kind, Name: name, URL: output.URL(name)})
	}
	if task.Spec.Wants(job.MP4) {
		if err := t.writeMP4s(ctx, output, task.Plan, shown); err != nil {
			return job.Result{}, err
		}
		for _, video := range shown.Video {
			publish(job.MP4, mp4Name(video.Rendition))
		}
	}
	if task.Spec.Wants(job.Thumbnails) {
		publish(job.Thumbnails, path.Join(thumbnailsDir, thumbnailsIndex))
	}
	if !task.Spec.Wants(job.HLS) && !task.Spec.Wants(job.DASH) {
		if err := removeTracks(ctx, output, task.Plan); err != nil {
			return job.Result{}, fmt.Errorf("remove the segments, which are not wanted: %w", err)
		}
		return job.Result{Published: published}, nil
	}
	if task.Spec.Wants(job.DASH) {
		manifest, err := playlist.Manifest(shown)
		if err != nil {
			return job.Result{}, fmt.Errorf("make the DASH manifest: %w", err)
		}
		if _, err := output.Put(ctx, playlist.ManifestName, typeManifest, manifest); err != nil {
			return job.Result{}, err
		}
		publish(job.DASH, playlist.ManifestName)
	}
	if task.Spec.Wants(job.HLS) {
		if err := writeHLS(ctx, output, shown); err != nil {
			return job.Result{}, err
		}
		publish(job.HLS, playlist.MasterName)
	}
	slices.SortStableFunc(published, func(a, b job.Published) int { return cmp.Compare(kindOrder[a.Kind], kindOrder[b.Kind]) })
	return job.Result{Published: published}, nil
}

var kindOrder = map[job.OutputKind]int{job.HLS: 0, job.DASH: 1, job.MP4: 2, job.Thumbnails: 3}

func writeHLS(ctx context.Context, output *storage.Output, shown playlist.Presentation) error {
	write := func(dir string, track job.Track) error {
		text, err := playlist.Media(track)
		if err != nil {
			return fmt.Errorf("make the playlist of %s: %w", dir, err)
		}
		_, err = output.Put(ctx, path.Join(dir, playlist.MediaName), typePlaylist, text)
		return err
	}
	for _, video := range shown.Video {
		if err := write(video.Rendition.Name, video.Track); err != nil {
			return err
		}
	}
	for _, audio := range shown.Audio {
		if err := write(audio.Dir, audio.Track); err != nil {
			return err
		}
	}
	master, err := playlist.Master(shown)
	if err != nil {
		return fmt.Errorf("make the master playlist: %w", err)
	}
	_, err = output.Put(ctx, playlist.MasterName, typePlaylist, master)
	return err
}

// assemble joins the chunks of each track and compares the tracks with each other.
func assemble(task PackageTask) (playlist.Presentation, error) {
	chunks := make(map[string][]job.Track) // by rendition, in the order of the chunks
	sound := make(map[string]job.Track)
	for _, finished := range task.Tasks { // sorted by ID, so by chunk
		if finished.Result == nil {
			continue
		}
		for _, track := range finished.Result.Tracks {
			switch finished.Kind {
			case job.EncodeTask:
				chunks[track.Name] = append(chunks[track.Name], track)
			case job.AudioTask:
				sound[track.Name] = track
			}
		}
	}
	shown := playlist.Presentation{Timeline: task.Plan.Timeline}
	for _, rendition := range task.Plan.Renditions {
		track, err := playlist.Join(chunks[rendition.Name])
		if err != nil {
			return shown, fmt.Errorf("join the chunks of %s: %w", rendition.Name, err)
		}
		shown.Video = append(shown.Video, playlist.VideoTrack{Rendition: rendition, Track: track})
	}
	for _, audio := range task.Plan.Audio {
		shown.Audio = append(shown.Audio, playlist.AudioTrack{Audio: audio, Track: sound[audio.Name], Dir: audioDir(audio)})
	}
	return shown, playlist.Check(shown)
}

// verify looks for every object in the store as its task reported it. An
// attempt that was fenced may have written over it since.
func verify(ctx context.Context, output *storage.Output, tasks []*job.Task, shown playlist.Presentation) error {
	used := make(map[string]bool)
	for _, object := range objectsOf(shown) {
		used[object.Name] = true
	}
	var objects []job.Object
	owner := make(map[string]job.TaskID)
	for _, task := range tasks {
		for _, object := range resultObjects(task) {
			if !used[object.Name] && task.Kind != job.ThumbnailsTask {
				continue // of a rendition that is not wanted any more
			}
			if object.ETag == "" && owner[object.Name] != "" {
				continue // an init segment that this task needs and another wrote
			}
			owner[object.Name] = task.ID
			objects = append(objects, object)
		}
	}
	bad, err := output.Verify(ctx, objects)
	if err != nil || len(bad) == 0 {
		return err
	}
	var tasksToRedo []job.TaskID
	for _, object := range bad {
		tasksToRedo = append(tasksToRedo, owner[object.Name])
	}
	slices.Sort(tasksToRedo)
	first := bad[0]
	return &RedoError{
		Failure: job.Fail(job.OutputVerification, "%s %s in the output store (%d objects in all)", first.Name, first.Reason, len(bad)),
		Tasks:   slices.Compact(tasksToRedo),
	}
}

func resultObjects(task *job.Task) []job.Object {
	if task.Result == nil {
		return nil
	}
	objects := slices.Clone(task.Result.Objects)
	for _, track := range task.Result.Tracks {
		objects = append(objects, track.Init)
		for _, segment := range track.Segments {
			objects = append(objects, segment.Object)
		}
	}
	return objects
}

func objectsOf(shown playlist.Presentation) []job.Object {
	var objects []job.Object
	add := func(track job.Track) {
		objects = append(objects, track.Init)
		for _, segment := range track.Segments {
			objects = append(objects, segment.Object)
		}
	}
	for _, video := range shown.Video {
		add(video.Track)
	}
	for _, audio := range shown.Audio {
		add(audio.Track)
	}
	return objects
}

// sweep removes segments that are in our folders but not in the presentation:
// a longer video that was here before, or a late writer's.
func sweep(ctx context.Context, output *storage.Output, plan job.Plan, shown playlist.Presentation) error {
	keep := make(map[string]bool)
	for _, object := range objectsOf(shown) {
		keep[object.Name] = true
	}
	return removeOurs(ctx, output, trackDirs(plan), func(name string) bool {
		return keep[name] || path.Base(name) == playlist.MediaName
	})
}

// removeOurs removes from the folders what we would have written there, except
// for what keep says.
func removeOurs(ctx context.Context, output *storage.Output, dirs []string, keep func(name string) bool) error {
	var names []string
	for _, dir := range dirs {
		for object, err := range output.List(ctx, dir+"/") {
			if err != nil {
				return err
			}
			base, within := strings.CutPrefix(object.Name, dir+"/")
			if within && ourName.MatchString(base) && !keep(object.Name) {
				names = append(names, object.Name)
			}
		}
	}
	return output.Delete(ctx, names...)
}

func removeTracks(ctx context.Context, output *storage.Output, plan job.Plan) error {
	return removeOurs(ctx, output, trackDirs(plan), func(string) bool { return false })
}

// Prepare makes the output path ready for a job: it can be written to, and the
// masters of an earlier job that was put there are gone, so that no player mixes
// its segments with ours.
func Prepare(ctx context.Context, output *storage.Output, plan job.Plan) error {
	if err := output.Check(ctx); err != nil {
		return err
	}
	return output.Delete(ctx, topNames(plan)...)
}

// Cleanup removes what a job wrote under its output path, the masters first,
// and nothing else. A job without a plan has written nothing.
func Cleanup(ctx context.Context, output *storage.Output, plan *job.Plan) error {
	if plan == nil {
		return output.AbortUploads(ctx)
	}
	if err := output.Delete(ctx, topNames(*plan)...); err != nil {
		return err
	}
	if err := output.AbortUploads(ctx); err != nil {
		return err
	}
	if err := removeTracks(ctx, output, *plan); err != nil {
		return err
	}
	return removeThumbnails(ctx, output)
}

// redo wraps a failure that lies in what other tasks made.
func redo(tasks []*job.Task, err error, which func(*job.Task) bool) error {
	var failure *job.Failure
	if !errors.As(err, &failure) {
		return err
	}
	again := &RedoError{Failure: failure}
	for _, task := range tasks {
		if which(task) {
			again.Tasks = append(again.Tasks, task.ID)
		}
	}
	return again
}
