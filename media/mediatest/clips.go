package mediatest

import (
	"os"
	"path/filepath"
	"testing"
)

// installed are the real clips by the name that they have here, and where their
// packages put them. What each of them is: see scripts/fetch-media.sh.
var installed = map[string]string{
	"phone.mp4":    "/usr/share/forensics-samples/original-files/movie2/movie-hello.mp4",
	"cockatoo.mp4": "/usr/lib/python3/dist-packages/imageio/resources/images/cockatoo.mp4",
	"street.avi":   "/usr/share/doc/opencv-doc/examples/data/vtest.avi",
	"trailer.avi":  "/usr/share/doc/opencv-doc/examples/data/Megamind.avi",
	"intro.mpg":    "/usr/share/games/fillets-ng/images/menu/intro.mpg",
	"bunny.mp4":    "", // of no Debian package
}

// Clip is the path of a real clip: phone.mp4, cockatoo.mp4, street.avi,
// trailer.avi, intro.mpg or bunny.mp4. It is looked for in $MILLRACE_MEDIA,
// which replaces the other places, then where its package installs it, then in
// the user's cache folder. When it is nowhere the test is skipped.
func Clip(t testing.TB, name string) string {
	t.Helper()
	packaged, known := installed[name]
	if !known {
		t.Fatalf("mediatest has no clip %q", name)
	}
	places := []string{packaged, filepath.Join(cacheDir(), name)}
	if dir := os.Getenv("MILLRACE_MEDIA"); dir != "" {
		places = []string{filepath.Join(dir, name)}
	}
	for _, path := range places {
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Size() > 0 {
			return path
		}
	}
	t.Skipf("!!! SKIPPED: the clip %s is in none of %q: run scripts/fetch-media.sh, or name a folder that has it with MILLRACE_MEDIA", name, places)
	return ""
}

// cacheDir is where scripts/fetch-media.sh keeps what it fetched.
func cacheDir() string {
	cache := os.Getenv("XDG_CACHE_HOME")
	if cache == "" {
		cache = filepath.Join(os.Getenv("HOME"), ".cache")
	}
	return filepath.Join(cache, "millrace", "media")
}
