package storage

import (
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Longest URLs that are read, in bytes. Presigned source URLs with a session
// token come to about 2.5 KB; an output path has no reason to be so long.
const (
	MaxInputURL  = 4096
	MaxOutputURL = 2048
)

// InvalidLocation says what is wrong with a URL.
type InvalidLocation struct {
	// Sentence is for people: what is wrong and what to write instead. It
	// never quotes the URL, which may hold secrets.
	Sentence string
}

func (e *InvalidLocation) Error() string { return e.Sentence }

func invalid(format string, args ...any) error {
	return &InvalidLocation{Sentence: fmt.Sprintf(format, args...)}
}

// ParseInput reads a source's URL: http, https, s3 or file. The error is an
// *InvalidLocation. ParseInput looks at the text only; whether the address or
// the path is allowed is decided when the source is opened.
func ParseInput(raw string) (Location, error) {
	u, err := parseURL(raw, MaxInputURL)
	if err != nil {
		return Location{}, err
	}
	switch Scheme(u.Scheme) {
	case HTTP, HTTPS:
		if err := checkHost(u); err != nil {
			return Location{}, err
		}
		u.Fragment, u.RawFragment = "", ""
		return Location{Scheme: Scheme(u.Scheme), URL: u.String()}, nil
	case S3:
		l, err := parseS3(u)
		if err != nil {
			return Location{}, err
		}
		if l.Key == "" || strings.HasSuffix(l.Key, "/") {
			return Location{}, invalid("The URL names no object in the bucket; write s3://bucket/key.")
		}
		return l, checkPath(l.Key)
	case File:
		l, err := parseFile(u)
		if err == nil && (l.Path == "/" || strings.HasSuffix(u.Path, "/")) {
			return Location{}, invalid("The URL names a folder; write file:///folder/file.")
		}
		return l, err
	}
	return Location{}, invalid("The URL's scheme is not one that is read; use http, https, s3 or file.")
}

// ParseOutput reads an output path: an s3 or file URL that is a prefix. The
// slash at its end may be left out. The error is an *InvalidLocation.
func ParseOutput(raw string) (Location, error) {
	u, err := parseURL(raw, MaxOutputURL)
	if err != nil {
		return Location{}, err
	}
	switch Scheme(u.Scheme) {
	case S3:
		l, err := parseS3(u)
		if err != nil {
			return Location{}, err
		}
		if l.Key = strings.TrimSuffix(l.Key, "/"); l.Key != "" {
			if err := checkPath(l.Key); err != nil {
				return Location{}, err
			}
			l.Key += "/"
		}
		return l, checkPlainText(l.Key)
	case File:
		l, err := parseFile(u)
		if err != nil {
			return Location{}, err
		}
		return l, checkPlainText(l.Path)
	}
	return Location{}, invalid("The output path's scheme is not one that is written to; use s3://bucket/prefix/ or file:///folder/.")
}

// parseURL does what is alike for all schemes.
func parseURL(raw string, limit int) (*url.URL, error) {
	switch {
	case raw == "":
		return nil, invalid("The URL is empty.")
	case len(raw) > limit:
		return nil, invalid("The URL has %d bytes; the limit is %d.", len(raw), limit)
	case !utf8.ValidString(raw):
		return nil, invalid("The URL is not valid UTF-8.")
	}
	for _, r := range raw {
		if unicode.IsControl(r) {
			return nil, invalid("The URL contains a control character (U+%04X).", r)
		}
	}
	u, err := url.Parse(raw)
	if err != nil {
		// The error quotes the URL, so it stays here.
		return nil, invalid("The URL can't be read; check its scheme, and write special characters percent-encoded.")
	}
	switch {
	case u.Scheme == "":
		return nil, invalid("The URL has no scheme; begin it with https://, s3:// or file:///.")
	case u.Opaque != "":
		return nil, invalid("The URL lacks the // after %q.", u.Scheme+":")
	case u.User != nil:
		return nil, invalid("The URL holds a user name or password before the host; that is not accepted.")
	}
	for _, r := range u.Path {
		if unicode.IsControl(r) || r == utf8.RuneError {
			return nil, invalid("The URL's path contains an encoded control character or is not UTF-8.")
		}
	}
	return u, nil
}

// checkHost refuses hosts that no resolver should be asked about.
func checkHost(u *url.URL) error {
	host := u.Hostname()
	if host == "" {
		return invalid("The URL has no host.")
	}
	if strings.Contains(host, "%") {
		return invalid("The URL's host has a zone or an encoded character; write a plain name or address.")
	}
	if strings.ContainsAny(host, " \t\"<>\\^`{|}") {
		return invalid("The URL's host contains a character that no host name has.")
	}
	return nil
}

// parseFile reads file:///path.
func parseFile(u *url.URL) (Location, error) {
	switch {
	case u.Host != "" && u.Host != "localhost":
		return Location{}, invalid("A file URL names no host; write file:///folder/ with three slashes.")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return Location{}, invalid("A file URL has no query or fragment; write ? and # percent-encoded.")
	case !strings.HasPrefix(u.Path, "/"):
		return Location{}, invalid("A file URL needs an absolute path; write file:///folder/.")
	}
	path := strings.TrimSuffix(strings.TrimPrefix(u.Path, "/"), "/")
	if path == "" {
		return Location{}, invalid("The URL names no folder; write file:///folder/.")
	}
	if err := checkPath(path); err != nil {
		return Location{}, err
	}
	return Location{Scheme: File, Path: "/" + path}, nil
}

// checkPath refuses what another program might read as a way out of the folder:
// empty, "." and ".." elements, also when encoded again.
func checkPath(path string) error {
	for element := range strings.SplitSeq(path, "/") {
		if element == "" {
			return invalid("The URL's path has an empty element (two slashes in a row).")
		}
		for {
			if element == "." || element == ".." || strings.ContainsAny(element, "/\x00") {
				return invalid("The URL's path contains %q, plain or encoded.", "..")
			}
			decoded, err := url.PathUnescape(element)
			if err != nil || decoded == element {
				break
			}
			element = decoded
		}
	}
	return nil
}

// lookAlikes are characters that are drawn, or folded by some file systems and
// stores, like a dot or a slash.
const lookAlikes = "\u2024\u2025\u2026\uff0e\ufe52\u3002\u2044\u2215\u29f8\uff0f\\\u29f5\ufe68\uff3c\u2216"

// checkPlainText refuses characters in an output path that would make it look
// like another path.
func checkPlainText(path string) error {
	for _, r := range path {
		if strings.ContainsRune(lookAlikes, r) || unicode.Is(unicode.Cf, r) || unicode.Is(unicode.Zl, r) || unicode.Is(unicode.Zp, r) {
			return invalid("The output path contains U+%04X, which looks like another character or like none.", r)
		}
	}
	return nil
}

// isAddress says whether the host is an IP address or this machine's name.
func isAddress(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil || host == "localhost"
}
