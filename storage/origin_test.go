package storage

import (
	"fmt"
	"testing"
)

func FuzzParseContentRange(f *testing.F) {
	for _, seed := range []string{"bytes 0-9/10", "bytes */10", "bytes 0-9/*", "bytes 9-0/10", "bytes -1-9/10", "bytes 0-99999999999999999999/*", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		first, last, total, ok := parseContentRange(header)
		if !ok {
			return
		}
		if first < -1 || last < first || total < -1 || total >= 0 && last >= total {
			t.Fatalf("%q gives %d-%d/%d", header, first, last, total)
		}
		if first >= 0 && total >= 0 {
			again := fmt.Sprintf("bytes %d-%d/%d", first, last, total)
			if f, l, n, ok := parseContentRange(again); !ok || f != first || l != last || n != total {
				t.Fatalf("%q written again as %q gives %d-%d/%d", header, again, f, l, n)
			}
		}
	})
}
