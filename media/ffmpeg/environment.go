package ffmpeg

import (
	"os"
	"slices"
	"strings"
)

// inherited are the variables that a driver or an unusual installation needs;
// all others (proxies, credentials, ffmpeg's own) stay behind.
var inherited = []string{
	"LD_LIBRARY_PATH",
	"CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "CUDA_CACHE_PATH", "NVIDIA_VISIBLE_DEVICES", "NVIDIA_DRIVER_CAPABILITIES",
	"LIBVA_DRIVER_NAME", "LIBVA_DRIVERS_PATH", "ONEVPL_SEARCH_PATH", "ONEVPL_PRIORITY_PATH",
	"OCL_ICD_VENDORS",
}

// environment is everything that ffmpeg sees of ours, and own ("NAME=value"),
// which replaces what is inherited under the same name. dir is its scratch folder.
func environment(dir string, own []string) []string {
	if dir == "" {
		dir = "/nonexistent"
	}
	env := []string{
		"PATH=/usr/local/bin:/usr/bin:/bin",
		"HOME=" + dir, // caches of fontconfig and of drivers go here, not to the operator's home
		"TMPDIR=" + dir,
		"LC_ALL=C", // messages are matched, see classify.go
		"TZ=UTC",
		"AV_LOG_FORCE_NOCOLOR=1",
		"SVT_LOG=1", // SVT-AV1 prints a page about itself otherwise
	}
	for _, name := range inherited {
		replaced := slices.ContainsFunc(own, func(e string) bool { return strings.HasPrefix(e, name+"=") })
		if value, set := os.LookupEnv(name); set && !replaced {
			env = append(env, name+"="+value)
		}
	}
	return append(env, own...)
}
