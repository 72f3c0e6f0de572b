package hwaccel

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"millrace/job"
	"millrace/media/ffmpeg"
)

// recordedBuild answers like a real build of ffmpeg whose answers were written
// down (see testdata/builds/README.md).
type recordedBuild struct {
	answers map[string]string // by the arguments
}

func readBuild(t *testing.T, name string) recordedBuild {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	b := recordedBuild{answers: make(map[string]string)}
	for section := range strings.SplitSeq(string(text), "### ") {
		question, answer, _ := strings.Cut(section, "\n")
		b.answers[question] = answer
	}
	return b
}

func (b recordedBuild) ask(_ context.Context, args ...string) (string, error) {
	answer, recorded := b.answers[strings.Join(args, " ")]
	if !recorded {
		return "", fmt.Errorf("%q was not recorded", args)
	}
	return answer, nil
}

// build is an ffmpeg that the tables are checked against.
type build struct {
	name     string
	features *ffmpeg.Features
	// values are the names that an option of an encoder or filter takes, nil
	// where that isn't known.
	values func(topic string) map[string][]string
}

func builds(t *testing.T) []build {
	t.Helper()
	installed, err := tools(t).Features(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	list := []build{{name: "installed", features: installed}}
	files, err := filepath.Glob("testdata/builds/*.txt")
	if err != nil || len(files) < 4 {
		t.Fatalf("%d recorded builds, %v", len(files), err)
	}
	for _, file := range files {
		recorded := readBuild(t, file)
		features, err := ffmpeg.ReadFeatures(t.Context(), recorded.ask)
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		list = append(list, build{
			name: strings.TrimSuffix(filepath.Base(file), ".txt"), features: features,
			values: func(topic string) map[string][]string { return namedValues(recorded.answers["-h "+topic]) },
		})
	}
	return list
}

var (
	optionLine = regexp.MustCompile(`^ {2,3}-?([A-Za-z0-9_-]+)\s+<[a-z_0-9]+>`)
	valueLine  = regexp.MustCompile(`^ {5}([A-Za-z0-9_]+)\s+-?\d+\s`)
)

// namedValues reads which names an option's value may have.
func namedValues(help string) map[string][]string {
	values := make(map[string][]string)
	option := ""
	for line := range strings.Lines(help) {
		if found := optionLine.FindStringSubmatch(line); found != nil {
			option = found[1]
		} else if found := valueLine.FindStringSubmatch(line); found != nil {
			values[option] = append(values[option], found[1])
		}
	}
	return values
}

var numeric = regexp.MustCompile(`^[+-]?[0-9.]+$`)

// every is each way in which a row's arguments can come out.
func every(row Row, declared func(string) bool) [][]string {
	var list [][]string
	for _, quality := range qualities {
		for _, tenBit := range []bool{false, true} {
			if tenBit && row.PixelFormat10 == "" {
				continue
			}
			for _, capped := range []job.Rendition{{MaxBitsPerSecond: 1e6, BufferBits: 2e6}, {}} {
				s := Settings{Quality: quality, SegmentFrames: 96, Threads: 1, TenBit: tenBit, Declared: declared, Rendition: capped, OnDevice: row.API != NoAPI}
				list = append(list, row.Args(s))
				for _, feature := range row.Features {
					s.Without = append(s.Without, feature.Name)
					list = append(list, row.Args(s))
				}
			}
		}
	}
	return list
}

func TestEachOptionWePassIsOneThatFFmpegDeclares(t *testing.T) {
	for _, b := range builds(t) {
		for _, row := range Rows() {
			t.Run(b.name+" "+row.Encoder, func(t *testing.T) {
				if !b.features.Encoders[row.Encoder] {
					t.Skipf("this build has no %s", row.Encoder)
				}
				options, err := b.features.EncoderOptions(t.Context(), row.Encoder)
				if err != nil {
					t.Fatal(err)
				}
				var values map[string][]string
				if b.values != nil {
					values = b.values("encoder=" + row.Encoder)
				}
				declared := func(name string) bool { return options[name] || programOptions[name] }
				for _, args := range every(row, declared) {
					checkArgs(t, row, args, declared, values)
				}
			})
		}
	}
}

func checkArgs(t *testing.T, row Row, args []string, declared func(string) bool, values map[string][]string) {
	t.Helper()
	if len(args)%2 != 0 {
		t.Fatalf("an option without a value in %q", args)
	}
	seen := make(map[string]bool)
	for pair := range slices.Chunk(args, 2) {
		name, value := optionName(pair[0]), pair[1]
		if !declared(name) {
			t.Errorf("%s declares no option %s", row.Encoder, pair[0])
		}
		if seen[name] {
			t.Errorf("%s is passed twice in %q", pair[0], args)
		}
		seen[name] = true
		// Software encoders take their presets as they come.
		if known := values[name]; len(known) > 0 && row.Kind != CPU && !numeric.MatchString(value) && !slices.Contains(known, value) {
			t.Errorf("%s takes no value %q for %s, only %q", row.Encoder, value, pair[0], known)
		}
	}
}

func TestEachDeviceFilterHasTheOptionsWePass(t *testing.T) {
	for _, b := range builds(t) {
		for api, surface := range surfaces {
			for _, name := range []string{"hwupload", "hwdownload"} {
				if !b.features.Filters[name] {
					t.Errorf("%s has no filter %s", b.name, name)
				}
			}
			deinterlacers := 0
			for _, filter := range surface.filters() {
				if !b.features.Filters[filter.Name] {
					if filter == surface.Scaler {
						t.Errorf("%s has no scaler for %s", b.name, api)
					}
					continue
				}
				text := filter.String()
				if filter == surface.Scaler {
					text = surface.Scale(640, 360, "nv12")
				} else {
					deinterlacers++
				}
				checkFilter(t, b, text)
			}
			if deinterlacers == 0 {
				t.Errorf("%s has no deinterlacer for %s", b.name, api)
			}
		}
	}
}

func checkFilter(t *testing.T, b build, text string) {
	t.Helper()
	name, given, _ := strings.Cut(text, "=")
	options, err := b.features.FilterOptions(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	var values map[string][]string
	if b.values != nil {
		values = b.values("filter=" + name)
	}
	for pair := range strings.SplitSeq(given, ":") {
		option, value, _ := strings.Cut(pair, "=")
		if !options[option] {
			t.Errorf("%s: %s declares no option %s", b.name, name, option)
		}
		if known := values[option]; len(known) > 0 && !numeric.MatchString(value) && !slices.Contains(known, value) {
			t.Errorf("%s: %s takes no %s=%s, only %q", b.name, name, option, value, known)
		}
	}
}

func TestEachDeviceDecoderIsOneThatFFmpegDeclares(t *testing.T) {
	for _, b := range builds(t) {
		for _, d := range Decoders() {
			if d.Name != "" && !b.features.Decoders[d.Name] {
				t.Errorf("%s has no decoder %s", b.name, d.Name)
			}
			if d.API != NoAPI && !b.features.HWAccels[string(d.API)] {
				t.Errorf("%s has no -hwaccel %s", b.name, d.API)
			}
			if d.Name != "" && !slices.Contains(ffmpeg.Decoders, d.Name) {
				t.Errorf("the allow-list refuses %s", d.Name)
			}
		}
	}
}

func TestOptionThatABuildLacksIsReplacedOrLeftOut(t *testing.T) {
	row, _ := Encoder("h264_nvenc")
	lacks := func(names ...string) string {
		return strings.Join(row.Args(Settings{SegmentFrames: 96, Declared: func(name string) bool { return !slices.Contains(names, name) }}), " ")
	}
	if got := lacks("spatial-aq"); !strings.Contains(got, "-spatial_aq 1") || strings.Contains(got, "-spatial-aq") {
		t.Errorf("not replaced: %s", got)
	}
	if got := lacks("rc-lookahead"); strings.Contains(got, "lookahead") {
		t.Errorf("not left out: %s", got)
	}
	if got := lacks("cq"); !strings.Contains(got, "-cq 27") {
		t.Errorf("what can't be done without was left out: %s", got)
	}
}

func TestFeatureThatADeviceRefusesIsLeftOut(t *testing.T) {
	row, _ := Encoder("hevc_nvenc")
	for log, want := range map[string]string{
		"[hevc_nvenc @ 0x1] [error] B frames as references are not supported": "-b_ref_mode disabled",
		"[hevc_nvenc @ 0x1] [error] Max B-frames 3 exceed 0":                  "-bf 0",
		"[hevc_nvenc @ 0x1] [error] Temporal AQ not supported":                "-spatial-aq 1 -rc-lookahead 20",
		"[hevc_nvenc @ 0x1] [error] RC lookahead not supported":               "-temporal-aq 1 -profile",
	} {
		refused := row.refused(log)
		if len(refused) == 0 {
			t.Errorf("%q refuses nothing", log)
		}
		args := strings.Join(row.Args(Settings{SegmentFrames: 96, Without: refused}), " ")
		if !strings.Contains(args, want) {
			t.Errorf("%q: no %q in %s", log, want, args)
		}
	}
	if refused := row.refused("[hevc_nvenc @ 0x1] [error] OpenEncodeSessionEx failed: out of memory (10)"); len(refused) != 0 {
		t.Errorf("refuses %v", refused)
	}
}
