package client

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// maxLine bounds a line of an event stream, and so an event of this API, whose
// data is one line.
const maxLine = 4 << 20

var errLongLine = errors.New("a line of the event stream is too long")

// event is one Server-Sent Event.
type event struct {
	id   string // "" when it has none
	name string
	data []byte
}

// eventReader reads Server-Sent Events.
type eventReader struct{ lines *bufio.Reader }

func newEventReader(body io.Reader) *eventReader {
	return &eventReader{lines: bufio.NewReader(body)}
}

// next reads up to the end of the next event that has data, and calls alive
// for each line, heartbeats included. An event cut off by the end of the
// stream is dropped, as the standard has it.
func (r *eventReader) next(alive func()) (event, error) {
	var read event
	for {
		line, err := r.line()
		if err != nil {
			return event{}, err
		}
		alive()
		if len(line) == 0 {
			if len(read.data) > 0 {
				return read, nil
			}
			read = event{}
			continue
		}
		field, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(field) {
		case "id":
			read.id = string(value)
		case "event":
			read.name = string(value)
		case "data":
			if len(read.data) > 0 {
				read.data = append(read.data, '\n')
			}
			if len(read.data)+len(value) > maxLine {
				return event{}, errLongLine
			}
			read.data = append(read.data, value...)
		}
	}
}

func (r *eventReader) line() ([]byte, error) {
	var line []byte
	for {
		part, err := r.lines.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case len(line) > maxLine:
			return nil, errLongLine
		case err == nil:
			return bytes.TrimRight(line, "\r\n"), nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		}
	}
}
