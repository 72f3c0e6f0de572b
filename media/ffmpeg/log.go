package ffmpeg

import (
	"bytes"
	"regexp"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// How much of ffmpeg's log is kept, and how much of that is shown to people.
const (
	keptHead      = 16 << 10 // the first bytes: why an input could not be opened
	keptTail      = 64 << 10 // the last bytes: why the run ended
	shownLines    = 40
	shownLineSize = 400 // characters
)

// log keeps the beginning and the end of what ffmpeg writes to stderr and
// counts its lines by level; a flood of any size takes the same memory. It is
// an io.Writer that never fails.
type log struct {
	mu       sync.Mutex
	head     []byte
	tail     []byte // the newest bytes, at most 2×keptTail before it is cut
	lost     bool   // bytes between head and tail are gone
	line     []byte // the beginning of the line being written, enough for its level
	warnings int
	errors   int
}

// levelWindow is how far into a line its level is looked for; before it stands
// the name of a component and an address.
const levelWindow = 160

func newLog() *log { return &log{} }

func (l *log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count(b)
	n := len(b)
	if room := keptHead - len(l.head); room > 0 {
		take := min(room, len(b))
		l.head = append(l.head, b[:take]...)
		b = b[take:]
	}
	if len(b) > keptTail {
		b = b[len(b)-keptTail:]
		l.lost = true
	}
	l.tail = append(l.tail, b...)
	if len(l.tail) > 2*keptTail {
		l.tail = append(l.tail[:0], l.tail[len(l.tail)-keptTail:]...)
		l.lost = true
	}
	return n, nil
}

// count counts the lines of each level in a stream of bytes.
func (l *log) count(b []byte) {
	for len(b) > 0 {
		end := bytes.IndexByte(b, '\n')
		part := b
		if end >= 0 {
			part = b[:end]
		}
		if room := levelWindow - len(l.line); room > 0 {
			l.line = append(l.line, part[:min(room, len(part))]...)
		}
		if end < 0 {
			return
		}
		switch levelOf(l.line) {
		case "warning":
			l.warnings++
		case "error", "fatal", "panic":
			l.errors++
		}
		l.line = l.line[:0]
		b = b[end+1:]
	}
}

// levels are as "-loglevel level+…" writes them: "[h264 @ 0x55d0] [error] …".
var levels = regexp.MustCompile(`^(?:\[[^\]]* @ 0x[0-9a-f]+\] )*\[(panic|fatal|error|warning|info|verbose|debug)\] `)

func levelOf(line []byte) string {
	if found := levels.FindSubmatch(line); found != nil {
		return string(found[1])
	}
	return ""
}

// text is what was kept, as ffmpeg wrote it.
func (l *log) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lost {
		return string(l.head) + "\n…\n" + string(l.tail)
	}
	return string(l.head) + string(l.tail)
}

// lastWords is the last lines, fit to be shown and stored.
func (l *log) lastWords() string {
	var lines []string
	for line := range strings.Lines(l.text()) {
		if line = cleanLine(line); line != "" {
			lines = append(lines, line)
		}
	}
	if len(lines) > shownLines {
		lines = lines[len(lines)-shownLines:]
	}
	return strings.Join(lines, "\n")
}

// silent stands for the last line of a log without any.
const silent = "it said nothing"

// lastLine is the last line that says something, without its level.
func (l *log) lastLine() string {
	words := l.lastWords()
	last := words[strings.LastIndexByte(words, '\n')+1:]
	if last == "" {
		return silent
	}
	return string(levels.ReplaceAll([]byte(last), nil))
}

var (
	ansi      = regexp.MustCompile(`\x1b(?:\[[0-9;?]*[\x20-\x2f]*[\x40-\x7e]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|.)`)
	addresses = regexp.MustCompile(` @ 0x[0-9a-f]+\]`)
	// A source is served under a secret path of a loopback port.
	loopback = regexp.MustCompile(`http://(?:127\.0\.0\.1|\[::1\]|localhost)(?::\d+)?/[^\s'"]*`)
)

// cleanLine makes one line of foreign text safe for logs, terminals and JSON:
// valid UTF-8 of bounded length without control characters, terminal sequences,
// memory addresses and the paths of the loopback server.
func cleanLine(line string) string {
	line = strings.ToValidUTF8(line, "\uFFFD")
	line = ansi.ReplaceAllString(line, "")
	line = strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		// Cf holds the marks that turn the direction of text around.
		case unicode.IsControl(r), unicode.Is(unicode.Cf, r), r == '\u2028', r == '\u2029':
			return -1
		}
		return r
	}, line)
	line = addresses.ReplaceAllString(line, "]")
	line = loopback.ReplaceAllString(line, "(the source)")
	line = strings.TrimSpace(line)
	if utf8.RuneCountInString(line) > shownLineSize {
		line = string([]rune(line)[:shownLineSize]) + "…"
	}
	return line
}
