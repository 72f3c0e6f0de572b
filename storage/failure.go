package storage

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"

	"millrace/job"
)

// side is which end of a job a store stands at: it decides the codes and the
// words of its failures.
type side struct {
	noun          string
	notFound      job.Code
	bucketMissing job.Code
	denied        job.Code
	unreachable   job.Code
	disallowed    job.Code
	timeout       job.Code
}

var (
	inputSide = side{
		"source", job.InputNotFound, job.InputNotFound, job.InputAccessDenied,
		job.InputUnreachable, job.InputDisallowed, job.InputTimeout,
	}
	outputSide = side{
		"output", job.OutputVerification, job.OutputBucketNotFound, job.OutputAccessDenied,
		job.OutputUnreachable, job.OutputDisallowed, job.OutputUnreachable,
	}
)

// transport turns an error of connecting or transferring into what Retry.run
// understands. name is where, without secrets. ctx is the request's own
// context: its cause tells a stall from a caller that left.
func (d side) transport(ctx context.Context, name string, err error) error {
	var (
		failure  *job.Failure
		passing  *transient
		blocked  *BlockedError
		redirect *RedirectError
		dns      *net.DNSError
		cert     *tls.CertificateVerificationError
		host     x509.HostnameError
	)
	switch {
	case err == nil:
		return nil
	case errors.Is(context.Cause(ctx), errStalled), errors.Is(err, errStalled):
		return &transient{failure: job.Fail(d.timeout, "%s: the server sent too little for too long.", name)}
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.As(err, &passing), errors.As(err, &failure):
		return err
	case errors.As(err, &blocked):
		// Without the address: users don't learn what the operator's names resolve to.
		return job.Fail(d.disallowed, "%s: its address is not allowed: %s.", name, blocked.Reason)
	case errors.As(err, &redirect):
		return job.Fail(d.disallowed, "%s: %s.", name, redirect)
	case errors.As(err, &dns) && dns.IsNotFound:
		return job.Fail(d.unreachable, "%s: there is no host of that name.", name)
	case errors.As(err, &cert), errors.As(err, &host):
		return job.Fail(d.unreachable, "%s: the server's certificate is not valid: %s.", name, reason(err))
	case errors.Is(err, io.ErrUnexpectedEOF):
		return &transient{failure: job.Fail(d.unreachable, "%s: the connection ended before all announced bytes had come.", name)}
	}
	return &transient{failure: job.Fail(d.unreachable, "%s: %s.", name, reason(err))}
}

// status turns an HTTP status that is no success into a failure.
func (d side) status(name string, code int, header http.Header, detail string) error {
	said := fmt.Sprintf("the server answered %d %s", code, http.StatusText(code))
	if detail != "" {
		said += " (" + detail + ")"
	}
	switch {
	case code == http.StatusNotFound || code == http.StatusGone:
		return job.Fail(d.notFound, "%s: %s.", name, said)
	case code == http.StatusRequestTimeout || code == http.StatusTooEarly ||
		code == http.StatusTooManyRequests || code >= 500:
		return &transient{failure: job.Fail(d.unreachable, "%s: %s.", name, said), after: retryAfter(header)}
	case code >= 400:
		return job.Fail(d.denied, "%s: %s.", name, said)
	}
	return job.Fail(d.unreachable, "%s: %s, which has no meaning here.", name, said)
}

// reason is the innermost words of a network error. url.Error and its like
// quote the whole URL, signature and all, so they are peeled off.
func reason(err error) string {
	for {
		var wrapped *url.Error
		if !errors.As(err, &wrapped) {
			break
		}
		err = wrapped.Err
	}
	var op *net.OpError
	if errors.As(err, &op) {
		return printable(op.Op + ": " + op.Err.Error())
	}
	return printable(err.Error())
}

// printable makes foreign text fit for a message: one line, no control
// characters, no end stop, at most 300 bytes.
func printable(text string) string {
	const most = 300
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return strings.TrimRight(text, ". ")
}

// asFailure is the *job.Failure in err, made an InternalError where there is
// none. Don't ask it about the end of a context.
func asFailure(err error) *job.Failure {
	var failure *job.Failure
	if errors.As(err, &failure) {
		return failure
	}
	return job.Fail(job.InternalError, "%s.", printable(err.Error()))
}

// abortTimeout bounds what is done to tidy up after the caller has left.
const abortTimeout = 15 * time.Second
