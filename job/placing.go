package job

import (
	"regexp"
	"slices"
	"strings"
)

// Preference is what a device is chosen by where several can do a task.
type Preference string

// The preferences.
const (
	PreferTime   Preference = "time"   // what ends soonest
	PreferEnergy Preference = "energy" // what draws least for it
)

// MaxRequired is how many labels and kinds of encoder a job may require.
const MaxRequired = 8

// EncoderKinds are the requirements that mean an encoder, not a node's label.
var EncoderKinds = []string{"nvenc", "qsv", "vaapi", "cpu"}

// IsEncoderKind says whether what a job requires is a kind of encoder rather than
// a node's label.
func IsEncoderKind(required string) bool { return slices.Contains(EncoderKinds, required) }

// labels are lower-case words, or a key and a value.
var labels = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,31}(=[a-z0-9][a-z0-9._-]{0,31})?$`)

// ValidLabel says whether text can be a node's label: "ssd" or "site=paris",
// and no kind of encoder.
func ValidLabel(text string) bool {
	return labels.MatchString(text) && !IsEncoderKind(text)
}

// RequiredKind is the kind of encoder that a job requires, "" if it is any; the
// request was checked to name one at most.
func (s Spec) RequiredKind() string {
	for _, required := range s.Requires {
		if IsEncoderKind(required) {
			return required
		}
	}
	return ""
}

// RequiredLabels are the labels that a job requires of its nodes.
func (s Spec) RequiredLabels() []string {
	return slices.DeleteFunc(slices.Clone(s.Requires), IsEncoderKind)
}

// Placed says whether the client said anything of where or by when the job is to be
// done.
func (s Spec) Placed() bool { return len(s.Requires) > 0 || s.Prefer != "" || !s.Deadline.IsZero() }

// OfKind says whether an encoder ("h264_nvenc", "libx264") is of a kind; every
// one is of kind "".
func OfKind(encoder, kind string) bool {
	if kind == "cpu" {
		return strings.HasPrefix(encoder, "lib")
	}
	return kind == "" || strings.HasSuffix(encoder, "_"+kind)
}
