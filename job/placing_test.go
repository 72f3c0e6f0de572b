package job

import "testing"

func TestLabelsAreWordsOrKeysWithValues(t *testing.T) {
	for text, valid := range map[string]bool{
		"ssd": true, "site=paris": true, "rack-4.b": true, "": false, "Site=Paris": false, "a b": false, "a,b": false,
		"=x": false, "x=": false, "nvenc": false, "cpu": false, "a=b=c": false,
		"x234567890123456789012345678901234": false,
	} {
		if ValidLabel(text) != valid {
			t.Errorf("%q is valid: %v", text, !valid)
		}
	}
}

func TestEncodersAreOfTheirKind(t *testing.T) {
	for _, c := range []struct {
		encoder, kind string
		want          bool
	}{
		{"h264_nvenc", "nvenc", true}, {"h264_nvenc", "", true}, {"h264_nvenc", "cpu", false}, {"libx264", "cpu", true},
		{"libx264", "nvenc", false}, {"hevc_qsv", "qsv", true}, {"h264_vaapi", "qsv", false},
	} {
		if OfKind(c.encoder, c.kind) != c.want {
			t.Errorf("%s is of kind %q: %v", c.encoder, c.kind, !c.want)
		}
	}
}
