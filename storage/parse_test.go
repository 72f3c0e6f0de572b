package storage

import (
	"errors"
	"reflect"
	"strings"
	"testing"
)

func TestParseInputReadsEveryScheme(t *testing.T) {
	yes := true
	keys := &Credentials{AccessKey: "AK", SecretKey: "s/e+c"}
	tests := []struct {
		raw  string
		want Location
	}{
		{"https://example.com/a.mp4?x=1#t=3", Location{Scheme: HTTPS, URL: "https://example.com/a.mp4?x=1"}},
		{"HTTP://example.com/a.mp4", Location{Scheme: HTTP, URL: "http://example.com/a.mp4"}},
		{"file:///srv/a%20b.mp4", Location{Scheme: File, Path: "/srv/a b.mp4"}},
		{"file://localhost/srv/a.mp4", Location{Scheme: File, Path: "/srv/a.mp4"}},
		{"s3://bucket/folder/a.mp4", Location{Scheme: S3, Bucket: "bucket", Key: "folder/a.mp4"}},
		{"s3://my.videos.example/a.mp4", Location{Scheme: S3, Bucket: "my.videos.example", Key: "a.mp4"}},
		{"s3://s3.example.com/bucket/a.mp4", Location{Scheme: S3, Endpoint: "https://s3.example.com", Bucket: "bucket", Key: "a.mp4"}},
		{"s3://s3-eu-west-1.amazonaws.com/bucket/a.mp4", Location{Scheme: S3, Endpoint: "https://s3-eu-west-1.amazonaws.com", Bucket: "bucket", Key: "a.mp4"}},
		{"s3://nyc3.digitaloceanspaces.com/bucket/a.mp4", Location{Scheme: S3, Endpoint: "https://nyc3.digitaloceanspaces.com", Bucket: "bucket", Key: "a.mp4"}},
		{"s3://minio:9000/bucket/a.mp4", Location{Scheme: S3, Endpoint: "https://minio:9000", Bucket: "bucket", Key: "a.mp4"}},
		{"s3://[2001:db8::1]:9000/bucket/a.mp4", Location{Scheme: S3, Endpoint: "https://[2001:db8::1]:9000", Bucket: "bucket", Key: "a.mp4"}},
		{"s3://s3.bucket.example/a.mp4?endpoint=http://minio:9000&path_style=true&region=eu-1",
			Location{Scheme: S3, Endpoint: "http://minio:9000", Bucket: "s3.bucket.example", Key: "a.mp4", PathStyle: &yes, Region: "eu-1"}},
		{"s3://bucket/a.mp4?access_key=AK&secret_key=s%2Fe%2Bc", Location{Scheme: S3, Bucket: "bucket", Key: "a.mp4", Credentials: keys}},
	}
	for _, test := range tests {
		got, err := ParseInput(test.raw)
		if err != nil || !reflect.DeepEqual(got, test.want) {
			t.Errorf("ParseInput(%q) = %+v, %v, want %+v", test.raw, got, err, test.want)
		}
		again, err := ParseInput(got.String())
		if err != nil || !reflect.DeepEqual(got, again) {
			t.Errorf("%q written and read again is %+v, %v", test.raw, again, err)
		}
	}
}

func TestParseInputRefusesWithASentence(t *testing.T) {
	for _, raw := range []string{
		"", "video.mp4", "ftp://host/a", "data:text/plain,x", "concat:a|b", "file:a.mp4", "javascript://x/y",
		"http://", "http:///a.mp4", "http://user@host/a", "https://user:pw@host/a", "http://[fe80::1%25eth0]/a",
		"http://host/a\nb", "http://host/\x00", "http://host/%00", "https://host/" + strings.Repeat("a", 9000),
		"s3://bucket", "s3://bucket/", "s3:///key", "s3://bucket/folder/", "s3://bucket/a/../b", "s3://bucket/%2e%2e/b",
		"s3://bucket/a?color=red", "s3://bucket/a?access_key=x", "s3://bucket/a?secret_key=x", "s3://bucket/a?region=a/b",
		"s3://bucket/a?endpoint=ftp://x", "s3://bucket/a?endpoint=http://u:p@h", "s3://bucket/a?endpoint=http://h/path",
		"s3://bucket/a?path_style=maybe", "s3://bucket/a?region=x&region=y", "s3://bucket.s3.eu-west-1.amazonaws.com/a",
		"file://host/a.mp4", "file:///", "file:///a/", "file:///a/../etc/passwd", "file:///a/%2e%2e/b", "file:////etc/passwd",
		"file:///a?b", "http://host/\xff",
	} {
		_, err := ParseInput(raw)
		var bad *InvalidLocation
		if !errors.As(err, &bad) || !strings.HasSuffix(bad.Sentence, ".") {
			t.Errorf("ParseInput(%.60q) gives %v", raw, err)
		}
	}
}

func TestParseOutputMakesAPrefix(t *testing.T) {
	tests := []struct {
		raw  string
		want Location
	}{
		{"s3://bucket/out/1/", Location{Scheme: S3, Bucket: "bucket", Key: "out/1/"}},
		{"s3://bucket/out/1", Location{Scheme: S3, Bucket: "bucket", Key: "out/1/"}},
		{"s3://bucket", Location{Scheme: S3, Bucket: "bucket"}},
		{"s3://bucket/", Location{Scheme: S3, Bucket: "bucket"}},
		{"s3://s3.example.com/bucket/out", Location{Scheme: S3, Endpoint: "https://s3.example.com", Bucket: "bucket", Key: "out/"}},
		{"file:///srv/out/", Location{Scheme: File, Path: "/srv/out"}},
	}
	for _, test := range tests {
		got, err := ParseOutput(test.raw)
		if err != nil || !reflect.DeepEqual(got, test.want) {
			t.Errorf("ParseOutput(%q) = %+v, %v, want %+v", test.raw, got, err, test.want)
		}
	}
}

func TestParseOutputRefusesWithASentence(t *testing.T) {
	for _, raw := range []string{
		"", "https://host/out/", "s3:///k", "s3://", "s3://b/../../x", "s3://bucket/../x", "s3://bucket/%2e%2e/x",
		"s3://bucket/%252e%252e/x", "s3://bucket/a//b", "s3://bucket/./a", "s3://bucket/a%0ab", "s3://bucket/a\tb",
		"s3://ab/x", "s3://buck_et!/x", "s3://büket/x", "s3://127.0.0.1/", "s3://bucket/\u2025/x", "s3://bucket/a\uff0fb",
		"s3://bucket/a\u202eb", "s3://bucket/a%5Cb", "s3://user:pw@bucket/x", "s3://bucket/" + strings.Repeat("a", 1000),
		"s3://bucket/" + strings.Repeat("a/", 4096), "s3://s3.example.com/", "file:///", "file:///out/..", "file:///out/\u2025/x",
	} {
		_, err := ParseOutput(raw)
		var bad *InvalidLocation
		if !errors.As(err, &bad) || !strings.HasSuffix(bad.Sentence, ".") {
			t.Errorf("ParseOutput(%.60q) gives %v", raw, err)
		}
	}
}

func TestRedactedHidesSecrets(t *testing.T) {
	tests := []struct{ raw, want string }{
		{"https://example.com/a.mp4", "https://example.com/a.mp4"},
		{"https://example.com/a.mp4?v=2&name=intro", "https://example.com/a.mp4?v=2&name=intro"},
		{"https://example.com/a.mp4?X-Amz-Signature=ab&v=2", "https://example.com/a.mp4?X-Amz-Signature=***&v=2"},
		{"https://example.com/a.mp4?v=0123456789abcdef0123", "https://example.com/a.mp4?v=***"},
		{"https://example.com/a.mp4?0123456789abcdef0123", "https://example.com/a.mp4?***"},
		{"https://example.com/a.mp4?tok%65n=ab", "https://example.com/a.mp4?tok%65n=***"},
		{"s3://bucket/a.mp4?access_key=AK&secret_key=SK&region=eu-1", "s3://bucket/a.mp4?access_key=***&secret_key=***&region=eu-1"},
		{"file:///srv/a%20b.mp4", "file:///srv/a%20b.mp4"},
	}
	for _, test := range tests {
		l := input(t, test.raw)
		if got := l.Redacted(); got != test.want {
			t.Errorf("%s redacted is %s, want %s", test.raw, got, test.want)
		}
		if l.Secret() != (test.want != l.String()) {
			t.Errorf("%s: Secret() is %v", test.raw, l.Secret())
		}
	}
}

func FuzzParseInput(f *testing.F) {
	for _, seed := range []string{
		"https://example.com/a.mp4?x=1", "s3://bucket/key?access_key=a&secret_key=b", "s3://s3.example.com:1/bucket/k%2Fey",
		"file:///a/b%20c", "s3://[::1]:9000/bucket/a", "http://[fe80::1%25eth0]/", "s3://bucket/%ff", "file:////x",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		l, err := ParseInput(raw)
		if err != nil {
			return
		}
		if l.Scheme == File && strings.Contains(l.Path+"/", "/../") || strings.Contains("/"+l.Key+"/", "/../") {
			t.Fatalf("%q leads out: %+v", raw, l)
		}
		wantSame(t, l, ParseInput)
	})
}

func FuzzParseOutput(f *testing.F) {
	for _, seed := range []string{"s3://bucket/a/", "s3://s3.example.com/bucket/a", "file:///out/x", "s3://bucket/%252e%252e", "s3://bucket?endpoint=h:1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		l, err := ParseOutput(raw)
		if err != nil {
			return
		}
		if l.Scheme == S3 && l.Bucket == "" || l.Key != "" && !strings.HasSuffix(l.Key, "/") {
			t.Fatalf("%q gives %+v", raw, l)
		}
		wantSame(t, l, ParseOutput)
	})
}

// wantSame checks that the sealed form of a location is the location.
func wantSame(t *testing.T, l Location, parse func(string) (Location, error)) {
	t.Helper()
	if len(l.String()) > MaxOutputURL {
		return // escaping made it longer
	}
	again, err := parse(l.String())
	if err != nil || !reflect.DeepEqual(l, again) {
		t.Fatalf("%+v is written %q, read as %+v, %v", l, l.String(), again, err)
	}
	if l.Credentials != nil && len(l.Credentials.SecretKey) > 8 && strings.Contains(l.Redacted(), l.Credentials.SecretKey) {
		t.Fatalf("%q shows its secret", l.Redacted())
	}
}
