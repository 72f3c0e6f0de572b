package main

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// settings are those of a serve command line.
func settings(t *testing.T, args ...string) (Settings, error) {
	t.Helper()
	var grammar commands
	parser, err := newParser(&grammar, streams{out: &bytes.Buffer{}, err: &bytes.Buffer{}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = parser.Parse(append([]string{"serve"}, args...))
	return grammar.Serve.Settings, err
}

func writeFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "millrace.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFlagCountsBeforeVariableBeforeFileBeforeDefault(t *testing.T) {
	file := writeFile(t, "slots: 3\nstall-timeout: 3m\ndata: file\n")
	t.Setenv("MILLRACE_SLOTS", "2")
	t.Setenv("MILLRACE_STALL_TIMEOUT", "2m")
	got, err := settings(t, "--slots", "1", "--config", file)
	if err != nil {
		t.Fatal(err)
	}
	if got.Slots != 1 {
		t.Errorf("slots is %d, want the flag's 1", got.Slots)
	}
	if got.StallTimeout != 2*time.Minute {
		t.Errorf("stall-timeout is %s, want the variable's 2m", got.StallTimeout)
	}
	if got.Data != "file" {
		t.Errorf("data is %q, want the file's", got.Data)
	}
	if got.KeepDays != 90 {
		t.Errorf("keep-days is %d, want the default", got.KeepDays)
	}
}

func TestEveryKindOfSettingCanComeFromEachPlace(t *testing.T) {
	yes, no := true, false
	want := Settings{
		SourceRoot: []string{"/a", "/b"}, AllowSourceNetwork: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")},
		Slots: 4, CacheBytes: 2 << 30, DrainTimeout: 90 * time.Second, S3PathStyle: &no, LogLevel: "debug",
	}
	check := func(t *testing.T, got Settings, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got.SourceRoot, want.SourceRoot) || !slices.Equal(got.AllowSourceNetwork, want.AllowSourceNetwork) ||
			got.Slots != want.Slots || got.CacheBytes != want.CacheBytes || got.DrainTimeout != want.DrainTimeout ||
			got.S3PathStyle == nil || *got.S3PathStyle || got.LogLevel != want.LogLevel {
			t.Errorf("got %+v", got)
		}
	}
	t.Run("flags", func(t *testing.T) {
		got, err := settings(t, "--source-root", "/a", "--source-root=/b", "--allow-source-network", "10.0.0.0/8,fd00::/8",
			"--slots=4", "--cache-bytes", "2GiB", "--drain-timeout", "90s", "--no-s3-path-style", "--log-level", "debug")
		check(t, got, err)
	})
	t.Run("variables", func(t *testing.T) {
		for name, value := range map[string]string{
			"SOURCE_ROOT": "/a,/b", "ALLOW_SOURCE_NETWORK": "10.0.0.0/8,fd00::/8", "SLOTS": "4", "CACHE_BYTES": "2GiB",
			"DRAIN_TIMEOUT": "90s", "S3_PATH_STYLE": "false", "LOG_LEVEL": "debug",
		} {
			t.Setenv("MILLRACE_"+name, value)
		}
		got, err := settings(t)
		check(t, got, err)
	})
	t.Run("file", func(t *testing.T) {
		t.Setenv("MILLRACE_CONFIG", writeFile(t, "# a comment\nsource-root: [/a, /b]\nallow-source-network:\n  - 10.0.0.0/8\n  - fd00::/8\n"+
			"slots: 4\ncache-bytes: 2GiB\ndrain-timeout: 90s\ns3-path-style: false\nlog-level: \"debug\"\ns3-region:\n"))
		got, err := settings(t)
		check(t, got, err)
	})
	t.Run("absent", func(t *testing.T) {
		got, err := settings(t, "--s3-path-style")
		if err != nil || got.S3PathStyle == nil || *got.S3PathStyle != yes {
			t.Errorf("got %v, %v", got.S3PathStyle, err)
		}
		if got, err = settings(t); err != nil || got.S3PathStyle != nil || got.SourceRoot != nil {
			t.Errorf("got %+v, %v", got, err)
		}
	})
}

func TestMistakesInTheFileAreNamedWithTheirLine(t *testing.T) {
	for _, test := range []struct{ name, text, want string }{
		{"unknown key", "data: x\nsorce-root: [a]\n", `line 2: there is no setting "sorce-root"`},
		{"wrong type", "data: x\n\nslots: many\n", "line 3: --slots"},
		{"wrong size", "cache-bytes: lots\n", `line 1: --cache-bytes: "lots" is not a number of bytes`},
		{"wrong network", "allow-source-network: [10.0.0.0]\n", "line 1: --allow-source-network"},
		{"nested", "data: {a: b}\n", "line 1: data: it must be a single value"},
		{"nested in a list", "source-root: [[a]]\n", "line 1: source-root: each item"},
		{"twice", "slots: 1\nslots: 2\n", "slots"},
		{"a list", "- data\n", "it must be a list of lines like"},
		{"not YAML", "data: [x\n", "is not YAML"},
		{"the file itself", "config: other.yaml\n", `there is no setting "config"`},
		{"out of range", "slots: -1\n", "--slots is -1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := settings(t, "--config", writeFile(t, test.text))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got the error %v, want %q in it", err, test.want)
			}
		})
	}
	if _, err := settings(t, "--config", filepath.Join(t.TempDir(), "none")); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("a missing file: %v", err)
	}
	if _, err := settings(t, "--config", writeFile(t, "# nothing\n")); err != nil {
		t.Errorf("a file with a comment only: %v", err)
	}
}

func TestByteSizes(t *testing.T) {
	for text, want := range map[string]ByteSize{
		"0": 0, "1048576": 1 << 20, "8GiB": 8 << 30, "8 gib": 8 << 30, "500MB": 500e6, "1.5KiB": 1536, "1TiB": 1 << 40, "7B": 7,
	} {
		var got ByteSize
		if err := got.UnmarshalText([]byte(text)); err != nil || got != want {
			t.Errorf("%s: got %d, %v, want %d", text, got, err, want)
		}
		var again ByteSize
		if err := again.UnmarshalText([]byte(got.String())); err != nil || again != got {
			t.Errorf("%s is written as %s, which is read as %d, %v", text, got, again, err)
		}
	}
	for _, text := range []string{"", "GiB", "-1", "lots", "NaN", "99999999TiB", "1e400"} {
		if err := new(ByteSize).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q was read as a number of bytes", text)
		}
	}
}

func TestSettingsPageIsFresh(t *testing.T) {
	golden(t, filepath.Join("..", "..", "docs", "settings.md"), settingsPage(t))
}

// settingsPage is docs/settings.md.
func settingsPage(t *testing.T) string {
	t.Helper()
	var grammar commands
	parser, err := newParser(&grammar, streams{out: &bytes.Buffer{}, err: &bytes.Buffer{}})
	if err != nil {
		t.Fatal(err)
	}
	var page strings.Builder
	page.WriteString(`# Settings

<!-- Made from the Settings struct of cmd/millrace by "make generate". -->

Each setting of a peer is a flag of ` + "`millrace serve`" + `, an environment variable and a key of the YAML file that ` + "`--config`" + ` (or ` + "`MILLRACE_CONFIG`" + `) names. A flag counts before a variable, a variable before the file, the file before the default. A key that the file can't have is refused with its line.

` + "```yaml" + `
# millrace.yaml: the keys are the flags' names
data: /var/lib/millrace
http: 10.0.0.5:8080
source-root: [/srv/uploads]
output-root: [/srv/ladders]
cache-bytes: 64GiB
` + "```" + `

Lists are written as above in the file, separated by commas in a variable, and by repeating a flag. Sizes are written like ` + "`8GiB` or `500MB`" + `, times like ` + "`90s` or `1h30m`" + `.

With the default addresses nothing outside the machine can reach the peer; set ` + "`http`" + ` to serve others. The API speaks plain HTTP.
`)
	for _, command := range parser.Model.Children {
		if command.Target.Type() != reflect.TypeFor[serveCommand]() {
			continue
		}
		for _, group := range settingsGroups {
			heading := "\n## " + group.Title + "\n\n| setting | variable | default | |\n| --- | --- | --- | --- |\n"
			for _, flag := range command.Flags {
				if flag.Group == nil || flag.Group.Key != group.Key {
					continue
				}
				page.WriteString(heading)
				heading = ""
				shown := ""
				if flag.Default != "" {
					shown = "`" + flag.Default + "`"
				}
				fmt.Fprintf(&page, "| `--%s` | `%s` | %s | %s |\n", flag.Name, flag.Envs[0], shown, flag.Help)
			}
		}
	}
	return page.String()
}
