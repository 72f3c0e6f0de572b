package ffmpeg

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ErrIncomplete is what an output handler reads in place of io.EOF when ffmpeg
// did not exit with status 0: what was read so far is not the whole output.
var ErrIncomplete = errors.New("ffmpeg ended before its output was complete")

// errNotStarted is a program that could not be executed at all.
var errNotStarted = errors.New("start the program")

// straggler is how long a pipe may stay open after the process has ended and
// its group was killed. Only a grandchild that left the group can hold it.
const straggler = 5 * time.Second

// process is one program to execute, below all knowledge of ffmpeg.
type process struct {
	Argv []string
	Env  []string
	Dir  string
	Nice int
	// MaxFileBytes limits each file that the process writes; 0 is no limit.
	MaxFileBytes int64
	Stdin        io.Reader             // nil: /dev/null; must not block
	Stdout       func(io.Reader) error // nil: /dev/null
	Stderr       io.Writer             // must not fail or block
	// Outputs and then Side get the read ends of pipes that the process has as
	// descriptors 3, 4, …
	Outputs []func(io.Reader) error
	// Side reads a pipe of small talk (progress); it is nil or never fails.
	Side func(io.Reader)
	// OnRead is told of each read of an output, with the bytes that came.
	OnRead func(n int)
	// Pipes, when not nil, is where the caller wants to look at the run's pipes.
	Pipes *pipes
}

// execute runs p to its end and waits for everything it started. Cancelling ctx
// kills the process group.
//
// The error is the context's cause when that killed the process, else a
// handler's, if the process itself ended well. An exit status is no error here.
func execute(ctx context.Context, p process) (*os.ProcessState, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)

	set := p.Pipes
	if set == nil {
		set = &pipes{}
	}
	set.exited = make(chan struct{})
	set.onRead = p.OnRead

	// Not exec.CommandContext: it would kill the process without its group.
	cmd := exec.Command(p.Argv[0], p.Argv[1:]...) //nolint:noctx // see killGroup
	cmd.Env, cmd.Dir, cmd.Stdin = p.Env, p.Dir, p.Stdin
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}

	var childEnds []*os.File
	defer func() { closeAll(childEnds) }()
	newPipe := func() (*os.File, *os.File, error) {
		r, w, err := os.Pipe()
		if err != nil {
			return nil, nil, fmt.Errorf("open a pipe to %s: %w", p.Argv[0], err)
		}
		childEnds = append(childEnds, w)
		set.add(r)
		return r, w, nil
	}
	defer set.close()

	var outputs []*os.File
	handlers := p.Outputs
	if p.Stdout != nil {
		r, w, err := newPipe()
		if err != nil {
			return nil, err
		}
		cmd.Stdout = w
		outputs, handlers = append(outputs, r), append([]func(io.Reader) error{p.Stdout}, p.Outputs...)
	}
	for range p.Outputs {
		r, w, err := newPipe()
		if err != nil {
			return nil, err
		}
		cmd.ExtraFiles = append(cmd.ExtraFiles, w)
		outputs = append(outputs, r)
	}
	var side *os.File
	if p.Side != nil {
		r, w, err := newPipe()
		if err != nil {
			return nil, err
		}
		cmd.ExtraFiles = append(cmd.ExtraFiles, w)
		side = r
	}
	logs, w, err := newPipe()
	if err != nil {
		return nil, err
	}
	cmd.Stderr = w

	child, err := start(cmd, p.Nice, p.MaxFileBytes)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNotStarted, err)
	}
	closeAll(childEnds)
	childEnds = nil

	// The killer: whatever cancels the run kills the group.
	stopKiller := context.AfterFunc(ctx, child.killGroup)
	defer stopKiller()

	var readers sync.WaitGroup
	readers.Go(func() { _, _ = io.Copy(p.Stderr, logs) })
	if side != nil {
		readers.Go(func() {
			p.Side(side)
			_, _ = io.Copy(io.Discard, side)
		})
	}
	var failed handlerErrors
	for i, handle := range handlers {
		readers.Go(func() {
			output := set.reader(outputs[i])
			err := handle(output)
			if err != nil {
				failed.add(err)
				select {
				case <-set.exited: // too late to be the cause of the end
				default:
					cancel(err)
				}
			}
			// A handler that has seen enough must not block ffmpeg.
			_, _ = io.Copy(io.Discard, output)
		})
	}

	state := <-child.state
	cause := context.Cause(ctx)
	set.ended(state != nil && state.Success(), cause)
	readers.Wait()
	if state == nil {
		return nil, fmt.Errorf("wait for %s: %w", p.Argv[0], child.waitErr)
	}
	if state.Success() {
		// Even if the context was cancelled meanwhile: what was asked for is
		// there, unless a handler says otherwise.
		return state, failed.first()
	}
	return state, cause
}

// child is a started process and the means to kill its group safely.
type child struct {
	pid     int
	mu      sync.Mutex
	reaped  bool // the pid may be anybody's from here on
	state   chan *os.ProcessState
	waitErr error
}

// start starts cmd and reaps it when it ends.
//
// Pdeathsig is bound to the thread that forks, not to the process: the kernel
// kills the child when that thread ends. Go's scheduler parks idle threads
// rather than end them, but a thread ends with a goroutine that was locked to
// it. So the child is started by a goroutine that locks its thread and keeps it
// until the child is reaped.
func start(cmd *exec.Cmd, nice int, maxFileBytes int64) (*child, error) {
	c := &child{state: make(chan *os.ProcessState, 1)}
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if err := cmd.Start(); err != nil {
			started <- err
			return
		}
		c.pid = cmd.Process.Pid
		limit(c.pid, nice, maxFileBytes)
		started <- nil
		c.reap(cmd)
	}()
	return c, <-started
}

// limit lowers the priority of a fresh process and bounds its files. The
// process is still loading its libraries, so no thread of it has been made yet
// that would keep the old priority.
func limit(pid, nice int, maxFileBytes int64) {
	if nice != 0 {
		_ = unix.Setpriority(unix.PRIO_PROCESS, pid, nice) // a hint: worse is only slower
	}
	if maxFileBytes > 0 {
		_ = unix.Prlimit(pid, unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: uint64(maxFileBytes), Max: uint64(maxFileBytes)}, nil)
	}
	_ = unix.Prlimit(pid, unix.RLIMIT_CORE, &unix.Rlimit{}, nil)
}

// reap waits for the process, kills what is left of its group while the zombie
// still keeps the group's number from being reused, and only then collects it.
func (c *child) reap(cmd *exec.Cmd) {
	for {
		err := unix.Waitid(unix.P_PID, c.pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	c.mu.Lock()
	_ = unix.Kill(-c.pid, unix.SIGKILL)
	c.reaped = true
	c.mu.Unlock()
	err := cmd.Wait()
	if cmd.ProcessState == nil {
		c.waitErr = err
	}
	c.state <- cmd.ProcessState
}

func (c *child) killGroup() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.reaped {
		_ = unix.Kill(-c.pid, unix.SIGKILL)
	}
}

// handlerErrors keeps the first error of the output handlers.
type handlerErrors struct {
	mu  sync.Mutex
	err error
}

func (h *handlerErrors) add(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.err == nil {
		h.err = err
	}
}

func (h *handlerErrors) first() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.err
}

func closeAll(files []*os.File) {
	for _, f := range files {
		_ = f.Close()
	}
}
