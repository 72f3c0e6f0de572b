package media

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"millrace/job"
)

// box is an MP4 box of so many bytes in all, which says that it has declared.
func box(kind string, size, declared int) []byte {
	b := make([]byte, size)
	binary.BigEndian.PutUint32(b, uint32(declared))
	copy(b[4:], kind)
	return b
}

func large(kind string, declared uint64) []byte {
	b := box(kind, 16, 1)
	binary.BigEndian.PutUint64(b[8:], declared)
	return b
}

func TestBoxesMustLieWithinTheFile(t *testing.T) {
	moov, mdat := box("moov", 40, 40), box("mdat", 100, 100)
	for _, c := range []struct {
		name  string
		boxes [][]byte
		want  job.Code // "" for none
	}{
		{"index first", [][]byte{box("ftyp", 16, 16), moov, mdat}, ""},
		{"index last", [][]byte{box("ftyp", 16, 16), mdat, moov}, ""},
		{"fragmented, no mdat at the top", [][]byte{moov, box("moof", 20, 20), mdat}, ""},
		{"cut off within the pictures", [][]byte{moov, box("mdat", 60, 100)}, job.InputTruncated},
		{"cut off before the index", [][]byte{box("mdat", 60, 100)}, job.MediaCorrupt},
		{"cut off within the index", [][]byte{mdat, box("moov", 20, 40)}, job.InputTruncated},
		{"never finished", [][]byte{box("ftyp", 16, 16), mdat}, job.MediaCorrupt},
		{"to the end of the file", [][]byte{moov, box("mdat", 60, 0)}, ""},
		{"64 bits", [][]byte{moov, append(large("mdat", 26), make([]byte, 10)...)}, ""},
		{"64 bits, cut off", [][]byte{moov, large("mdat", 1<<40)}, job.InputTruncated},
		{"64 bits and impossible", [][]byte{large("mdat", 1<<63)}, job.MediaCorrupt},
		{"shorter than its header", [][]byte{moov, box("mdat", 60, 7)}, job.MediaCorrupt},
		{"a few bytes at the end", [][]byte{moov, mdat, {0, 0, 0}}, ""},
		{"nothing", nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := bytes.Join(c.boxes, nil)
			err := checkBoxes(bytes.NewReader(file), int64(len(file)))
			var failure *job.Failure
			switch {
			case c.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case c.want != "" && (!errors.As(err, &failure) || failure.Code != c.want):
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}

func FuzzCheckBoxes(f *testing.F) {
	f.Add(bytes.Join([][]byte{box("ftyp", 16, 16), box("moov", 40, 40), box("mdat", 100, 100)}, nil))
	f.Add(large("mdat", 1<<62))
	f.Add([]byte{0, 0, 0, 1, 'm', 'd', 'a', 't', 0})
	f.Fuzz(func(t *testing.T, file []byte) {
		err := checkBoxes(bytes.NewReader(file), int64(len(file)))
		var failure *job.Failure
		if err != nil && !errors.As(err, &failure) {
			t.Errorf("not a named failure: %v", err)
		}
	})
}
