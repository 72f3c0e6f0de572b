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
	if key, usual := plainOutputKey(output.URL); usual {
		return key
	}
	return parsedOutputKey(output.URL)
}

func parsedOutputKey(address string) string {
	parsed, err := url.Parse(address)
	if err != nil {
		return address // never written by the API; compared as it is
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

// plainOutputKey is the key of an address that only a slash at its end keeps from
// being its own key, as most are written; false for any other. It takes neither
// memory nor time, and every change of an unsettled job needs a key.
func plainOutputKey(address string) (key string, usual bool) {
	scheme := strings.Index(address, "://")
	if scheme < 1 {
		return "", false
	}
	for i, c := range []byte(address[:scheme]) {
		if (c < 'a' || c > 'z') && (i == 0 || c < '0' || c > '9') {
			return "", false
		}
	}
	key = strings.TrimSuffix(address, "/")
	segment, slashes := 0, 0
	for i := scheme + len("://"); i < len(key); i++ {
		switch c := key[i]; {
		case c == '/' && segment == 0 && slashes > 0: // a doubled slash
			return "", false
		case c == '/':
			segment = 0
			slashes++
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '-', slashes > 0 && (c >= 'A' && c <= 'Z' || c == '_'):
			segment++
		case c == '.' && segment > 0: // so no segment is "." or ".."
			segment++
		default:
			return "", false
		}
	}
	return key, slashes > 0 && segment > 0
}
