package cmaf

import "millrace/job"

// mismatch is what every check of the encoder's output answers with.
func mismatch(format string, args ...any) *job.Failure {
	return job.Fail(job.EncoderOutputMismatch, format, args...)
}
