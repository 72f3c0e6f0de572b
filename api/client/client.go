// Package client is a typed client of Millrace's REST API, for the command
// line and for Go programs. A peer's refusals come back as [*Problem], found
// with errors.As.
//
//	c, err := client.New("http://127.0.0.1:8080", key, "default")
//	submitted, err := c.CreateJob(ctx, client.CreateRequest{InputURL: …, OutputPath: …, Resolutions: …})
//	err = c.Watch(ctx, submitted.ID, func(j job.View) { fmt.Println(j.Status, j.Progress) })
//
// Several peers may be named, with commas between them. The client stays with
// one as long as that answers, and goes to the next when it can't be reached or
// says 503: with every request that may be sent twice, and with any other if it
// surely wasn't sent.
//
// A Client is safe for concurrent use and starts no goroutine.
package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
)

const (
	// maxAnswer bounds the body of an answer that is read whole: a page of 100
	// jobs with all their tasks stays well below it.
	maxAnswer = 64 << 20
	// answerTimeout is the longest that one call waits for an answer's
	// headers. A peer gives up on a request of its own after 15 s.
	answerTimeout = 30 * time.Second
)

// dialTimeout is the longest that one connection may take to be made: a
// machine that is gone doesn't say so, and another peer may be up.
const dialTimeout = 5 * time.Second

// Client calls a cluster's peers on behalf of one organisation.
type Client struct {
	servers []*url.URL // scheme, host and the path before /api/, if any
	at      atomic.Int32
	key     string
	org     string
	http    *http.Client
}

// New makes a client of the peer at server ("http://host:8080"), or of several
// with commas between them, that sends key and works for the organisation org.
// It doesn't connect yet.
func New(server, key, org string) (*Client, error) {
	c := &Client{key: key, org: org}
	for address := range strings.SplitSeq(server, ",") {
		base, err := parseServer(strings.TrimSpace(address))
		if err != nil {
			return nil, err
		}
		c.servers = append(c.servers, base)
	}
	switch {
	case org == "":
		return nil, errors.New("the organisation is empty")
	case strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r > '~' }):
		return nil, errors.New("the API key has a space, a line break or a character that no key has")
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DialContext = (&net.Dialer{Timeout: dialTimeout}).DialContext
	transport.ResponseHeaderTimeout = answerTimeout
	c.http = &http.Client{
		Transport: transport,
		// The API never redirects; following one would hand the key to whoever sent it.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c, nil
}

func parseServer(address string) (*url.URL, error) {
	base, err := url.Parse(strings.TrimRight(address, "/"))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read the server's address: %w", err)
	case base.Scheme != "http" && base.Scheme != "https" || base.Host == "":
		return nil, fmt.Errorf("the server's address %q is not like http://host:8080", address)
	case base.RawQuery != "" || base.Fragment != "":
		return nil, fmt.Errorf("the server's address %q has more than a host and a path", address)
	}
	return base, nil
}

// Ready asks whether the peer takes jobs: nil, a *Problem that says why not,
// or the error of reaching it.
func (c *Client) Ready(ctx context.Context) error {
	return c.do(ctx, http.MethodGet, path("readyz"), nil, nil, nil)
}

// CloseIdleConnections gives back connections that no call uses now.
func (c *Client) CloseIdleConnections() { c.http.CloseIdleConnections() }

// path is an address on whichever server; its elements are escaped.
func path(elements ...string) *url.URL {
	address := &url.URL{Path: "/"}
	for _, element := range elements {
		address = address.JoinPath(url.PathEscape(element))
	}
	return address
}

// orgURL is the address of something of the organisation's, with the trailing
// slash of the API's own spelling.
func (c *Client) orgURL(elements ...string) *url.URL {
	return path(append([]string{"api", "v1", c.org}, elements...)...).JoinPath("/")
}

// do sends one request with an optional JSON body and reads the JSON answer
// into out, unless that is nil.
func (c *Client) do(ctx context.Context, method string, address *url.URL, header http.Header, in, out any) error {
	return c.exchange(ctx, method, address, header, in, out, method != http.MethodPost)
}

// postTwice is do for a POST that does no harm when it arrives twice.
func (c *Client) postTwice(ctx context.Context, address *url.URL, in, out any) error {
	return c.exchange(ctx, http.MethodPost, address, nil, in, out, true)
}

func (c *Client) exchange(ctx context.Context, method string, address *url.URL, header http.Header, in, out any, twice bool) error {
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return fmt.Errorf("write the request: %w", err)
		}
	}
	response, err := c.send(ctx, method, address, header, body, twice)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	answer := io.LimitReader(response.Body, maxAnswer)
	if response.StatusCode/100 != 2 {
		return readProblem(response, answer)
	}
	if out == nil {
		_, err = io.Copy(io.Discard, answer) // so that the connection is used again
		return err
	}
	if err := json.NewDecoder(answer).Decode(out); err != nil {
		return fmt.Errorf("read the answer of %s %s: %w", method, address.Path, err)
	}
	return nil
}
