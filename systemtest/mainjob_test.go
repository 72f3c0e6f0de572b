package systemtest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"millrace/job"
	"millrace/systemtest/rig"
)

// cli runs a command of the program to its end.
func (p *peer) cli(args ...string) (code int, out, complaints string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), rig.Patience)
	defer cancel()
	command := exec.CommandContext(ctx, rig.Binary(), args...)
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	err := command.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		p.t.Fatal(err)
	}
	return command.ProcessState.ExitCode(), stdout.String(), stderr.String()
}

// remote are the flags that name the peer.
func (p *peer) remote() []string {
	return []string{"--server", p.url(), "--key-file", p.keyFile(), "--org", "default"}
}

func TestTheMainJobRunsByTheCommandLinesOfTheContract(t *testing.T) {
	p := newPeer(t)
	p.start()
	source := p.put(rig.Numbered(t, 12), "clip.mp4")

	submit := append([]string{"submit"}, p.remote()...)
	submit = append(submit, "--input", source, "--output", p.output("out"), "--resolutions", "240p,360p", "--wait")
	code, out, progress := p.cli(submit...)
	if code != 0 {
		t.Fatalf("submit --wait ended with %d:\n%s%s", code, out, progress)
	}
	if !strings.Contains(progress, "Transcoding") || !strings.Contains(progress, "Completed") {
		t.Errorf("submit --wait shows no progress:\n%s", progress)
	}
	if !strings.Contains(out, p.output("out")+"video.m3u8") {
		t.Errorf("submit --wait doesn't say where the output is:\n%s", out)
	}
	rig.CheckLadder(t, filepath.Join(p.outputs, "out"), rig.NumberedLadder(12, "240p", "360p"))
	checkByFFprobe(t, filepath.Join(p.outputs, "out"))

	code, out, _ = p.cli(append(append([]string{"jobs"}, p.remote()...), "--json")...)
	var listed []map[string]any
	if err := json.Unmarshal([]byte(out), &listed); code != 0 || err != nil || len(listed) != 1 {
		t.Fatalf("jobs --json ended with %d: %v\n%s", code, err, out)
	}
	checkFields(t, p, listed[0])
	id := listed[0]["id"].(string)
	for _, command := range [][]string{{"job", id}, {"jobs"}, {"webhooks"}, {"job", id, "--tasks"}} {
		if code, out, complaints := p.cli(append(command, p.remote()...)...); code != 0 {
			t.Errorf("%v ended with %d:\n%s%s", command, code, out, complaints)
		}
	}
	if code, _, complaints := p.cli(append([]string{"retry", id}, p.remote()...)...); code != 2 || complaints == "" {
		t.Errorf("retry of a completed job ended with %d and says %q, want 2 and why", code, complaints)
	}
	if code, out, _ := p.cli(append([]string{"cancel", id}, p.remote()...)...); code != 0 || !strings.Contains(out, "already completed") {
		t.Errorf("cancel of a completed job ended with %d: %s", code, out)
	}
}

// checkFields compares a completed job with what the API's clients rely on.
func checkFields(t *testing.T, p *peer, got map[string]any) {
	t.Helper()
	for name, want := range map[string]any{
		"status": "Completed", "video_duration": 12.0, "error_message": nil, "enable_drm": false,
		"output_path": p.output("out"), "input_url": "file://" + filepath.Join(p.sources, "clip.mp4"),
		"progress": 100.0, "error": nil,
	} {
		if value, has := got[name]; !has || value != want {
			t.Errorf("%s is %v, want %v", name, value, want)
		}
	}
	if text(got["resolutions"]) != text([]string{"240p", "360p"}) || text(got["client_metadata"]) != text(struct{}{}) {
		t.Errorf("resolutions %v, client_metadata %v", got["resolutions"], got["client_metadata"])
	}
	if id, _ := got["id"].(string); !regexp.MustCompile(`^[1-9A-HJ-NP-Za-km-z]{11}$`).MatchString(id) {
		t.Errorf("the id is %q", id)
	}
	moment := regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}[+-]\d\d:\d\d$`)
	for _, name := range []string{"created", "start_time", "end_time"} {
		if value, _ := got[name].(string); !moment.MatchString(value) {
			t.Errorf("%s is %v", name, got[name])
		}
	}
	if outputs, _ := got["outputs"].([]any); len(outputs) != 2 {
		t.Errorf("outputs are %v, want HLS and DASH", got["outputs"])
	}
}

// checkByFFprobe opens the masters as any player would.
func checkByFFprobe(t *testing.T, dir string) {
	t.Helper()
	for _, name := range []string{"video.m3u8", "video.mpd"} {
		out := rig.RunTool(t, "ffprobe", "-v", "error", "-allowed_extensions", "ALL", "-show_entries", "stream=codec_type,width,height", "-of", "csv=p=0", filepath.Join(dir, name))
		for _, want := range []string{"video,426,240", "video,640,360", "audio"} {
			if !strings.Contains(string(out), want) {
				t.Errorf("ffprobe finds no %s in %s:\n%s", want, name, out)
			}
		}
	}
}

func TestExitCodesTellHowAJobEnded(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	p.start()
	broken := p.write("broken.mp4", "not a video at all")
	submit := func(args ...string) []string { return append(append([]string{"submit"}, p.remote()...), args...) }
	for _, test := range []struct {
		name string
		args []string
		want int
		says string
	}{
		{"a job that fails", submit("--input", broken, "--output", p.output("a"), "--resolutions", "240p", "--wait"), 1, "media_not_recognised"},
		{"a resolution that is none", submit("--input", broken, "--output", p.output("b"), "--resolutions", "999p"), 2, "999p"},
		{"a flag that is none", submit("--nonsense"), 2, "nonsense"},
		{"a job that isn't there", append([]string{"job", "1111111111z"}, p.remote()...), 2, "--org"},
		{"a peer that isn't there", []string{"jobs", "--server", "http://" + freeAddress(t), "--key-file", p.keyFile()}, 4, "serve"},
		{"a key that isn't there", []string{"jobs", "--server", p.url(), "--key-file", p.keyFile() + ".none"}, 2, "admin.key"},
	} {
		code, out, complaints := p.cli(test.args...)
		if code != test.want || !strings.Contains(complaints, test.says) {
			t.Errorf("%s: exit code %d, want %d, and %q in:\n%s%s", test.name, code, test.want, test.says, out, complaints)
		}
	}
}

func TestProgressGrowsWhileAJobRuns(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	p.start()
	created := p.submit(request(p, p.put(rig.Numbered(t, 20), "clip.mp4"), "240p", "360p"))
	if created.Status != job.Queued || created.VideoDuration != nil || created.StartTime != nil || created.EndTime != nil {
		t.Errorf("a new job is %s", text(created))
	}
	var percents []float64
	var last job.View
	if err := p.api.Watch(t.Context(), created.ID, func(now job.View) {
		percents = append(percents, now.Progress)
		last = now
	}); err != nil {
		t.Fatal(err)
	}
	if last.Status != job.Completed || last.Progress != 100 {
		t.Fatalf("the job ended as %s", text(last))
	}
	between := 0
	for i, percent := range percents {
		if percent > 0 && percent < 100 {
			between++
		}
		if i > 0 && percent < percents[i-1] {
			t.Errorf("progress went back: %v", percents)
			break
		}
	}
	if between < 2 {
		t.Errorf("no progress was seen between 0 and 100: %v", percents)
	}
	if last.VideoDuration == nil || *last.VideoDuration != 20 {
		t.Errorf("video_duration is %v, want 20", last.VideoDuration)
	}
}

func TestFirstStartMakesAnAdminKeyForItsOwnerOnly(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	p.start()
	info, err := os.Stat(p.keyFile())
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("admin.key: %v, %v; want mode 0600", info.Mode(), err)
	}
	key := p.key()
	p.restart()
	if p.key() != key {
		t.Error("the admin key is another after a restart")
	}
	if strings.Contains(p.log(), key) {
		t.Error("the admin key stands in the log")
	}
}
