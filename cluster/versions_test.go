package cluster

import (
	"testing"

	"millrace/job"
)

func TestCommandsNeedTheVersionThatTheirUseCameWith(t *testing.T) {
	for name, test := range map[string]struct {
		command Command
		want    int
	}{
		"another encoder":                      {ChangeEncoder{Change: job.EncoderChange{From: "h264_nvenc", To: "libx264"}}, 1},
		"the same encoder, with other headers": {ChangeEncoder{Change: job.EncoderChange{From: "libx264", To: "libx264"}}, 3},
	} {
		if got := versionOf(test.command); got != test.want {
			t.Errorf("%s needs version %d, want %d", name, got, test.want)
		}
	}
}
