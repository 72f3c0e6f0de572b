package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// schema is the part of JSON Schema that openapi.json uses for requests. The
// document is read strictly: a keyword that isn't here, and so wouldn't be
// enforced, is an error at start-up.
type schema struct {
	Type                 typeNames          `json:"type"`
	Enum                 []string           `json:"enum"`
	Minimum              *float64           `json:"minimum"`
	Maximum              *float64           `json:"maximum"`
	MinLength            *int               `json:"minLength"` // characters
	MaxLength            *int               `json:"maxLength"`
	MinItems             *int               `json:"minItems"`
	MaxItems             *int               `json:"maxItems"`
	UniqueItems          bool               `json:"uniqueItems"`
	Items                *schema            `json:"items"`
	Properties           map[string]*schema `json:"properties"`
	Required             []string           `json:"required"`
	AdditionalProperties *bool              `json:"additionalProperties"`
	// MaxBytes is ours: the most bytes of the value's JSON without spaces.
	MaxBytes *int `json:"x-max-bytes"`

	// For readers of the document only.
	Description string            `json:"description"`
	Title       string            `json:"title"`
	Default     json.RawMessage   `json:"default"`
	Examples    []json.RawMessage `json:"examples"`
	Format      string            `json:"format"`
	// AnyOf says that one of two fields is needed, which createJob checks.
	AnyOf []json.RawMessage `json:"anyOf"`
}

// typeNames is the types that a value may have.
type typeNames []string

// UnmarshalJSON reads "string" or ["string", "null"].
func (t *typeNames) UnmarshalJSON(text []byte) error {
	var one string
	if json.Unmarshal(text, &one) == nil {
		*t = typeNames{one}
		return nil
	}
	return json.Unmarshal(text, (*[]string)(t))
}

func (t typeNames) has(name string) bool { return slices.Contains(t, name) }

// loadSchema reads a schema of the document's components.
func loadSchema(document []byte, name string) (*schema, error) {
	var outline struct {
		Components struct {
			Schemas map[string]json.RawMessage `json:"schemas"`
		} `json:"components"`
	}
	if err := json.Unmarshal(document, &outline); err != nil {
		return nil, fmt.Errorf("read openapi.json: %w", err)
	}
	decoder := json.NewDecoder(bytes.NewReader(outline.Components.Schemas[name]))
	decoder.DisallowUnknownFields()
	var read schema
	if err := decoder.Decode(&read); err != nil {
		return nil, fmt.Errorf("read the schema %s in openapi.json: %w", name, err)
	}
	return &read, nil
}

// checkFields says what is wrong with each field of an object.
func (s *schema) checkFields(fields map[string]json.RawMessage, wrong fieldErrors) {
	for _, name := range s.Required {
		if _, given := fields[name]; !given {
			wrong.add(name, "This field is required.")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		rules, known := s.Properties[name]
		if !known {
			switch {
			case s.AdditionalProperties == nil || *s.AdditionalProperties:
			case len(s.Properties) == 0:
				wrong.add(name, "There is no such field; this request has none.")
			default:
				wrong.add(name, "There is no such field; the fields are %s.", strings.Join(slices.Sorted(maps.Keys(s.Properties)), ", "))
			}
			continue
		}
		if sentence := rules.check(fields[name]); sentence != "" {
			wrong.add(name, "%s", sentence)
		}
	}
}

// check says what is wrong with a value, "" if nothing is. The value is valid JSON.
func (s *schema) check(raw json.RawMessage) string {
	raw = bytes.TrimSpace(raw)
	kind := kindOf(raw)
	switch {
	case kind == "null" && !s.Type.has("null"):
		return "This field may not be null."
	case kind == "number" && s.Type.has("integer") && !s.Type.has("number"):
		if !isWhole(raw) {
			return "This must be a whole number."
		}
	case !s.Type.has(kind):
		return fmt.Sprintf("This must be %s, not %s.", article(s.Type[0]), article(kind))
	}
	if s.MaxBytes != nil {
		var compact bytes.Buffer
		if err := json.Compact(&compact, raw); err != nil || compact.Len() > *s.MaxBytes {
			return fmt.Sprintf("This has %d bytes; the limit is %d.", compact.Len(), *s.MaxBytes)
		}
	}
	switch kind {
	case "string":
		return s.checkText(raw)
	case "number":
		return s.checkNumber(raw)
	case "array":
		return s.checkItems(raw)
	}
	return ""
}

func (s *schema) checkText(raw json.RawMessage) string {
	var text string
	if err := json.Unmarshal(raw, &text); err != nil {
		return "This string can't be read."
	}
	length := utf8.RuneCountInString(text)
	switch {
	case s.MinLength != nil && length < *s.MinLength && text == "":
		return "This field may not be blank."
	case s.MinLength != nil && length < *s.MinLength:
		return fmt.Sprintf("This has %d characters; at least %d are needed.", length, *s.MinLength)
	case s.MaxLength != nil && length > *s.MaxLength:
		return fmt.Sprintf("This has %d characters; the limit is %d.", length, *s.MaxLength)
	case s.Enum != nil && !slices.Contains(s.Enum, text):
		return fmt.Sprintf("%s is not a valid choice; use one of %s.", quote(text), strings.Join(s.Enum, ", "))
	}
	return ""
}

func (s *schema) checkNumber(raw json.RawMessage) string {
	value, err := strconv.ParseFloat(string(raw), 64)
	if err != nil || s.Minimum != nil && value < *s.Minimum || s.Maximum != nil && value > *s.Maximum {
		switch {
		case s.Minimum != nil && s.Maximum != nil:
			return fmt.Sprintf("This must be between %v and %v.", *s.Minimum, *s.Maximum)
		case s.Minimum != nil:
			return fmt.Sprintf("This must be at least %v.", *s.Minimum)
		}
		return "This number is too large."
	}
	return ""
}

func (s *schema) checkItems(raw json.RawMessage) string {
	var items []json.RawMessage
	if err := json.Unmarshal(raw, &items); err != nil {
		return "This list can't be read."
	}
	switch {
	case s.MinItems != nil && len(items) < *s.MinItems && len(items) == 0:
		return "This list may not be empty."
	case s.MinItems != nil && len(items) < *s.MinItems:
		return fmt.Sprintf("This list has %d items; at least %d are needed.", len(items), *s.MinItems)
	case s.MaxItems != nil && len(items) > *s.MaxItems:
		return fmt.Sprintf("This list has %d items; the limit is %d.", len(items), *s.MaxItems)
	}
	seen := make(map[string]bool, len(items))
	for i, item := range items {
		if sentence := s.Items.check(item); sentence != "" {
			return fmt.Sprintf("Item %d: %s", i+1, sentence)
		}
		var value any
		_ = json.Unmarshal(item, &value) // valid JSON, as the whole body is
		key := fmt.Sprintf("%T %v", value, value)
		if s.UniqueItems && seen[key] {
			return fmt.Sprintf("Item %d: %s stands in the list twice.", i+1, quote(fmt.Sprint(value)))
		}
		seen[key] = true
	}
	return ""
}

// kindOf names the type of a JSON value by its first byte.
func kindOf(raw json.RawMessage) string {
	switch raw[0] {
	case '"':
		return "string"
	case '{':
		return "object"
	case '[':
		return "array"
	case 't', 'f':
		return "boolean"
	case 'n':
		return "null"
	}
	return "number"
}

// isWhole says whether a number has no fraction: 2, 2.0 and 2e1, as in JSON Schema.
func isWhole(raw json.RawMessage) bool {
	value, err := strconv.ParseFloat(string(raw), 64)
	return err != nil && math.IsInf(value, 0) || err == nil && value == math.Trunc(value)
}

// wholeNumber is the value of what the schema has seen to be one, or to be null,
// which is 0.
func wholeNumber(raw json.RawMessage) int {
	var number float64 // 2.0 and 2e0 are whole numbers too
	_ = json.Unmarshal(raw, &number)
	return int(number)
}

func article(kind string) string {
	switch kind {
	case "array":
		return "a list"
	case "object", "integer":
		return "an " + kind
	case "null":
		return "null"
	}
	return "a " + kind
}
