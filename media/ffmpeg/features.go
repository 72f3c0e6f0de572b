package ffmpeg

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"sync"
)

// Features is what an ffmpeg build declares that it can do. A declared encoder
// need not work on this machine: only a trial tells. Its methods may be called
// from several goroutines.
type Features struct {
	Encoders map[string]bool // by name, "libx264"
	Decoders map[string]bool
	Filters  map[string]bool
	HWAccels map[string]bool // "cuda", "vaapi", …

	ask     Asker
	mu      sync.Mutex
	options map[string]map[string]bool // "encoder=libx264" → option names
	generic map[string]bool            // options of every encoder
}

// Asker answers what an ffmpeg prints on its standard output when it is run
// with some arguments (after -hide_banner).
type Asker func(ctx context.Context, args ...string) (string, error)

// Features asks the binary what it can do, once; later calls answer at once.
func (t *Tools) Features(ctx context.Context) (*Features, error) {
	t.featuresMu.Lock()
	defer t.featuresMu.Unlock()
	if t.features != nil {
		return t.features, nil
	}
	f, err := ReadFeatures(ctx, func(ctx context.Context, args ...string) (string, error) {
		return ask(ctx, t.FFmpeg, append([]string{"-hide_banner"}, args...)...)
	})
	if err != nil {
		return nil, err
	}
	t.features = f
	return f, nil
}

// ReadFeatures makes the features of the ffmpeg that answers, which may be
// texts that another machine's has printed.
func ReadFeatures(ctx context.Context, asker Asker) (*Features, error) {
	f := &Features{ask: asker, options: make(map[string]map[string]bool)}
	for _, list := range []struct {
		flag  string
		into  *map[string]bool
		parse func(string) map[string]bool
	}{
		{"-encoders", &f.Encoders, parseTable},
		{"-decoders", &f.Decoders, parseTable},
		{"-filters", &f.Filters, parseTable},
		{"-hwaccels", &f.HWAccels, parseNames},
	} {
		answer, err := asker(ctx, list.flag)
		if err != nil {
			return nil, fmt.Errorf("ask ffmpeg for %s: %w", list.flag, err)
		}
		*list.into = list.parse(answer)
	}
	answer, err := asker(ctx, "-h", "full")
	if err != nil {
		return nil, fmt.Errorf("ask ffmpeg for its options: %w", err)
	}
	f.generic = parseGeneric(answer)
	return f, nil
}

// EncoderOptions is the names of the options that an encoder declares, its own
// and those of every encoder ("g", "maxrate", …), without the dash.
func (f *Features) EncoderOptions(ctx context.Context, encoder string) (map[string]bool, error) {
	own, err := f.help(ctx, "encoder="+encoder)
	if err != nil {
		return nil, err
	}
	all := make(map[string]bool, len(own)+len(f.generic))
	for name := range own {
		all[name] = true
	}
	for name := range f.generic {
		all[name] = true
	}
	return all, nil
}

// FilterOptions is the names of the options that a filter declares.
func (f *Features) FilterOptions(ctx context.Context, filter string) (map[string]bool, error) {
	return f.help(ctx, "filter="+filter)
}

func (f *Features) help(ctx context.Context, topic string) (map[string]bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if known := f.options[topic]; known != nil {
		return known, nil
	}
	answer, err := f.ask(ctx, "-h", topic)
	if err != nil {
		return nil, fmt.Errorf("ask ffmpeg for the options of %s: %w", topic, err)
	}
	options := parseOptions(answer)
	f.options[topic] = options
	return options, nil
}

// parseTable reads a table of -encoders, -decoders or -filters: rows of flags, a
// name and a text. Its legend has an "=" for the name.
func parseTable(answer string) map[string]bool {
	names := make(map[string]bool)
	for line := range strings.Lines(answer) {
		fields := strings.Fields(line)
		if len(fields) >= 3 && fields[1] != "=" && tableFlags.MatchString(fields[0]) {
			names[fields[1]] = true
		}
	}
	return names
}

var tableFlags = regexp.MustCompile(`^[A-Z.|]{2,6}$`)

// parseNames reads one name a line, under a title.
func parseNames(answer string) map[string]bool {
	names := make(map[string]bool)
	for line := range strings.Lines(answer) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasSuffix(line, ":") {
			names[line] = true
		}
	}
	return names
}

// option is a line of -h: "  -crf  <float>  E..V…" of an encoder, "   w  <string>
// ..FV…" of a filter, which has no dash.
var option = regexp.MustCompile(`^ {2,3}-?([A-Za-z0-9_:.-]+)\s+<[a-z0-9_ ]+>\s`)

func parseOptions(answer string) map[string]bool {
	names := make(map[string]bool)
	for line := range strings.Lines(answer) {
		if found := option.FindStringSubmatch(line); found != nil {
			names[found[1]] = true
		}
	}
	return names
}

// parseGeneric finds in "-h full" the options of every encoder, which stand
// under the title "AVCodecContext AVOptions:".
func parseGeneric(answer string) map[string]bool {
	names := make(map[string]bool)
	inside := false
	for line := range strings.Lines(answer) {
		if !strings.HasPrefix(line, " ") && strings.TrimSpace(line) != "" {
			inside = strings.HasPrefix(line, "AVCodecContext AVOptions")
		}
		if found := option.FindStringSubmatch(line); inside && found != nil {
			names[found[1]] = true
		}
	}
	return names
}
