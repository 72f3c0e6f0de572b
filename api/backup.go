package api

import (
	"fmt"
	"io"
	"net/http"
)

// backup streams the whole state, as cluster.Restore reads it. An error before
// the first byte is answered like any other; later the connection is cut, so
// that nobody takes half a backup for whole. (It says itself where it ends, too.)
func (s *Server) backup(c *call) error {
	out := &backupWriter{to: newPatientWriter(c.w), name: "millrace-" + s.config.Now().UTC().Format("20060102T150405Z") + ".backup"}
	err := s.config.Control.Backup(c.r.Context(), out)
	switch {
	case err == nil && out.begun:
		return nil
	case err == nil:
		return fmt.Errorf("back up the state: %w", io.ErrUnexpectedEOF)
	case !out.begun:
		return fmt.Errorf("back up the state: %w", err)
	}
	s.log.WarnContext(c.r.Context(), "a backup was cut off", "error", err)
	panic(http.ErrAbortHandler)
}

// backupWriter begins the answer with the first byte.
type backupWriter struct {
	to    http.ResponseWriter
	name  string
	begun bool
}

func (b *backupWriter) Write(p []byte) (int, error) {
	if !b.begun {
		header := b.to.Header()
		header.Set("Content-Type", "application/octet-stream")
		header.Set("Content-Disposition", `attachment; filename="`+b.name+`"`)
		b.to.WriteHeader(http.StatusOK)
		b.begun = true
	}
	return b.to.Write(p)
}
