// Package client is a typed client of Millrace's REST API, for the command
// line and for Go programs. A peer's refusals come back as [*Problem], found
// with errors.As.
//
//	c, err := client.New("http://127.0.0.1:8080", key, "default")
//	submitted, err := c.CreateJob(ctx, client.CreateRequest{InputURL: …, OutputPath: …, Resolutions: …})
//	err = c.Watch(ctx, submitted.ID, func(j job.View) { fmt.Println(j.Status, j.Progress) })
//
// A Client is safe for concurrent use and starts no goroutine.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
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

// Client calls one peer on behalf of one organisation.
type Client struct {
	base *url.URL // scheme, host and the path before /api/, if any
	key  string
	org  string
	http *http.Client
}

// New makes a client of the peer at server ("http://host:8080"), that sends
// key and works for the organisation org. It doesn't connect yet.
func New(server, key, org string) (*Client, error) {
	base, err := url.Parse(strings.TrimRight(server, "/"))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read the server's address: %w", err)
	case base.Scheme != "http" && base.Scheme != "https" || base.Host == "":
		return nil, fmt.Errorf("the server's address %q is not like http://host:8080", server)
	case base.RawQuery != "" || base.Fragment != "":
		return nil, fmt.Errorf("the server's address %q has more than a host and a path", server)
	case org == "":
		return nil, errors.New("the organisation is empty")
	case strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r > '~' }):
		return nil, errors.New("the API key has a space, a line break or a character that no key has")
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.ResponseHeaderTimeout = answerTimeout
	return &Client{base: base, key: key, org: org, http: &http.Client{
		Transport: transport,
		// The API never redirects; following one would hand the key to whoever sent it.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// Ready asks whether the peer takes jobs: nil, a *Problem that says why not,
// or the error of reaching it.
func (c *Client) Ready(ctx context.Context) error {
	return c.do(ctx, http.MethodGet, c.base.JoinPath("readyz"), nil, nil, nil)
}

// CloseIdleConnections gives back connections that no call uses now.
func (c *Client) CloseIdleConnections() { c.http.CloseIdleConnections() }

// orgURL is the address of something of the organisation's, with the trailing
// slash of the API's own spelling.
func (c *Client) orgURL(elements ...string) *url.URL {
	address := c.base.JoinPath("api", "v1", url.PathEscape(c.org))
	for _, element := range elements {
		address = address.JoinPath(url.PathEscape(element))
	}
	return address.JoinPath("/")
}

// do sends one request with an optional JSON body and reads the JSON answer
// into out, unless that is nil.
func (c *Client) do(ctx context.Context, method string, address *url.URL, header http.Header, in, out any) error {
	var body io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("write the request: %w", err)
		}
		body = bytes.NewReader(text)
	}
	response, err := c.send(ctx, method, address, header, body)
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

func (c *Client) send(ctx context.Context, method string, address *url.URL, header http.Header, body io.Reader) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, address.String(), body)
	if err != nil {
		return nil, fmt.Errorf("make the request: %w", err)
	}
	for name, values := range header {
		request.Header[name] = values
	}
	if c.key != "" {
		request.Header.Set("Authorization", "Token "+c.key)
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, fmt.Errorf("reach %s: %w", c.base.Host, err)
	}
	return response, nil
}
