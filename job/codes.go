package job

import "fmt"

// Code names a cause of failure. It is stable: clients act on it.
type Code string

// Blame says whose fault a failure is, and so what is done about it.
type Blame string

// Who can cure a failure.
const (
	// BlameInput: every node would fail the same way; the job ends at once.
	BlameInput Blame = "input"
	// BlameStore: the source's or output's store; retried, then the job ends.
	BlameStore Blame = "store"
	// BlameNode: this node or device; tried elsewhere.
	BlameNode Blame = "node"
	// BlameUnknown: tried again up to MaxFailures times.
	BlameUnknown Blame = "unknown"
)

// The codes that a job can end in. CodeTable has cause and cure of each.
const (
	InputNotFound         Code = "input_not_found"
	InputAccessDenied     Code = "input_access_denied"
	InputUnreachable      Code = "input_unreachable"
	InputDisallowed       Code = "input_disallowed"
	InputTimeout          Code = "input_timeout"
	InputChanged          Code = "input_changed"
	InputTruncated        Code = "input_truncated"
	InputEmpty            Code = "input_empty"
	InputTooLarge         Code = "input_too_large"
	MediaNotRecognised    Code = "media_not_recognised"
	MediaCorrupt          Code = "media_corrupt"
	MediaEncrypted        Code = "media_encrypted"
	NoVideoStream         Code = "no_video_stream"
	UnsupportedContainer  Code = "unsupported_container"
	UnsupportedCodec      Code = "unsupported_codec"
	LimitExceeded         Code = "limit_exceeded"
	OutputAccessDenied    Code = "output_access_denied"
	OutputBucketNotFound  Code = "output_bucket_not_found"
	OutputUnreachable     Code = "output_unreachable"
	OutputDisallowed      Code = "output_disallowed"
	OutputVerification    Code = "output_verification_failed"
	EncoderFailed         Code = "encoder_failed"
	EncoderStalled        Code = "encoder_stalled"
	EncoderOutputMismatch Code = "encoder_output_mismatch"
	HardwareUnavailable   Code = "hw_unavailable"
	HardwareSessions      Code = "hw_session_limit"
	HardwareMemory        Code = "hw_out_of_memory"
	HardwareLost          Code = "hw_device_lost"
	HardwareUnsupported   Code = "hw_unsupported"
	HardwareDriver        Code = "hw_driver"
	WorkerDiskFull        Code = "worker_disk_full"
	WorkerLost            Code = "worker_lost"
	InternalError         Code = "internal_error"
)

// CodeInfo is a code's line in docs/errors.md.
type CodeInfo struct {
	Code  Code
	Blame Blame
	Cause string // what it means
	Cure  string // what the reader should do; shown as the error's hint
}

// CodeTable lists every code. docs/errors.md is generated from it.
var CodeTable = []CodeInfo{
	{InputNotFound, BlameInput, "The source does not exist: the server answered 404 or 410, the bucket or key is not there, or no such file is under a source root.", "Check input_url, and that it has not expired."},
	{InputAccessDenied, BlameInput, "The source's server refused access (401 or 403).", "Check the credentials or the signature in input_url, and the object's permissions."},
	{InputUnreachable, BlameStore, "The source's server could not be reached or kept failing: name not found, connection refused, TLS failure, or 5xx until the retry budget was spent.", "Check that the host is up and reachable from the cluster's machines, then retry the job."},
	{InputDisallowed, BlameInput, "The source's address is not allowed: a loopback, link-local, private or metadata address, a forbidden scheme, or a file outside the source roots.", "Use a public address, or ask the operator to allow this one (--allow-source-network, --source-root)."},
	{InputTimeout, BlameStore, "The source sent no bytes, or too few, for too long.", "Check the source's server, then retry the job."},
	{InputChanged, BlameInput, "The source changed while it was being read (its ETag, modification time or size is not what it was).", "Post the job again once the file is complete and no longer written to."},
	{InputTruncated, BlameInput, "The source ends before the pictures that its header promises.", "Upload the whole file and post the job again."},
	{InputEmpty, BlameInput, "The source has no bytes.", "Upload the file again: it is empty."},
	{InputTooLarge, BlameInput, "The source has more bytes than this cluster accepts.", "Ask the operator to raise --max-source-bytes, or use a smaller file."},
	{MediaNotRecognised, BlameInput, "The source is not a video file that ffmpeg recognises.", "Check that input_url is the video itself and not a page or an archive."},
	{MediaCorrupt, BlameInput, "The source looks like a video, but can't be decoded: its header or index is missing or damaged.", "Play the file locally; if it doesn't play, export or upload it again."},
	{MediaEncrypted, BlameInput, "The source is encrypted (DRM).", "Use the unencrypted original."},
	{NoVideoStream, BlameInput, "The source has no moving pictures: it is audio, or its only picture is a cover.", "Use a file with a video stream."},
	{UnsupportedContainer, BlameInput, "The source's container is not one that this cluster opens: a playlist, a script or a rare format.", "Convert it to MP4, MOV, MKV, WebM, MPEG-TS, MPEG-PS, AVI, FLV, ASF, MXF or Ogg."},
	{UnsupportedCodec, BlameInput, "The source's video codec is not one that this cluster decodes.", "Convert it to a common codec such as H.264."},
	{LimitExceeded, BlameInput, "The source is larger than the limits for pixels, frames, duration, rate or streams.", "Use a smaller source, or ask the operator to raise the limit that the message names."},
	{OutputAccessDenied, BlameInput, "The output store refused to let us write.", "Check the credentials and the permissions on output_path, then retry the job."},
	{OutputBucketNotFound, BlameInput, "The output bucket does not exist.", "Create the bucket, or correct output_path, then retry the job."},
	{OutputUnreachable, BlameStore, "The output store could not be reached or kept failing until the retry budget was spent.", "Check the store, then retry the job: finished chunks are kept."},
	{OutputDisallowed, BlameInput, "The output path is not allowed: outside the output roots, through a symbolic link, or at a forbidden address.", "Use a path under an output root, or ask the operator to allow this one (--output-root, --allow-source-network)."},
	{OutputVerification, BlameUnknown, "What lies in the output store is not what was written there.", "Look for another program that writes to output_path, then retry the job."},
	{EncoderFailed, BlameUnknown, "ffmpeg ended with an error or was killed.", "See the attempts' last words in the job's tasks; retry the job."},
	{EncoderStalled, BlameUnknown, "ffmpeg made no progress for too long and was killed.", "See the attempts in the job's tasks; the source may be damaged where it stopped."},
	{EncoderOutputMismatch, BlameUnknown, "ffmpeg ended well but did not make the frames that the timeline promises.", "See the attempts in the job's tasks; the source may be damaged."},
	{HardwareUnavailable, BlameNode, "The device or encoder can't be used now.", "See the node's devices; the task goes to another by itself."},
	{HardwareSessions, BlameNode, "The device's driver opens no more encode sessions: its limit is reached, by Millrace or by another program.", "Nothing: Millrace learns the limit and tries again when a session is free. Stop other programs that encode on the device for more room."},
	{HardwareMemory, BlameNode, "The device's own memory is full.", "Stop other programs that use the device; the task goes elsewhere by itself."},
	{HardwareLost, BlameNode, "The device has stopped answering: it fell off the bus, was reset, or its driver was unloaded.", "See the node's kernel log; the task goes elsewhere by itself, and the device is tried again before it gets work."},
	{HardwareUnsupported, BlameNode, "The device can't decode or encode this kind of picture.", "Nothing: the next-best encoder is used."},
	{HardwareDriver, BlameNode, "A driver or one of its libraries is missing, too old, or doesn't fit the kernel's.", "Install the driver that the message names, or give the container its libraries; the next-best encoder is used meanwhile."},
	{WorkerDiskFull, BlameNode, "The node has no room for scratch files.", "Free space on the node's data disk; the task goes elsewhere by itself."},
	{WorkerLost, BlameNode, "The node stopped answering or restarted while it worked on this.", "Nothing: the task goes elsewhere by itself."},
	{InternalError, BlameUnknown, "Something in Millrace went wrong.", "Report it with the job's id and the peers' logs."},
}

var codeIndex = func() map[Code]CodeInfo {
	index := make(map[Code]CodeInfo, len(CodeTable))
	for _, info := range CodeTable {
		index[info.Code] = info
	}
	return index
}()

// Info is the code's line in CodeTable; an unknown code (from a newer peer) is
// treated like InternalError.
func (c Code) Info() CodeInfo {
	if info, ok := codeIndex[c]; ok {
		return info
	}
	return codeIndex[InternalError]
}

// PassesWithDevice says whether a failure is over once the task is away from a
// device that is lost or full for the moment: it doesn't count as one of the
// task's MaxFailures.
func (c Code) PassesWithDevice() bool { return c == HardwareSessions || c == HardwareLost }

// Failure is why an attempt or a job failed: a code to act on, a sentence that
// says what and where, and a hint that says what to do. It is an error; wrap
// it like one and find it again with errors.As.
type Failure struct {
	Code    Code   `json:"code"`
	Message string `json:"message"`
	Hint    string `json:"hint"`
}

// Fail makes a Failure with the code's own hint.
func Fail(code Code, format string, args ...any) *Failure {
	return &Failure{Code: code, Message: fmt.Sprintf(format, args...), Hint: code.Info().Cure}
}

func (f *Failure) Error() string { return string(f.Code) + ": " + f.Message }
