package cluster

import (
	"testing"

	"pgregory.net/rapid"
)

func TestTheKeyOfAPlainOutputIsThatOfItsParsedAddress(t *testing.T) {
	for address, usual := range map[string]bool{
		"s3://bucket/films/11111111111/": true, "s3://bucket/a": true, "file:///srv/out/Film_1.0/": true,
		"s3://bucket": false, "s3://bucket/": false, "s3://Bucket/a": false, "s3://b/../a": false, "s3://b//a": false, "s3://b/a//": false,
		"s3://b/a?endpoint=x": false, "s3://b/%61": false, "s3://me@b/a": false, "/srv/out": false, "s3://b:9/a": false, "s3:///": false,
	} {
		if key, plain := plainOutputKey(address); plain != usual || plain && key != parsedOutputKey(address) {
			t.Errorf("%s: %q, %v, parsed %q", address, key, plain, parsedOutputKey(address))
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		address := rapid.OneOf(rapid.StringMatching(`[a-z0-9+.-]{0,4}://[a-zA-Z0-9.:@-]{0,5}(/[a-zA-Z0-9._~%?#-]{0,4}){0,4}`), rapid.String()).Draw(t, "address")
		if key, plain := plainOutputKey(address); plain && key != parsedOutputKey(address) {
			t.Fatalf("%s: %q, parsed %q", address, key, parsedOutputKey(address))
		}
	})
}
