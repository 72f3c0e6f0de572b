package ffmpeg

import "testing"

func TestFeaturesAreWhatTheBinaryDeclares(t *testing.T) {
	f, err := tools(t).Features(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !f.Encoders["libx264"] || !f.Encoders["aac"] || f.Encoders["nonesuch"] || f.Encoders["="] {
		t.Errorf("%d encoders", len(f.Encoders))
	}
	if !f.Decoders["h264"] || !f.Filters["scale"] || !f.Filters["trim"] || !f.Filters["split"] {
		t.Errorf("%d decoders, %d filters", len(f.Decoders), len(f.Filters))
	}
	options, err := f.EncoderOptions(t.Context(), "libx264")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"preset", "crf", "forced-idr", "sc_threshold", "g", "bf", "maxrate", "colorspace"} {
		if !options[name] {
			t.Errorf("libx264 has no option %s among %d", name, len(options))
		}
	}
	if options["cq"] {
		t.Error("libx264 has an option of another encoder")
	}
	if options, err = f.FilterOptions(t.Context(), "scale"); err != nil || !options["w"] || !options["flags"] {
		t.Errorf("scale has %v, %v", options, err)
	}
}

func TestBuildNamesTheBuild(t *testing.T) {
	again, err := Find(t.Context(), "", "")
	if err != nil {
		t.Fatal(err)
	}
	if again.Build != tools(t).Build || len(again.Build) != 16 || again.Version == "" || again.Configuration == "" {
		t.Errorf("got %+v", again.Build)
	}
}
