package ffmpeg

import (
	"strconv"
	"strings"
)

// Limits on what ffmpeg opens, before it decodes anything.
const (
	// MaxPixels admits 8K in any orientation with its macroblock padding
	// (8192 × 4352) and not much more: a frame of 16-bit 4:4:4 then takes 240 MB.
	MaxPixels = 40_000_000
	// MaxStreams admits a film with dozens of languages. ffmpeg's own limit is 1,000.
	MaxStreams = 128
)

// Demuxers are the containers that are opened, by ffmpeg's names: what people
// upload (cameras, editors, broadcasters, archives), and plain sound, so that
// it is refused for having no pictures rather than for its container. Not here:
// whatever names other resources (hls, dash, concat, imf, sdp, image2), makes
// pictures from anything (tty, lavfi, rawvideo), or is never met.
var Demuxers = []string{
	"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "mpegts", "mpeg", "avi", "flv", "asf", "mxf", "ogg",
	"mp3", "wav", "flac", "aac",
}

// Decoders are the decoders that may run on a source. Those in hardware decode
// the same codecs under other names.
var Decoders = []string{
	// pictures
	"h264", "hevc", "av1", "libdav1d", "vp8", "vp9", "libvpx", "libvpx-vp9",
	"mpeg1video", "mpeg2video", "mpegvideo", "mpeg4", "msmpeg4", "msmpeg4v1", "msmpeg4v2",
	"h263", "h263p", "flv", "wmv1", "wmv2", "wmv3", "vc1", "theora",
	"mjpeg", "dvvideo", "prores", "dnxhd", "cfhd", "ffv1", "huffyuv", "ffvhuff", "utvideo",
	"qtrle", "rawvideo", "v210", "v308", "v408", "v410", "jpeg2000", "libopenjpeg",
	// covers, which ffprobe opens
	"png", "bmp", "gif", "webp",
	// pictures, decoded by devices
	"h264_cuvid", "hevc_cuvid", "av1_cuvid", "vp8_cuvid", "vp9_cuvid", "mpeg2_cuvid", "mpeg4_cuvid", "mjpeg_cuvid", "vc1_cuvid",
	"h264_qsv", "hevc_qsv", "av1_qsv", "vp8_qsv", "vp9_qsv", "mpeg2_qsv", "mjpeg_qsv", "vc1_qsv",
	// sound
	"aac", "aac_latm", "ac3", "eac3", "mp1", "mp1float", "mp2", "mp2float", "mp3", "mp3float",
	"opus", "libopus", "vorbis", "libvorbis", "flac", "alac", "dca", "truehd", "mlp",
	"wmav1", "wmav2", "wmapro", "wmalossless", "amrnb", "amrwb", "nellymoser", "speex", "libspeex", "gsm", "s302m",
	"adpcm_ms", "adpcm_ima_wav", "adpcm_ima_qt", "adpcm_swf", "qdm2",
	"pcm_s8", "pcm_u8", "pcm_s16le", "pcm_s16be", "pcm_s24le", "pcm_s24be", "pcm_s32le", "pcm_s32be",
	"pcm_f32le", "pcm_f32be", "pcm_f64le", "pcm_f64be", "pcm_alaw", "pcm_mulaw", "pcm_bluray", "pcm_dvd",
	// text, which is never decoded but which ffprobe opens
	"mov_text", "srt", "subrip", "ass", "ssa", "webvtt", "text", "cc_dec", "dvdsub", "dvbsub", "pgssub", "xsub", "libzvbi_teletextdec",
}

// InputArgs are the arguments that open url, which is hostile, as an input: the
// allow-lists, the limits and "-i". The url must be made by us: http on the
// loopback server, or the path of a file in the scratch folder. Options of the
// input (-ss, -hwaccel) go before them.
func InputArgs(url string) []string { return append(inputLimits(url), "-i", inputURL(url)) }

func inputLimits(url string) []string {
	protocols := "file"
	if isHTTP(url) {
		protocols = "http,tcp"
	}
	return []string{
		"-protocol_whitelist", protocols,
		"-format_whitelist", strings.Join(Demuxers, ","),
		"-codec_whitelist", strings.Join(Decoders, ","),
		"-max_pixels", strconv.Itoa(MaxPixels),
		"-max_streams", strconv.Itoa(MaxStreams),
	}
}

func isHTTP(url string) bool { return strings.HasPrefix(url, "http://") }

// inputURL keeps the name of a file from being taken for a protocol
// ("concat:…") or an option ("-…").
func inputURL(url string) string {
	if isHTTP(url) || strings.HasPrefix(url, "file:") {
		return url
	}
	return "file:" + url
}
