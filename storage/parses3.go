package storage

import (
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// storeDomains are the domains whose names are S3 endpoints, never buckets,
// though their first label isn't "s3".
var storeDomains = []string{
	"amazonaws.com", "amazonaws.com.cn", "wasabisys.com", "digitaloceanspaces.com",
	"cloudflarestorage.com", "backblazeb2.com", "storage.googleapis.com",
	"aliyuncs.com", "linodeobjects.com", "vultrobjects.com", "scw.cloud",
	"your-objectstorage.com", "min.io", "idrivee2.com", "ovh.net", "ovh.us",
}

var (
	bucketPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]$`)
	regionPattern = regexp.MustCompile(`^[A-Za-z0-9-]{1,40}$`)
	hostPattern   = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$`)
	firstS3Label  = regexp.MustCompile(`^s3(-[a-z0-9-]+)?\.`)
	bucketFirst   = regexp.MustCompile(`^.+\.s3[.-].*amazonaws\.com(\.cn)?$`)
)

// namesEndpoint decides whether the host of an s3 URL is an endpoint, with the
// bucket first in the path, or is the bucket. Bucket names may contain dots, so
// a dot alone proves nothing. It is an endpoint when
//
//   - it has a port, or is an IP address or "localhost", which no bucket has or is;
//   - its first label is "s3" or starts with "s3-" (s3.example.com);
//   - it lies in one of storeDomains.
//
// Anything else is a bucket, and so is every host when the query says
// endpoint=…, which is how any other endpoint is named.
func namesEndpoint(u *url.URL) bool {
	host := strings.ToLower(u.Hostname())
	switch {
	case u.Port() != "" || isAddress(host):
		return true
	case !strings.Contains(host, "."):
		return false
	case firstS3Label.MatchString(host):
		return true
	}
	for _, domain := range storeDomains {
		if host == domain || strings.HasSuffix(host, "."+domain) {
			return true
		}
	}
	return false
}

// parseS3 reads an s3 URL; Key is the path as it stands, to be checked by the
// caller.
func parseS3(u *url.URL) (Location, error) {
	if u.Fragment != "" {
		return Location{}, invalid("An s3 URL has no fragment; write # in a key as %%23.")
	}
	l := Location{Scheme: S3}
	if err := l.readS3Query(u.RawQuery); err != nil {
		return Location{}, err
	}
	path := strings.TrimPrefix(u.Path, "/")
	if l.Endpoint == "" && namesEndpoint(u) {
		if bucketFirst.MatchString(strings.ToLower(u.Host)) {
			return Location{}, invalid("The URL puts the bucket before the endpoint; write s3://bucket/key?region=….")
		}
		endpoint, err := parseEndpoint(u.Host)
		if err != nil {
			return Location{}, err
		}
		l.Endpoint = endpoint
		l.Bucket, l.Key, _ = strings.Cut(path, "/")
	} else {
		l.Bucket, l.Key = u.Host, path
	}
	switch {
	case l.Bucket == "":
		return Location{}, invalid("The URL has no bucket; write s3://bucket/….")
	case !bucketPattern.MatchString(l.Bucket) || strings.Contains(l.Bucket, ".."):
		return Location{}, invalid("The bucket's name is not one that a bucket can have: 3 to 63 letters, digits, dots, dashes and underscores.")
	case isAddress(l.Bucket):
		return Location{}, invalid("An address can't be a bucket.")
	case len(l.Key) > maxKey:
		return Location{}, invalid("The key has %d bytes; the limit is %d.", len(l.Key), maxKey)
	}
	return l, nil
}

// maxKey is S3's limit of 1,024 bytes less room for the names that Millrace
// puts under a prefix.
const maxKey = 900

func (l *Location) readS3Query(query string) error {
	values, err := url.ParseQuery(query)
	if err != nil {
		return invalid("The URL's query can't be read; write + and & in keys percent-encoded.")
	}
	var keys Credentials
	for name, given := range values {
		if len(given) != 1 {
			return invalid("The URL's query has %q more than once.", clip(name))
		}
		value := given[0]
		if strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return invalid("The URL's query has a control character in %q.", clip(name))
		}
		switch name {
		case "access_key":
			keys.AccessKey = value
		case "secret_key":
			keys.SecretKey = value
		case "session_token":
			keys.SessionToken = value
		case "region":
			if value != "" && !regionPattern.MatchString(value) {
				return invalid("The region is not one that a store can have; write letters, digits and dashes.")
			}
			l.Region = value
		case "endpoint":
			if value == "" {
				continue
			}
			if l.Endpoint, err = parseEndpoint(value); err != nil {
				return err
			}
		case "path_style":
			style, err := strconv.ParseBool(value)
			if err != nil {
				return invalid("path_style is true or false.")
			}
			l.PathStyle = &style
		default:
			return invalid("The URL's query has the unknown parameter %q; known are access_key, secret_key, session_token, region, endpoint and path_style.", clip(name))
		}
	}
	if (keys.AccessKey == "") != (keys.SecretKey == "") || keys.SessionToken != "" && keys.AccessKey == "" {
		return invalid("The URL has only one of access_key and secret_key; give both or neither.")
	}
	if keys.AccessKey != "" {
		l.Credentials = &keys
	}
	return nil
}

// parseEndpoint reads host[:port] (https is meant) or an http(s) URL without a
// path, and gives it as a URL.
func parseEndpoint(text string) (string, error) {
	if !strings.Contains(text, "://") {
		text = "https://" + text
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return "", invalid("The S3 endpoint can't be read; write https://host or https://host:port.")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "":
		return "", invalid("The S3 endpoint has more than a host and a port; write https://host:port.")
	case !hostPattern.MatchString(u.Hostname()) && !isAddress(u.Hostname()) || strings.Contains(u.Hostname(), "%"):
		return "", invalid("The S3 endpoint's host is not a host name or address.")
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return "", invalid("The S3 endpoint's port is not a port.")
		}
	}
	return u.Scheme + "://" + strings.TrimSuffix(u.Host, ":"), nil
}

// clip shortens a user's word for a message.
func clip(word string) string {
	const most = 40
	if len(word) > most {
		return word[:most] + "…"
	}
	return word
}
