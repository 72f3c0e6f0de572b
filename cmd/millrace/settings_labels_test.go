package main

import (
	"slices"
	"strings"
	"testing"
)

func TestLabelsAndTaintsComeFromEachPlaceAndAreChecked(t *testing.T) {
	got, err := settings(t, "--label", "ssd,site=paris", "--label", "gpu", "--taint", "film")
	if err != nil || !slices.Equal(got.Label, []string{"ssd", "site=paris", "gpu"}) || !slices.Equal(got.Taint, []string{"film"}) {
		t.Errorf("flags: labels %q, taints %q, %v", got.Label, got.Taint, err)
	}
	got, err = settings(t, "--config", writeFile(t, "label: [ssd, site=paris]\ntaint: film\n"))
	if err != nil || !slices.Equal(got.Label, []string{"ssd", "site=paris"}) || !slices.Equal(got.Taint, []string{"film"}) {
		t.Errorf("file: labels %q, taints %q, %v", got.Label, got.Taint, err)
	}
	for name, test := range map[string]struct {
		args []string
		says string
	}{
		"a space":          {[]string{"--label", "two words"}, `--label is "two words"`},
		"a kind as label":  {[]string{"--label", "nvenc"}, `--label is "nvenc"`},
		"a kind as taint":  {[]string{"--taint", "cpu"}, `--taint is "cpu"`},
		"too many to meet": {[]string{"--taint", "a,b,c,d,e,f,g,h,i"}, "a job can require only 8"},
	} {
		if _, err := settings(t, test.args...); err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: the error is %v, want %q", name, err, test.says)
		}
	}
}
