package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"

	"golang.org/x/term"
)

// streams is where the program writes: results to out, everything else to err.
type streams struct {
	out io.Writer
	err io.Writer
	// width is the number of columns of the terminal that err is, 0 when it
	// isn't one. It is asked anew for each line, since windows change.
	width func() int
}

func standardStreams() streams {
	return streams{out: os.Stdout, err: os.Stderr, width: func() int {
		fd := int(os.Stderr.Fd())
		if !term.IsTerminal(fd) || os.Getenv("TERM") == "dumb" {
			return 0
		}
		width, _, err := term.GetSize(fd)
		if err != nil || width <= 0 {
			return 80
		}
		return width
	}}
}

// writeJSON writes a value for programs to read.
func (s streams) writeJSON(value any) error {
	encoder := json.NewEncoder(s.out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(value); err != nil {
		return fmt.Errorf("write JSON: %w", err)
	}
	return nil
}

// printable takes out what could steer a terminal: messages and names come
// from users, sources and stores.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || unicode.IsPrint(r) {
			return r
		}
		return '\uFFFD'
	}, text)
}
