package ffmpeg

import (
	"regexp"
	"slices"
	"strings"

	"millrace/job"
)

// sign is a line of ffmpeg's log that tells why a run failed.
type sign struct {
	pattern *regexp.Regexp
	code    job.Code
	// message is the failure's sentence; $1 is the pattern's first group.
	message string
}

// signs are looked for in this order: first what explains other lines.
// Messages are from the sources of ffmpeg 4.4 to 7.1.
//
// Care: an input's fault ends the job without another try, so such a pattern
// must match only what can have no other reason. "Invalid data found when
// processing input" is also said of each damaged packet of a file that decodes
// on, hence the anchors.
var signs = slices.Concat(hostSigns, hardwareSigns, sourceSigns)

// hostSigns are of the machine and of what we refuse to open.
var hostSigns = []sign{
	{line(`No space left on device`), job.WorkerDiskFull, "the scratch folder's disk is full"},
	{line(`Disk quota exceeded`), job.WorkerDiskFull, "the scratch folder's disk quota is used up"},

	{line(`\[(\S+) @ 0x[0-9a-f]+\].* Format not on whitelist`), job.UnsupportedContainer, "the source is opened as $1, which is not an allowed container"},
	{line(`Format not on whitelist`), job.UnsupportedContainer, "the source's container is not an allowed one"},
	{line(`Codec \((\S+)\) not on whitelist`), job.UnsupportedCodec, "the source uses the codec $1, which is not an allowed one"},
	{line(`Protocol '?(\S+?)'? not on whitelist`), job.UnsupportedContainer, "the source refers to another resource over $1, which is not allowed"},
	{line(`exceeds specified max pixel count`), job.LimitExceeded, "the source's pictures have more pixels than this cluster decodes"},
	{line(`Number of streams exceeds max_streams`), job.LimitExceeded, "the source has more streams than this cluster reads"},

	{line(`decryption[ _]key|[Ii]ncorrect key|DRM protected|is encrypted|SAMPLE-AES`), job.MediaEncrypted, "the source is encrypted"},
}

// sourceSigns are of the source.
var sourceSigns = []sign{
	{line(`Server returned (4\d\d|4XX|5XX|5\d\d)[^,]*|HTTP error (\d+)`), job.InputUnreachable, "the source could not be read"},
	{line(`Connection refused|Connection reset by peer|Connection timed out`), job.InputUnreachable, "the source could not be read: $0"},

	// A page or an empty file under a name with an extension is taken for the
	// container of that name, with the least possible score.
	{regexp.MustCompile(`(?s)detected only with low score of 1[,\s].*(?:moov atom not found|EBML header parsing failed|Invalid data found)`), job.MediaNotRecognised, "the source is not a video file that ffmpeg recognises"},
	{line(`moov atom not found`), job.MediaCorrupt, "the source has no index (moov atom not found): it was cut off, or never finished"},
	{line(`EBML header parsing failed`), job.MediaCorrupt, "the source's Matroska header is damaged"},
	{line(`(?:Decoder \(codec (\S+)\) not found|Decoding requested, but no decoder found for: (\S+))`), job.UnsupportedCodec, "this ffmpeg has no decoder for the source's codec $1$2"},
	{line(`Could not find codec parameters for stream \d+ \(Video: (\S+?)[,)]`), job.MediaCorrupt, "the source's video ($1) can't be made out: its header is missing or damaged"},
	{line(`(?:^|\] )(?:Error opening input(?: file)?[^:]*|https?://\S+|file:[^\n]*|/[^\n]*): Invalid data found when processing input`), job.MediaNotRecognised, "the source is not a video file that ffmpeg recognises"},
	{line(`(?:Stream map '[^']*' matches no streams|matches no streams|does not contain any stream)`), job.NoVideoStream, "the source has no stream of the kind asked for"},
}

// line is a pattern that must match within one line of level error or worse,
// or of unknown level, since ffmpeg warns of much that it then overcomes.
func line(pattern string) *regexp.Regexp { return regexp.MustCompile(pattern) }

// cutOff is what the demuxers of MP4 and Matroska say of a file that ends before
// its pictures do.
var cutOff = regexp.MustCompile(`(?m)partial file$|File ended prematurely`)

// Classify reads why ffmpeg or ffprobe failed out of its log (written with
// -loglevel level+…). Nil means that the log names no reason known here.
func Classify(stderr string) *job.Failure {
	var lines []string
	for l := range strings.Lines(stderr) {
		lines = append(lines, strings.TrimRight(l, "\r\n"))
	}
	for _, s := range signs {
		if strings.HasPrefix(s.pattern.String(), "(?s)") {
			if s.pattern.MatchString(stderr) {
				return job.Fail(s.code, "%s", s.message)
			}
			continue
		}
		for _, l := range lines {
			if levelOf([]byte(l)) == "warning" {
				continue
			}
			found := s.pattern.FindStringSubmatchIndex(l)
			if found == nil {
				continue
			}
			message := s.pattern.ExpandString(nil, s.message, l, found)
			return job.Fail(s.code, "%s", cleanLine(string(message)))
		}
	}
	return nil
}
