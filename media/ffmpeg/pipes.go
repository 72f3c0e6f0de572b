package ffmpeg

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// pipes is the read ends of a run's pipes, and what its readers may know about
// how the run ends.
type pipes struct {
	onRead func(n int)
	exited chan struct{} // closed once the fields below are set

	complete bool  // the process exited with status 0
	cause    error // what killed it, if we did

	mu      sync.Mutex
	files   []*os.File
	working atomic.Int32 // handlers that do something else than reading
}

func (p *pipes) add(f *os.File) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.files = append(p.files, f)
}

func (p *pipes) close() { closeAll(p.files) }

// busy says whether some handler is at work rather than waiting for ffmpeg. If
// so, ffmpeg may stand still because its pipe is full, through no fault of its own.
func (p *pipes) busy() bool { return p.working.Load() > 0 }

// ended tells the readers how the process ended. A descendant that escaped the
// group may still hold pipes open: reads give up on it after a while.
func (p *pipes) ended(complete bool, cause error) {
	p.complete, p.cause = complete, cause
	close(p.exited)
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, f := range p.files {
		_ = f.SetReadDeadline(time.Now().Add(straggler))
	}
}

// reader gives a handler its view of one pipe.
func (p *pipes) reader(f *os.File) io.Reader {
	p.working.Add(1)
	return &outputReader{pipes: p, file: f}
}

// outputReader reads one output of ffmpeg; it is used by one goroutine.
type outputReader struct {
	pipes *pipes
	file  *os.File
	ended error
}

func (r *outputReader) Read(b []byte) (int, error) {
	if r.ended != nil {
		return 0, r.ended
	}
	r.pipes.working.Add(-1)
	defer r.pipes.working.Add(1)
	select {
	case <-r.pipes.exited:
		// Each read of what is left gets its time anew: the handler may be slow.
		_ = r.file.SetReadDeadline(time.Now().Add(straggler))
	default:
	}
	n, err := r.file.Read(b)
	if n > 0 && r.pipes.onRead != nil {
		r.pipes.onRead(n)
	}
	if err == nil {
		return n, nil
	}
	// The pipe has ended. Whether the output has, only the exit status tells.
	<-r.pipes.exited
	switch {
	case r.pipes.complete && errors.Is(err, io.EOF):
		r.ended = io.EOF
	case r.pipes.cause != nil:
		r.ended = fmt.Errorf("%w: %w", ErrIncomplete, r.pipes.cause)
	default:
		r.ended = ErrIncomplete
	}
	return n, r.ended
}
