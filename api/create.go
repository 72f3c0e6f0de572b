package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strings"
	"time"

	"millrace/cluster"
	"millrace/job"
	"millrace/storage"
)

// createRequest is a checked request for a job, with the defaults filled in.
// Its JSON is what an idempotency key stands for, so its field names and their
// order never change.
type createRequest struct {
	Input           string           `json:"input"` // with its secrets
	Output          string           `json:"output"`
	Resolutions     []job.Resolution `json:"resolutions"`
	ClientMetadata  json.RawMessage  `json:"client_metadata"`
	Outputs         []job.OutputKind `json:"outputs"`
	Codec           job.Codec        `json:"codec"`
	Quality         job.Quality      `json:"quality"`
	Priority        int              `json:"priority"`
	SegmentDuration time.Duration    `json:"segment_duration"`
	Requires        []string         `json:"requires,omitempty"`
	Prefer          job.Preference   `json:"prefer,omitempty"`
	Deadline        time.Time        `json:"deadline,omitzero"`

	input, output         storage.Location
	inputText, outputText string // as they came
	idempotencyKey        string
}

func (s *Server) createJob(c *call) error {
	if wait := s.rates.take(c.org(), s.config.Now()); wait > 0 {
		return &problem{code: "rate_limited", retryAfter: wait,
			detail: fmt.Sprintf("The organisation creates more than %v jobs per second; wait a moment.", s.config.CreateRate)}
	}
	body, err := readBody(c.w, c.r)
	if err != nil {
		return err
	}
	request, err := s.readCreateRequest(body, c.r.Header)
	if err != nil {
		return err
	}
	now := s.config.Now().UTC()
	if err := s.checkDeadline(c, request, now); err != nil {
		return err
	}
	id, err := job.NewID(s.config.Random)
	if err != nil {
		return err
	}
	spec, err := s.spec(request)
	if err != nil {
		return err
	}
	command := cluster.CreateJob{ID: id, Org: c.org(), Spec: spec, At: now}
	if request.idempotencyKey != "" {
		command.IdempotencyKey, command.RequestHash = request.idempotencyKey, request.hash()
	}
	created, err := propose[*job.Job](c.r.Context(), s, command)
	if err != nil {
		return err
	}
	c.w.Header().Set("Location", fmt.Sprintf("/api/v1/%s/transcoding_jobs/%s/", c.org(), created.ID))
	return s.writeJSON(c, http.StatusCreated, job.NewView(asCreated(created), job.Progress{}))
}

// asCreated is the job as it was when it was made, so that a request that is
// repeated under its idempotency key gets the very same answer.
func asCreated(j *job.Job) *job.Job {
	return &job.Job{ID: j.ID, Org: j.Org, Spec: j.Spec, Status: job.Queued, Created: j.Created, Run: 1, Revision: j.Revision}
}

// propose commits a command and returns what it answers.
func propose[T any](ctx context.Context, s *Server, command cluster.Command) (T, error) {
	answer, err := s.config.State.Propose(ctx, command)
	if err != nil {
		var none T
		return none, fmt.Errorf("%s: %w", command.Name(), err)
	}
	typed, is := answer.(T)
	if !is {
		return typed, fmt.Errorf("%s answered a %T", command.Name(), answer)
	}
	return typed, nil
}

// readCreateRequest reads the body of a request for a job and checks it; every
// field that is wrong is told at once.
func (s *Server) readCreateRequest(body []byte, header http.Header) (*createRequest, error) {
	fields, wrong, err := decodeObject(body, s.createRules)
	if err != nil {
		return nil, err
	}
	request := &createRequest{
		ClientMetadata: json.RawMessage("{}"), Outputs: []job.OutputKind{job.HLS, job.DASH},
		Codec: job.H264, Quality: job.Standard, SegmentDuration: 4 * time.Second,
	}
	var enableDRM bool
	var inputURL, inputPath, outputPath string
	var seconds float64
	for name, into := range map[string]any{
		"input_url": &inputURL, "input_path": &inputPath, "output_path": &outputPath,
		"enable_drm": &enableDRM, "outputs": &request.Outputs, "codec": &request.Codec, "quality": &request.Quality,
		"segment_duration": &seconds, "requires": &request.Requires, "prefer": &request.Prefer, "idempotency_key": &request.idempotencyKey,
	} {
		if raw, given := fields[name]; given && wrong[name] == nil {
			if err := json.Unmarshal(raw, into); err != nil {
				wrong.add(name, "This can't be read.")
			}
		}
	}
	if raw, given := fields["priority"]; given && wrong["priority"] == nil {
		request.Priority = wholeNumber(raw)
	}
	if seconds > 0 {
		request.SegmentDuration = time.Duration(math.Round(seconds*1000)) * time.Millisecond
	}
	request.readResolutions(fields["resolutions"], wrong)
	if raw, given := fields["client_metadata"]; given && wrong["client_metadata"] == nil && kindOf(bytes.TrimSpace(raw)) == "object" {
		var compact bytes.Buffer
		_ = json.Compact(&compact, raw) // it is valid JSON
		request.ClientMetadata = compact.Bytes()
	}
	if enableDRM {
		wrong.add("enable_drm", "DRM is not available; leave it out or set it to false.")
	}
	s.readInput(request, fields, inputURL, inputPath, wrong)
	if _, given := fields["output_path"]; given && wrong["output_path"] == nil {
		s.readOutput(request, outputPath, wrong)
	}
	request.readIdempotencyKey(header, wrong)
	request.readPlacing(fields["deadline"], s.config.Now(), wrong)
	return request, wrong.problem()
}

func (r *createRequest) readResolutions(raw json.RawMessage, wrong fieldErrors) {
	if raw == nil || wrong["resolutions"] != nil {
		return
	}
	var names []string
	_ = json.Unmarshal(raw, &names) // the schema has seen that it is a list of strings
	for _, name := range names {
		resolution, err := job.ParseResolution(name)
		if err != nil {
			wrong.add("resolutions", "%s is not a valid choice.", quote(name))
			return
		}
		r.Resolutions = append(r.Resolutions, resolution)
	}
}

// readInput takes the source from input_url or from input_path, as which the
// original API's pages have it too.
func (s *Server) readInput(request *createRequest, fields map[string]json.RawMessage, inputURL, inputPath string, wrong fieldErrors) {
	_, byURL := fields["input_url"]
	_, byPath := fields["input_path"]
	name, text := "input_url", inputURL
	switch {
	case !byURL && !byPath:
		wrong.add("input_url", "This field is required.")
		return
	case wrong["input_url"] != nil || wrong["input_path"] != nil:
		return
	case byURL && byPath && inputURL != inputPath:
		wrong.add("input_path", "This differs from input_url; send one of the two.")
		return
	case !byURL:
		name, text = "input_path", inputPath
	}
	location, err := storage.ParseInput(text)
	if err == nil {
		err = s.config.Locations.CheckInput(location)
	}
	if err != nil {
		wrong.add(name, "%s", locationSentence(err))
		return
	}
	request.input, request.inputText, request.Input = location, text, location.String()
}

func (s *Server) readOutput(request *createRequest, text string, wrong fieldErrors) {
	location, err := storage.ParseOutput(text)
	if err == nil {
		err = s.config.Locations.CheckOutput(location)
	}
	if err != nil {
		wrong.add("output_path", "%s", locationSentence(err))
		return
	}
	request.output, request.outputText, request.Output = location, text, location.String()
}

// locationSentence says what is wrong with a location: the parsers' errors and
// those of Locations are sentences for clients.
func locationSentence(err error) string {
	if failure := (*job.Failure)(nil); errors.As(err, &failure) {
		return failure.Message
	}
	return err.Error()
}

// readIdempotencyKey takes the key from the body or from the header
// Idempotency-Key.
func (r *createRequest) readIdempotencyKey(header http.Header, wrong fieldErrors) {
	inBody := r.idempotencyKey
	if inHeader := header.Values("Idempotency-Key"); len(inHeader) > 0 {
		r.idempotencyKey = strings.Trim(inHeader[0], `"`) // the draft standard quotes it
		if len(inHeader) > 1 || inBody != "" && inBody != r.idempotencyKey {
			wrong.add("idempotency_key", "The keys in the header and the body differ; send one.")
			return
		}
		if r.idempotencyKey == "" {
			wrong.add("idempotency_key", "The header Idempotency-Key may not be blank.")
		}
	}
	const longest = 255 // characters, as openapi.json has it
	if len(r.idempotencyKey) > longest {
		wrong.add("idempotency_key", "This has %d characters; the limit is %d.", len(r.idempotencyKey), longest)
	}
	if strings.ContainsFunc(r.idempotencyKey, func(c rune) bool { return c < ' ' || c > '~' }) {
		wrong.add("idempotency_key", "This may only have printable ASCII characters.")
	}
}

// hash is the same for two requests for the same job.
func (r *createRequest) hash() string {
	canonical, err := json.Marshal(r)
	if err != nil {
		panic(err) // it was read from JSON
	}
	sum := sha256.Sum256(canonical)
	return hex.EncodeToString(sum[:])
}

// spec is the request as the state keeps it, its secrets sealed.
func (s *Server) spec(r *createRequest) (job.Spec, error) {
	input, err := s.seal(r.input, r.inputText, InputContext)
	if err != nil {
		return job.Spec{}, fmt.Errorf("seal the source: %w", err)
	}
	output, err := s.seal(r.output, r.outputText, OutputContext)
	if err != nil {
		return job.Spec{}, fmt.Errorf("seal the output path: %w", err)
	}
	return job.Spec{
		Input: input, Output: output, Resolutions: r.Resolutions, ClientMetadata: r.ClientMetadata,
		Outputs: r.Outputs, Codec: r.Codec, Quality: r.Quality, Priority: r.Priority, SegmentDuration: r.SegmentDuration,
		Requires: r.Requires, Prefer: r.Prefer, Deadline: r.Deadline,
	}, nil
}

// seal hides a location's secrets. Without any it is shown as it was posted.
func (s *Server) seal(location storage.Location, text, context string) (job.Location, error) {
	if !location.Secret() {
		return job.Location{URL: text}, nil
	}
	sealed, err := s.config.Sealer.Seal([]byte(location.String()), context)
	return job.Location{URL: location.Redacted(), Sealed: sealed}, err
}
