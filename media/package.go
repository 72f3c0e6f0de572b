package media

import (
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
	// WhileHeld runs a change of what readers see while this attempt is the one
	// that may make it, and fails without it; its ctx ends when that is over, and
	// then it may be run anew. Nil runs it in any case.
	WhileHeld func(ctx context.Context, change func(ctx context.Context) error) error
}

func (t PackageTask) whileHeld(ctx context.Context, change func(ctx context.Context) error) error {
	if t.WhileHeld == nil {
		return change(ctx)
	}
	return t.WhileHeld(ctx, change)
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
	if err := task.whileHeld(ctx, func(ctx context.Context) error { return t.complete(ctx, output, task, shown) }); err != nil {
		return job.Result{}, err
	}
	// However long that took, the masters are only written by who holds the lease.
	if err := task.whileHeld(ctx, func(ctx context.Context) error { return writeMasters(ctx, output, task.Spec, shown) }); err != nil {
		return job.Result{}, err
	}
	return job.Result{Published: published(output, task.Spec, shown)}, nil
}

// complete puts all in place but the masters, and removes what isn't wanted.
func (t *Toolbox) complete(ctx context.Context, output *storage.Output, task PackageTask, shown playlist.Presentation) error {
	if err := sweep(ctx, output, task.Plan, shown); err != nil {
		return fmt.Errorf("remove what earlier runs left behind: %w", err)
	}
	if task.Spec.Wants(job.MP4) {
		if err := t.writeMP4s(ctx, output, task.Plan, shown); err != nil {
			return err
		}
	}
	switch {
	case task.Spec.Wants(job.HLS):
		return writePlaylists(ctx, output, shown)
	case task.Spec.Wants(job.DASH):
		return nil
	}
	if err := removeTracks(ctx, output, task.Plan); err != nil {
		return fmt.Errorf("remove the segments, which are not wanted: %w", err)
	}
	return nil
}

// writeMasters writes what a player opens first; that makes the job visible.
func writeMasters(ctx context.Context, output *storage.Output, spec job.Spec, shown playlist.Presentation) error {
	if spec.Wants(job.DASH) {
		manifest, err := playlist.Manifest(shown)
		if err != nil {
			return fmt.Errorf("make the DASH manifest: %w", err)
		}
		if _, err := output.Put(ctx, playlist.ManifestName, typeManifest, manifest); err != nil {
			return err
		}
	}
	if !spec.Wants(job.HLS) {
		return nil
	}
	master, err := playlist.Master(shown)
	if err != nil {
		return fmt.Errorf("make the master playlist: %w", err)
	}
	_, err = output.Put(ctx, playlist.MasterName, typePlaylist, master)
	return err
}

// published lists what a client can open.
func published(output *storage.Output, spec job.Spec, shown playlist.Presentation) []job.Published {
	var list []job.Published
	add := func(kind job.OutputKind, name string) {
		list = append(list, job.Published{Kind: kind, Name: name, URL: output.URL(name)})
	}
	if spec.Wants(job.HLS) {
		add(job.HLS, playlist.MasterName)
	}
	if spec.Wants(job.DASH) {
		add(job.DASH, playlist.ManifestName)
	}
	if spec.Wants(job.MP4) {
		for _, video := range shown.Video {
			add(job.MP4, mp4Name(video.Rendition))
		}
	}
	if spec.Wants(job.Thumbnails) {
		add(job.Thumbnails, path.Join(thumbnailsDir, thumbnailsIndex))
	}
	return list
}

// writePlaylists writes each track's playlist.
func writePlaylists(ctx context.Context, output *storage.Output, shown playlist.Presentation) error {
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
	return nil
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
