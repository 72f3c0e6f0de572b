package job

// Placement says of some of a job's tasks why they run where they do, or why
// they wait.
type Placement struct {
	// Task is the task, or the first of Count that are alike.
	Task  TaskID `json:"task"`
	Count int    `json:"count"`
	// Running tasks have a node, a device, and the seconds that the attempt is
	// expected to take.
	Running         bool    `json:"running"`
	Node            string  `json:"node,omitempty"`
	Device          string  `json:"device,omitempty"`
	Encoder         string  `json:"encoder,omitempty"`
	ExpectedSeconds float64 `json:"expected_seconds,omitempty"`
	// Reason is a sentence for people.
	Reason string `json:"reason"`
}
