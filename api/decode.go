package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"unicode/utf8"
)

const (
	// maxBody is the largest body that is read, in bytes: a hundred times the
	// largest that makes sense.
	maxBody = 1 << 20
	// maxDepth is how deep a body's JSON may nest.
	maxDepth = 32
)

// readBody reads a request's body if it is, or doesn't say that it isn't, JSON.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if err := checkContentType(r); err != nil {
		return nil, err
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, newProblem("body_too_large", "The body has more than %d bytes.", maxBody)
	case err != nil:
		// The reason is the client's own connection; it can do without it.
		return nil, newProblem("invalid_json", "The body ended early or came too slowly.")
	}
	return body, nil
}

func checkContentType(r *http.Request) error {
	given := r.Header.Get("Content-Type")
	if given == "" {
		return nil
	}
	kind, params, err := mime.ParseMediaType(given)
	if err != nil || kind != "application/json" && !strings.HasSuffix(kind, "+json") {
		return newProblem("unsupported_media_type", "The body's type must be application/json, not %s.", quote(given))
	}
	if charset, named := params["charset"]; named && !strings.EqualFold(charset, "utf-8") {
		return newProblem("unsupported_media_type", "The body's charset must be UTF-8, not %s.", quote(charset))
	}
	return nil
}

// decodeObject reads a body that must be one JSON object and checks it against
// its schema. The values come back by field, as written; wrong holds what the
// schema says about them, to which the caller adds. The error is for a body
// that has no fields to speak of.
func decodeObject(body []byte, rules *schema) (fields map[string]json.RawMessage, wrong fieldErrors, err error) {
	if !utf8.Valid(body) {
		return nil, nil, newProblem("invalid_json", "The body is not valid UTF-8.")
	}
	if err := checkSyntax(body); err != nil {
		return nil, nil, err
	}
	wrong = fieldErrors{}
	if err := checkTokens(body, wrong); err != nil {
		return nil, nil, err
	}
	if err := json.Unmarshal(body, &fields); err != nil || fields == nil {
		return nil, nil, newProblem("invalid_json", "The body must be a JSON object, in braces.")
	}
	rules.checkFields(fields, wrong)
	return fields, wrong, nil
}

func checkSyntax(body []byte) error {
	if len(bytes.TrimSpace(body)) == 0 {
		return newProblem("invalid_json", "The body is empty; it must be a JSON object.")
	}
	var whole json.RawMessage
	err := json.Unmarshal(body, &whole)
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &syntax):
		return newProblem("invalid_json", "The body is not JSON: %s (at byte %d).", syntax.Error(), syntax.Offset)
	case err != nil:
		return newProblem("invalid_json", "The body is not JSON.")
	}
	return nil
}

// checkTokens finds what a JSON parser lets pass and programs disagree about:
// duplicate keys, and nesting so deep that it can only be meant to hurt.
func checkTokens(body []byte, wrong fieldErrors) error {
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber() // so that 1e999, a legal number, is read
	var open []*level
	top := "" // the field of the body that is being read
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return newProblem("invalid_json", "The body is not JSON.")
		}
		var at *level
		if len(open) > 0 {
			at = open[len(open)-1]
		}
		if name, isText := token.(string); isText && at != nil && at.wantsKey {
			if len(open) == 1 {
				top = name
			}
			if at.seen[name] {
				wrong.add(top, "%s", duplicate(name, len(open)))
			}
			at.seen[name] = true
			at.wantsKey = false
			continue
		}
		switch token {
		case json.Delim('{'):
			open = append(open, &level{object: true, wantsKey: true, seen: map[string]bool{}})
		case json.Delim('['):
			open = append(open, &level{})
		case json.Delim('}'), json.Delim(']'):
			open = open[:len(open)-1]
		}
		if len(open) > maxDepth {
			return newProblem("invalid_json", "The body nests deeper than %d levels.", maxDepth)
		}
		if opened := token == json.Delim('{') || token == json.Delim('['); !opened && len(open) > 0 {
			open[len(open)-1].wantsKey = open[len(open)-1].object
		}
	}
}

// level is one object or array that is being read.
type level struct {
	object   bool
	wantsKey bool // the next token is a key or the end
	seen     map[string]bool
}

func duplicate(name string, depth int) string {
	if depth == 1 {
		return "This field stands in the body twice."
	}
	return fmt.Sprintf("The key %s stands in one object twice.", quote(name))
}
