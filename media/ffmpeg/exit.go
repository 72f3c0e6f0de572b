package ffmpeg

import (
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"millrace/job"
)

// exitError says why a run failed that nobody here stopped; nil if it did not.
func exitError(state *os.ProcessState, logs *log, maxBytes int64) error {
	if state == nil || state.Success() {
		return nil
	}
	if signal := exitSignal(state); signal != 0 {
		if signal == unix.SIGXFSZ {
			return tooMuch(maxBytes)
		}
		// Whatever the log says, a signal is not the log's reason.
		return job.Fail(job.EncoderFailed, "ffmpeg was %s", exitWords(state))
	}
	text := logs.text()
	if f := Classify(text); f != nil {
		return f
	}
	return job.Fail(job.EncoderFailed, "ffmpeg %s: %s", exitWords(state), logs.lastLine())
}

// exitWords says how a process ended: "exited with status 1", "killed by
// SIGKILL (out of memory?)".
func exitWords(state *os.ProcessState) string {
	if state == nil {
		return "did not start"
	}
	signal := exitSignal(state)
	if signal == 0 {
		return fmt.Sprintf("exited with status %d", state.ExitCode())
	}
	name := unix.SignalName(signal)
	if name == "" {
		name = fmt.Sprintf("signal %d", signal)
	}
	switch signal {
	case unix.SIGKILL:
		return "killed by " + name + " (out of memory?)"
	case unix.SIGSEGV, unix.SIGBUS, unix.SIGILL, unix.SIGFPE, unix.SIGABRT:
		return "killed by " + name + " (it crashed)"
	case unix.SIGSYS:
		return "killed by " + name + " (it made a system call that the sandbox forbids)"
	}
	return "killed by " + name
}

// exitSignal is the signal that ended a process, 0 if none did.
func exitSignal(state *os.ProcessState) syscall.Signal {
	status, ok := state.Sys().(syscall.WaitStatus)
	if !ok || status.Signal() < 0 { // -1 for a process that exited
		return 0
	}
	return status.Signal()
}
