package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"millrace/api/client"
	"millrace/job"
)

// The exit codes. They are part of the contract with scripts and are listed in
// the help.
const (
	exitDone        = 0
	exitFailed      = 1   // the job ended in an error, or this program did
	exitUsage       = 2   // wrong usage, or the server refused the request
	exitCancelled   = 3   // the job was cancelled
	exitUnreachable = 4   // the server can't be reached, or takes no requests now
	exitInterrupted = 130 // a signal ended the wait; the job goes on
)

// usageError is a command line that can't be followed.
type usageError struct{ error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

func (e usageError) Unwrap() error { return e.error }

// jobError is a job that did not complete.
type jobError struct{ job job.View }

func (e *jobError) Error() string {
	if e.job.Status == job.Cancelled {
		return fmt.Sprintf("job %s was cancelled", e.job.ID)
	}
	text := fmt.Sprintf("job %s failed", e.job.ID)
	if f := e.job.Error; f != nil {
		text += fmt.Sprintf(" (%s): %s", f.Code, f.Message)
		if f.Hint != "" {
			text += "\n  " + f.Hint
		}
	}
	return text
}

// detached is a wait that a signal ended.
type detached struct{ id job.ID }

func (e *detached) Error() string {
	return fmt.Sprintf("stopped waiting; job %s goes on\n  millrace job %s --wait    to wait for it again\n  millrace cancel %s        to stop it", e.id, e.id, e.id)
}

// exitCode is what the program ends with after err.
func exitCode(err error) int {
	var (
		usage   usageError
		problem *client.Problem
		ended   *jobError
		left    *detached
		network *url.Error
	)
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &left), errors.Is(err, context.Canceled):
		return exitInterrupted
	case errors.As(err, &usage):
		return exitUsage
	case errors.Is(err, errUnhealthy):
		return exitUnreachable
	case errors.As(err, &ended) && ended.job.Status == job.Cancelled:
		return exitCancelled
	case errors.As(err, &problem) && problem.Temporary():
		return exitUnreachable
	case errors.As(err, &problem):
		return exitUsage
	case errors.As(err, &network):
		return exitUnreachable
	default:
		return exitFailed
	}
}

// hint says what to do about err, "" when the error itself has said it.
func hint(err error) string {
	var (
		problem *client.Problem
		network *url.Error
	)
	switch {
	case errors.As(err, &problem) && problem.Status == http.StatusUnauthorized:
		return "Check the key: --key-file (MILLRACE_KEY_FILE) names the file; a peer's first start writes admin.key into its data folder."
	case errors.As(err, &problem) && problem.Status == http.StatusNotFound:
		return "Check the id, and the organisation (--org): what belongs to another one isn't found."
	case errors.As(err, &problem) && problem.Temporary():
		return "Try again in a moment, or ask another peer (--server)."
	case errors.As(err, &network) && !errors.Is(err, context.Canceled):
		return "Check that a peer runs there (millrace serve), and its address: --server (MILLRACE_SERVER)."
	default:
		return ""
	}
}
