package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
)

// send sends a request to the server that answered last and, where that is
// possible, to the others in turn (see the package's comment). What comes back
// is the first answer that isn't 503, else a 503, else why none could be reached.
func (c *Client) send(ctx context.Context, method string, address *url.URL, header http.Header, body []byte, twice bool) (*http.Response, error) {
	var busy *http.Response // a 503
	var errs []error
	first := int(c.at.Load())
	for i := range c.servers {
		at := (first + i) % len(c.servers)
		response, err := c.sendTo(ctx, c.servers[at], method, address, header, body)
		switch {
		case err == nil && response.StatusCode != http.StatusServiceUnavailable:
			c.at.Store(int32(at))
			drop(busy)
			return response, nil
		case err == nil:
			drop(busy)
			busy = response
		default:
			errs = append(errs, err)
		}
		if ctx.Err() != nil || !twice && (err == nil || !neverSent(err)) {
			break
		}
	}
	if busy != nil {
		return busy, nil
	}
	return nil, errors.Join(errs...)
}

// neverSent says whether a request failed before a byte of it was sent.
func neverSent(err error) bool {
	var network *net.OpError
	return errors.As(err, &network) && network.Op == "dial"
}

func drop(response *http.Response) {
	if response != nil {
		_ = response.Body.Close()
	}
}

func (c *Client) sendTo(ctx context.Context, server *url.URL, method string, address *url.URL, header http.Header, body []byte) (*http.Response, error) {
	target := server.JoinPath(address.EscapedPath())
	target.RawQuery = address.RawQuery
	var reader io.Reader
	if body != nil {
		reader = bytes.NewReader(body)
	}
	request, err := http.NewRequestWithContext(ctx, method, target.String(), reader)
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
		return nil, fmt.Errorf("reach %s: %w", server.Host, err)
	}
	return response, nil
}
