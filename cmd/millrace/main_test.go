package main

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"millrace/media/ffmpeg"
)

var update = flag.Bool("update", false, "write golden files and generated pages anew")

func TestMain(m *testing.M) {
	ffmpeg.MaybeRunSandbox() // probe runs ffmpeg
	// What the developer's shell has set must not change what is tested.
	for _, entry := range os.Environ() {
		if name, _, _ := strings.Cut(entry, "="); strings.HasPrefix(name, "MILLRACE_") {
			_ = os.Unsetenv(name)
		}
	}
	os.Exit(m.Run())
}

// said is what a run of the program wrote.
type said struct {
	code     int
	out, err string
}

// millrace runs the program with no terminal.
func millrace(t *testing.T, args ...string) said {
	t.Helper()
	var out, problems bytes.Buffer
	code := run(t.Context(), args, streams{out: &out, err: &problems, width: func() int { return 0 }})
	return said{code: code, out: out.String(), err: problems.String()}
}

// golden compares text with a file, or writes the file with -update.
func golden(t *testing.T, path, text string) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if text != string(want) {
		t.Errorf("%s is out of date (go test -update writes it anew); now it would be\n%s", path, text)
	}
}

func TestHelp(t *testing.T) {
	t.Setenv("COLUMNS", "100")
	for name, args := range map[string][]string{
		"help.txt": {"--help"}, "serve.txt": {"serve", "--help"}, "submit.txt": {"submit", "--help"}, "jobs.txt": {"jobs", "--help"}, "nodes.txt": {"nodes", "--help"}, "orgs.txt": {"orgs", "limits", "--help"}, "probe.txt": {"probe", "--help"},
		"backup.txt": {"backup", "--help"}, "restore.txt": {"restore", "--help"},
	} {
		t.Run(name, func(t *testing.T) {
			got := millrace(t, args...)
			if got.code != exitDone || got.err != "" {
				t.Fatalf("exit code %d: %s", got.code, got.err)
			}
			golden(t, filepath.Join("testdata", name), got.out)
		})
	}
}

func TestWrongUsageSaysWhatIsWrongAndEndsWithTwo(t *testing.T) {
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte("key\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	submit := []string{"submit", "--key-file", key, "--resolutions", "240p"}
	for _, test := range []struct {
		name string
		args []string
		want string
	}{
		{"no command", nil, "expected one of"},
		{"unknown command", []string{"sbumit"}, "sbumit"},
		{"unknown flag", []string{"submit", "--inptu", "x"}, "did you mean \"--input\"?"},
		{"missing flags", []string{"submit"}, "missing flags: --input=URL, --output=URL"},
		{"no key", []string{"jobs"}, "--key-file"},
		{"no such key file", []string{"jobs", "--key-file", key + "x"}, "there is no key file " + key + "x"},
		{"bad server", []string{"jobs", "--key-file", key, "--server", "127.0.0.1:8080"}, "--server"},
		{"metadata that isn't an object", append(submit, "--input", "a", "--output", "b", "--metadata", "[1]"), "--metadata must be a JSON object"},
		{"negative slots", []string{"serve", "--slots", "-1"}, "--slots is -1"},
		{"half of the S3 credentials", []string{"serve", "--s3-access-key", "a"}, "needed together"},
		{"bad network", []string{"serve", "--allow-source-network", "10.0.0.0"}, "10.0.0.0"},
		{"bad log level", []string{"serve", "--log-level", "loud"}, "debug"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := millrace(t, test.args...)
			if got.code != exitUsage || !strings.Contains(got.err, test.want) || got.out != "" {
				t.Errorf("exit code %d, want %d and %q in\n%s%s", got.code, exitUsage, test.want, got.err, got.out)
			}
		})
	}
}

func TestUnreachableServerEndsWithFourAndAHint(t *testing.T) {
	t.Setenv("MILLRACE_KEY", "key")
	got := millrace(t, "jobs", "--server", "http://127.0.0.1:1")
	if got.code != exitUnreachable || !strings.Contains(got.err, "--server") {
		t.Errorf("exit code %d: %s", got.code, got.err)
	}
}

func TestPathsBecomeFileURLs(t *testing.T) {
	folder := t.TempDir()
	t.Chdir(folder)
	for text, want := range map[string]string{
		"https://example.com/a.mp4": "https://example.com/a.mp4",
		"s3://bucket/key":           "s3://bucket/key",
		"/videos/a b.mp4":           "file:///videos/a%20b.mp4",
		"a.mp4":                     "file://" + folder + "/a.mp4",
		"out/":                      "file://" + folder + "/out/",
	} {
		if got, err := location(text); err != nil || got != want {
			t.Errorf("%s: got %s, %v, want %s", text, got, err, want)
		}
	}
}

func TestTextFromOthersCannotSteerTheTerminal(t *testing.T) {
	if got := printable("a\x1b[2Jb\rc\nd"); got != "a\uFFFD[2Jb\uFFFDc\nd" {
		t.Errorf("got %q", got)
	}
}
