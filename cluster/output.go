package cluster

import (
	"net/url"
	"path"
	"strings"

	"millrace/job"
)

// outputKey is the same for two output paths that name the same place, as far
// as their text tells: letter case of scheme and host, doubled or trailing
// slashes and "." don't matter, nor does how one logs in; which endpoint a
// bucket is at does.
func outputKey(output job.Location) string {
	parsed, err := url.Parse(output.URL)
	if err != nil {
		return output.URL // never written by the API; compared as it is
	}
	key := strings.ToLower(parsed.Scheme) + "://" + strings.ToLower(parsed.Host) + path.Clean("/"+parsed.Path)
	if parsed.RawQuery == "" {
		return key // the usual one
	}
	if endpoint := parsed.Query().Get("endpoint"); endpoint != "" {
		key += "?endpoint=" + strings.ToLower(strings.TrimRight(endpoint, "/"))
	}
	return key
}
