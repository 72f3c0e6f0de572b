package media

import (
	"path"
	"regexp"
	"strconv"

	"millrace/job"
	"millrace/media/cmaf"
	"millrace/media/playlist"
)

const thumbnailsDir = "thumbnails"

// Content types of what is written.
const (
	typeSegment  = "video/iso.segment"
	typeVideo    = "video/mp4"
	typeAudio    = "audio/mp4"
	typePlaylist = "application/vnd.apple.mpegurl"
	typeManifest = "application/dash+xml"
	typeJPEG     = "image/jpeg"
	typeWebVTT   = "text/vtt; charset=utf-8"
)

// audioDir is the folder of an audio track.
func audioDir(track job.AudioTrack) string {
	number, err := strconv.Atoi(track.Name)
	if err != nil {
		return path.Join("audio", track.Name)
	}
	return playlist.AudioDir(number - 1)
}

func initName(dir string) string { return path.Join(dir, cmaf.InitName) }

func mp4Name(rendition job.Rendition) string { return rendition.Name + ".mp4" }

// ourName matches the names, within a track's folder, of what is written there:
// nothing else in it is ever removed.
var ourName = regexp.MustCompile(`^(init\.mp4|index\.m3u8|\d{5,}\.m4s)$`)

// trackDirs are the folders of all of a plan's tracks.
func trackDirs(plan job.Plan) []string {
	var dirs []string
	for _, rendition := range plan.Renditions {
		dirs = append(dirs, rendition.Name)
	}
	for _, track := range plan.Audio {
		dirs = append(dirs, audioDir(track))
	}
	return dirs
}

// topNames are the objects directly under the output path, masters first.
func topNames(plan job.Plan) []string {
	names := []string{playlist.MasterName, playlist.ManifestName}
	for _, rendition := range plan.Renditions {
		names = append(names, mp4Name(rendition))
	}
	return names
}
