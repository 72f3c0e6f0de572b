package job

import "slices"

// Headers says which headers the chunks of a job's renditions have: those of the
// chunks that are encoded or that run, so that the others must have them too.
// Empty while there are none, or where nothing is known of theirs.
func (r Record) Headers() string {
	for _, task := range r.Tasks {
		if task.Kind != EncodeTask || task.State != TaskRunning && task.State != TaskFinished {
			continue
		}
		for _, attempt := range slices.Backward(task.Attempts) {
			if attempt.Headers != "" && (attempt.Outcome == OutcomeRunning || attempt.Outcome == OutcomeFinished) {
				return attempt.Headers
			}
		}
	}
	return ""
}
