package media

import (
	"strings"
	"testing"

	"millrace/media/mediatest"
)

// made is a source that ffmpeg makes. Its command is split at spaces.
type made struct {
	name    string // and what is odd about it
	file    string
	command string
	// rate is the timeline's, frames its length; frames 0 isn't looked at.
	rate   string
	frames int64
	// width and height are of the rung of 90 lines, if not 160×90.
	width, height int
	tracks        int // of sound
	// sync is how many beeps of a source with flashes must be found.
	sync int
}

func (m made) make(t *testing.T) string { return mediatest.Make(t, m.file, words(m.command)...) }

func words(command string) []string { return strings.Fields(command) }

// What the commands below have in common.
const (
	x264    = " -c:v libx264 -preset veryfast -pix_fmt yuv420p "
	openGOP = x264 + "-bf 3 -x264-params open-gop=1:keyint=40:min-keyint=10:b-pyramid=normal "
	film    = "-f lavfi -i testsrc2=s=192x108:r=24000/1001:d=4.2 "
	steady  = "-f lavfi -i testsrc2=s=192x108:r=30:d=3.4 "
	// Each second begins with a white picture and a beep, both a fifth of a second long.
	flash = `-f lavfi -i color=black:s=192x108:r=25:d=5,drawbox=c=white:t=fill:enable='lt(mod(t\,1)\,0.2)' `
	beep  = `-f lavfi -i aevalsrc=exprs='if(lt(mod(t\,1)\,0.2)\,0.5*sin(2*PI*1000*t)\,0)':s=48000:d=5 `
)

var oddPictures = []made{
	{name: "open groups with B-frames in MP4", file: "a.mp4", command: film + openGOP, rate: "24000/1001", frames: 101},
	{name: "open groups with B-frames in Matroska", file: "a.mkv", command: film + openGOP, rate: "24000/1001", frames: 101},
	{name: "open groups in MPEG-TS, starting at 1.4 s", file: "a.ts", command: film + openGOP, rate: "24000/1001", frames: 101},
	{name: "MPEG-2 with B-frames in MPEG-PS", file: "a.mpg", command: steady + "-c:v mpeg2video -bf 2 -g 15 -q:v 4", rate: "30/1", frames: 102},
	{name: "a third of the frames dropped", file: "a.mp4", command: steady + `-vf select='gt(random(1)\,0.3)' -fps_mode vfr` + openGOP, rate: "30/1"},
	{name: "a third of the frames dropped, Matroska", file: "a.mkv", command: steady + `-vf select='gt(random(1)\,0.3)' -fps_mode vfr` + openGOP, rate: "30/1"},
	{name: "59.94 frames a second", file: "a.mp4", command: "-f lavfi -i testsrc2=s=192x108:r=60000/1001:d=2.2" + openGOP, rate: "60000/1001", frames: 132},
	{name: "240 frames a second", file: "a.mp4", command: "-f lavfi -i testsrc2=s=192x108:r=240:d=1.1" + openGOP, rate: "120/1", frames: 133},
	{name: "a tenth of a second", file: "a.mp4", command: "-f lavfi -i testsrc2=s=192x108:r=30:d=0.1" + x264, rate: "30/1", frames: 3},
	{name: "one frame", file: "a.mp4", command: steady + "-frames:v 1" + x264, rate: "30/1", frames: 1},
	{name: "one frame in Matroska", file: "a.mkv", command: steady + "-frames:v 1" + x264, rate: "30/1", frames: 1},
	{name: "start at 3.51 s in MP4", file: "a.mp4", command: steady + openGOP + "-output_ts_offset 3.51", rate: "30/1", frames: 102},
	{name: "start at 3.51 s in Matroska", file: "a.mkv", command: steady + openGOP + "-output_ts_offset 3.51", rate: "30/1", frames: 102},
	{name: "interlaced", file: "a.mpg", command: "-f lavfi -i testsrc2=s=192x108:r=50:d=3,tinterlace=interleave_top,fieldorder=tff -c:v mpeg2video -flags +ildct+ilme -q:v 4 -r 25", rate: "25/1", frames: 75},
	{name: "portrait", file: "a.mp4", command: "-f lavfi -i testsrc2=s=108x192:r=25:d=2" + x264, rate: "25/1", frames: 50, width: 90, height: 160},
	{name: "odd sides", file: "a.mp4", command: "-f lavfi -i testsrc2=s=191x239:r=25:d=2 -c:v libx264 -preset veryfast -pix_fmt yuv444p", rate: "25/1", frames: 50, width: 90, height: 112},
	{name: "pixels that aren't square", file: "a.mp4", command: "-f lavfi -i testsrc2=s=144x108:r=25:d=2,setsar=4/3" + x264, rate: "25/1", frames: 50},
	{name: "full range", file: "a.avi", command: "-f lavfi -i testsrc2=s=192x108:r=25:d=2 -c:v mjpeg -pix_fmt yuvj420p -q:v 3", rate: "25/1", frames: 50},
	{name: "ten bits", file: "a.mkv", command: "-f lavfi -i testsrc2=s=192x108:r=25:d=2 -c:v libx264 -preset veryfast -pix_fmt yuv420p10le", rate: "25/1", frames: 50},
	{name: "HDR10", file: "a.mp4", command: "-f lavfi -i testsrc2=s=192x108:r=25:d=2 -c:v libx265 -preset ultrafast -pix_fmt yuv420p10le -x265-params log-level=error:colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc -color_primaries bt2020 -color_trc smpte2084 -colorspace bt2020nc -tag:v hvc1", rate: "25/1", frames: 50},
	{name: "4:2:2", file: "a.mov", command: "-f lavfi -i testsrc2=s=192x108:r=25:d=2 -c:v libx264 -preset veryfast -pix_fmt yuv422p", rate: "25/1", frames: 50},
	{name: "RGB", file: "a.mov", command: "-f lavfi -i testsrc2=s=192x108:r=25:d=2 -c:v qtrle -pix_fmt rgb24", rate: "25/1", frames: 50},
	{name: "12.5 frames a second", file: "a.mp4", command: "-f lavfi -i testsrc2=s=192x108:r=25/2:d=4" + openGOP, rate: "25/2", frames: 50},
	{name: "100/7 frames a second", file: "a.mp4", command: "-f lavfi -i testsrc2=s=192x108:r=100/7:d=4.2" + openGOP, rate: "100/7", frames: 60},
	{name: "a picture every three seconds", file: "a.mp4", command: "-f lavfi -i testsrc2=s=192x108:r=1/3:d=12" + openGOP, rate: "1/1", frames: 12},
	{name: "MS-MPEG4 in AVI", file: "a.avi", command: steady + "-c:v msmpeg4 -g 40 -q:v 4", rate: "30/1", frames: 102},
	{name: "MPEG-4 with B-frames in AVI", file: "a.avi", command: steady + "-c:v mpeg4 -bf 2 -g 40 -q:v 4", rate: "30/1", frames: 102},
	{name: "VP9 in WebM", file: "a.webm", command: steady + "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -g 40 -b:v 300k", rate: "30/1", frames: 102},
	{name: "FLV", file: "a.flv", command: steady + openGOP, rate: "30/1", frames: 102},
}

var oddSound = []made{
	{name: "sound and pictures alike", file: "a.mp4", command: flash + beep + x264 + "-c:a aac", rate: "25/1", frames: 125, tracks: 1, sync: 5},
	{name: "MP3 in Matroska", file: "a.mkv", command: flash + beep + x264 + "-c:a libmp3lame", rate: "25/1", frames: 125, tracks: 1, sync: 5},
	{name: "MPEG-TS", file: "a.ts", command: flash + beep + openGOP + "-c:a aac", rate: "25/1", frames: 125, tracks: 1, sync: 5},
	{name: "MPEG-PS", file: "a.mpg", command: flash + beep + "-c:v mpeg2video -bf 2 -q:v 4 -c:a mp2", rate: "25/1", frames: 125, tracks: 1, sync: 5},
	{name: "AVI", file: "a.avi", command: flash + beep + "-c:v mpeg4 -bf 2 -q:v 4 -c:a libmp3lame", rate: "25/1", frames: 125, tracks: 1, sync: 5},
	{name: "FLV", file: "a.flv", command: flash + beep + x264 + "-c:a aac", rate: "25/1", frames: 125, tracks: 1, sync: 5},
	{name: "start at 3.51 s", file: "a.mkv", command: flash + beep + x264 + "-c:a aac -output_ts_offset 3.51", rate: "25/1", frames: 125, tracks: 1, sync: 5},
	{name: "start at 3.51 s in MP4", file: "a.mp4", command: flash + beep + x264 + "-c:a aac -output_ts_offset 3.51", rate: "25/1", frames: 125, tracks: 1, sync: 5},
	{name: "sound 0.7 s late", file: "a.mkv", command: flash + beep + `-af atrim=start=0.7` + x264 + "-c:a aac", rate: "25/1", frames: 125, tracks: 1, sync: 4},
	{name: "sound 0.7 s late in MP4", file: "a.mp4", command: flash + beep + `-af atrim=start=0.7` + x264 + "-c:a aac", rate: "25/1", frames: 125, tracks: 1, sync: 4},
	{name: "pictures 0.6 s late", file: "a.mkv", command: flash + beep + `-filter_complex [0:v]trim=start=0.6[v] -map [v] -map 1:a -fps_mode passthrough` + x264 + "-c:a aac", rate: "25/1", frames: 110, tracks: 1, sync: 4},
	{name: "pictures 0.6 s late in MP4", file: "a.mp4", command: flash + beep + `-filter_complex [0:v]trim=start=0.6[v] -map [v] -map 1:a -fps_mode passthrough` + x264 + "-c:a aac", rate: "25/1", frames: 110, tracks: 1, sync: 4},
	{name: "a gap in the sound", file: "a.mkv", command: flash + beep + `-af aselect='lt(t\,1.5)+gt(t\,2.5)'` + x264 + "-c:a aac", rate: "25/1", frames: 125, tracks: 1, sync: 4},
	{name: "sound longer than the pictures", file: "a.mp4", command: flash + strings.ReplaceAll(beep, "d=5", "d=8") + x264 + "-c:a aac", rate: "25/1", frames: 125, tracks: 1, sync: 5},
	{name: "sound shorter than the pictures", file: "a.mp4", command: flash + strings.ReplaceAll(beep, "d=5", "d=2") + x264 + "-c:a aac", rate: "25/1", frames: 125, tracks: 1, sync: 2},
	{name: "8 kHz mono", file: "a.mov", command: flash + beep + x264 + "-c:a pcm_s16le -ar 8000 -ac 1", rate: "25/1", frames: 125, tracks: 1, sync: 5},
	{name: "5.1", file: "a.mp4", command: flash + beep + x264 + "-c:a aac -ac 6", rate: "25/1", frames: 125, tracks: 1, sync: 5},
	{name: "two tracks", file: "a.mkv", command: flash + beep + beep + "-map 0:v -map 1:a -map 2:a -metadata:s:a:0 language=fre -metadata:s:a:1 language=eng -disposition:a:1 default -disposition:a:0 0" + x264 + "-c:a aac", rate: "25/1", frames: 125, tracks: 2, sync: 5},
}

// cutWithoutEncoding begins between two keyframes: its edit list hides what
// comes before.
func cutWithoutEncoding(t *testing.T) string {
	whole := mediatest.Make(t, "whole.mp4", words(flash+beep+openGOP+"-c:a aac")...)
	return mediatest.Make(t, "cut.mp4", "-ss", "0.9", "-i", whole, "-c", "copy")
}

// standing ends in a picture that stands for five seconds.
func standing(t *testing.T) string {
	plain := mediatest.Make(t, "plain.mp4", words(steady+x264+"-bf 0")...)
	return mediatest.Make(t, "standing.mp4", "-i", plain, "-c", "copy", "-bsf:v", `setts=pts=PTS:dts=DTS:duration=if(eq(N\,101)\,5/TB\,DURATION)`)
}

// rotated is a phone's video, held upright: the coded picture lies on its side,
// white at its left, and the header says to turn it by 90° against the clock.
func rotated(t *testing.T) string {
	flat := mediatest.Make(t, "flat.mp4", words("-f lavfi -i color=black:s=192x108:r=25:d=2,drawbox=c=white:w=96:h=108:t=fill"+x264)...)
	return mediatest.Make(t, "turned.mp4", "-i", flat, "-c", "copy", "-metadata:s:v:0", "rotate=90")
}
