package job

import "slices"

// Headers says which headers the chunks of some of a job's renditions have: those of
// the chunks that are encoded or that run, so that the others must have them too.
// Empty while there are none, or where nothing is known of theirs.
func (r Record) Headers(renditions []string) string {
	for _, task := range r.Tasks {
		if task.Kind != EncodeTask || task.State != TaskRunning && task.State != TaskFinished || !task.makes(renditions) {
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

// makes says whether an encode task makes any of some renditions.
func (t *Task) makes(renditions []string) bool {
	return slices.ContainsFunc(t.Renditions, func(name string) bool { return slices.Contains(renditions, name) })
}
