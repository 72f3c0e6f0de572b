package storage

import (
	"net/url"
	"strconv"
	"strings"
)

// Scheme is how a location is reached.
type Scheme string

// The schemes. An output is S3 or File.
const (
	HTTP  Scheme = "http"
	HTTPS Scheme = "https"
	S3    Scheme = "s3"
	File  Scheme = "file"
)

// Location is a source or an output path, checked. Get one from ParseInput or
// ParseOutput; the zero value is nowhere.
type Location struct {
	Scheme Scheme
	// URL is the whole URL of an http or https source, secrets and all.
	URL string
	// Bucket is the S3 bucket.
	Bucket string
	// Key is an S3 source's object key, or an S3 output's prefix: empty or
	// ending in a slash.
	Key string
	// Path is the absolute, clean path of a file source or an output folder.
	Path string
	// Endpoint is the S3 endpoint that the URL names, as "https://host[:port]"
	// or "http://…"; empty for the configured one.
	Endpoint string
	// Region is the S3 region that the URL names, or "".
	Region string
	// PathStyle is what the URL says of addressing buckets by path; nil where
	// it says nothing: then an endpoint named by URL is addressed by path.
	PathStyle *bool
	// Credentials are the S3 keys in the URL, nil without.
	Credentials *Credentials
}

// Credentials are keys to an S3 store.
type Credentials struct {
	AccessKey    string
	SecretKey    string
	SessionToken string // only with temporary keys
}

// String is the location as a URL with its secrets: seal it, never log it.
// Parsing it again gives the same Location.
func (l Location) String() string { return l.render(func(_, value string) string { return value }) }

// Redacted is the location as a URL with every secret replaced by "***". Parts
// of an http URL's query are taken for secrets by their name (token, signature,
// key, …) or when they are longer than maxPlainQueryValue.
func (l Location) Redacted() string { return l.render(redactQueryValue) }

// Secret says whether the location holds something that Redacted hides.
func (l Location) Secret() bool { return l.String() != l.Redacted() }

func (l Location) render(show func(name, value string) string) string {
	switch l.Scheme {
	case HTTP, HTTPS:
		before, query, found := strings.Cut(l.URL, "?")
		if !found {
			return l.URL
		}
		return before + "?" + mapQuery(query, show)
	case S3:
		u := url.URL{Scheme: "s3", Host: l.Bucket, Path: "/" + l.Key}
		return u.String() + l.s3Query(show)
	case File:
		path := l.Path
		u := url.URL{Scheme: "file", Path: path}
		return u.String()
	}
	return ""
}

// s3Query is the query of an S3 URL, with its "?", or "".
func (l Location) s3Query(show func(name, value string) string) string {
	var pairs []string
	add := func(name, value string) {
		if value != "" {
			value = show(name, value)
			if name != "endpoint" && value != redacted {
				value = url.QueryEscape(value) // an endpoint has nothing to escape
			}
			pairs = append(pairs, name+"="+value)
		}
	}
	if l.Credentials != nil {
		add("access_key", l.Credentials.AccessKey)
		add("secret_key", l.Credentials.SecretKey)
		add("session_token", l.Credentials.SessionToken)
	}
	add("region", l.Region)
	add("endpoint", l.Endpoint)
	if l.PathStyle != nil {
		add("path_style", strconv.FormatBool(*l.PathStyle))
	}
	if len(pairs) == 0 {
		return ""
	}
	return "?" + strings.Join(pairs, "&")
}

// redacted stands for a secret.
const redacted = "***"

// maxPlainQueryValue is the length in bytes from which a query value of an http
// URL is taken for a secret whatever its name: signatures and tokens of 96 bits
// are at least this long, and page numbers, file names and dates seldom are.
const maxPlainQueryValue = 16

// secretWords are what the names of secret query parameters contain.
var secretWords = []string{
	"sig", "token", "secret", "key", "pass", "pwd", "cred", "auth", "session",
	"jwt", "policy", "hmac", "hash", "code", "ticket", "nonce",
}

// redactQueryValue hides the value where it may be a secret. S3's region and
// endpoint are no secrets, however long.
func redactQueryValue(name, value string) string {
	name = strings.ToLower(name)
	if value == "" || name == "region" || name == "endpoint" || name == "path_style" {
		return value
	}
	for _, word := range secretWords {
		if strings.Contains(name, word) {
			return redacted
		}
	}
	if len(value) > maxPlainQueryValue {
		return redacted
	}
	return value
}

// mapQuery applies show to each value of a raw query and keeps all else as it
// was written: presigned URLs don't survive re-encoding.
func mapQuery(query string, show func(name, value string) string) string {
	pairs := strings.Split(query, "&")
	for i, pair := range pairs {
		name, value, found := strings.Cut(pair, "=")
		if !found {
			// A bare word has no name to judge it by; judge by length.
			if pair != "" && show("", pair) == redacted {
				pairs[i] = redacted
			}
			continue
		}
		plain, err := url.QueryUnescape(name)
		if err != nil {
			plain = "secret"
		}
		pairs[i] = name + "=" + show(plain, value)
	}
	return strings.Join(pairs, "&")
}
