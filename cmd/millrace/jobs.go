package main

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"millrace/api/client"
	"millrace/job"
)

// jobsCommand lists jobs.
type jobsCommand struct {
	remote
	Status []job.Status `placeholder:"STATUS" help:"Only jobs in this status; repeat for more: ${statuses}."`
	Limit  int          `default:"20" placeholder:"N" help:"How many at most; 0: all."`
	Oldest bool         `help:"Oldest first."`
}

// Run lists the jobs.
func (c *jobsCommand) Run(ctx context.Context, std streams) error {
	peer, err := c.dial()
	if err != nil {
		return err
	}
	jobs := []job.View{}
	filter := client.JobFilter{Statuses: c.Status, OldestFirst: c.Oldest, PageSize: min(c.Limit, 100)}
	for j, err := range peer.Jobs(ctx, filter) {
		if err != nil {
			return err
		}
		if jobs = append(jobs, j); len(jobs) == c.Limit {
			break
		}
	}
	if c.JSON {
		return std.writeJSON(jobs)
	}
	rows := make([][]string, len(jobs))
	for i, j := range jobs {
		rows[i] = []string{string(j.ID), string(j.Status), fmt.Sprintf("%d%%", int(j.Progress)), resolutionsText(j), shortTime(&j.Created), j.InputURL}
	}
	return std.table([]string{"ID", "STATUS", "DONE", "RESOLUTIONS", "CREATED", "INPUT"}, rows)
}

// jobCommand shows one job.
type jobCommand struct {
	remote
	ID    job.ID `arg:"" help:"The job's id."`
	Tasks bool   `help:"Show also what each task did where."`
	Wait  bool   `help:"Wait for the job's end and show its progress; the exit code tells how it ended."`
}

// Run shows the job.
func (c *jobCommand) Run(ctx context.Context, std streams) error {
	peer, err := c.dial()
	if err != nil {
		return err
	}
	read := peer.Job
	if c.Tasks {
		read = peer.JobWithTasks
	}
	found, err := read(ctx, c.ID)
	switch {
	case err != nil:
		return err
	case c.Wait:
		return follow(ctx, peer, found, std, c.JSON)
	case c.JSON:
		return std.writeJSON(found)
	default:
		return printJob(std, found)
	}
}

func printJob(std streams, j job.View) error {
	out := tabwriter.NewWriter(std.out, 0, 0, 2, ' ', 0)
	line := func(name, format string, args ...any) {
		fmt.Fprintf(out, "%s\t%s\n", name, printable(fmt.Sprintf(format, args...)))
	}
	line("id", "%s", j.ID)
	line("status", "%s %d%%", j.Status, int(j.Progress))
	if eta := etaText(j); eta != "" {
		line("", "%s", eta)
	}
	if j.WaitsFor != "" {
		line("waits for", "%s", j.WaitsFor)
	}
	line("input", "%s", j.InputURL)
	line("output", "%s", j.OutputPath)
	line("resolutions", "%s", resolutionsText(j))
	if j.VideoDuration != nil {
		line("duration", "%s", time.Duration(*j.VideoDuration)*time.Second)
	}
	line("created", "%s", shortTime(&j.Created))
	line("started", "%s", shortTime(j.StartTime))
	line("ended", "%s", shortTime(j.EndTime))
	if j.Error != nil {
		line("error", "%s: %s", j.Error.Code, j.Error.Message)
		line("", "%s", j.Error.Hint)
	}
	for _, warning := range j.Warnings {
		line("warning", "%s", warning)
	}
	for _, r := range j.Renditions {
		line("rendition", "%s %dx%d %s %d frames %d%% %s", r.Name, r.Width, r.Height, r.Encoder, r.Frames, int(r.Progress), r.Note)
	}
	for _, output := range j.Outputs {
		line(string(output.Kind), "%s", output.URL)
	}
	for _, task := range j.Tasks {
		line("task", "%s %s", task.ID, task.State)
		for _, attempt := range task.Attempts {
			line("", "%s", attemptText(attempt))
		}
	}
	return out.Flush()
}

// attemptText is one try of a task on one line.
func attemptText(a job.Attempt) string {
	text := fmt.Sprintf("#%d %s on %s %s", a.Number, a.Outcome, a.Node, a.Device)
	if a.BackupOf != 0 {
		text = fmt.Sprintf("#%d (backup of #%d, which was slow) %s on %s %s", a.Number, a.BackupOf, a.Outcome, a.Node, a.Device)
	}
	if a.Encoder != "" {
		text += " " + a.Encoder
	}
	if !a.Ended.IsZero() {
		text += fmt.Sprintf(" in %s", a.Ended.Sub(a.Started).Round(time.Second/10))
	}
	if a.FramesPerSecond > 0 {
		text += fmt.Sprintf(" at %.0f frames/s", a.FramesPerSecond)
	}
	if a.Failure != nil {
		text += ": " + a.Failure.Message
	}
	return text
}

// cancelCommand cancels a job.
type cancelCommand struct {
	remote
	ID job.ID `arg:"" help:"The job's id."`
}

// Run cancels the job.
func (c *cancelCommand) Run(ctx context.Context, std streams) error {
	peer, err := c.dial()
	if err != nil {
		return err
	}
	message, err := peer.Cancel(ctx, c.ID)
	if err != nil {
		return err
	}
	if c.JSON {
		return std.writeJSON(map[string]string{"message": message})
	}
	_, err = fmt.Fprintln(std.out, printable(message))
	return err
}

// retryCommand queues a job again.
type retryCommand struct {
	remote
	ID          job.ID   `arg:"" help:"The job's id."`
	Resolutions []string `placeholder:"720p" help:"Only these rungs."`
	Wait        bool     `help:"Wait for the job's end and show its progress; the exit code tells how it ended."`
}

// Run retries the job.
func (c *retryCommand) Run(ctx context.Context, std streams) error {
	peer, err := c.dial()
	if err != nil {
		return err
	}
	queued, err := peer.Retry(ctx, c.ID, c.Resolutions...)
	switch {
	case err != nil:
		return err
	case c.Wait:
		return follow(ctx, peer, queued, std, c.JSON)
	case c.JSON:
		return std.writeJSON(queued)
	}
	_, err = fmt.Fprintf(std.out, "job %s is queued again\n", queued.ID)
	return err
}

func resolutionsText(j job.View) string {
	names := make([]string, len(j.Resolutions))
	for i, r := range j.Resolutions {
		names[i] = r.String()
	}
	return strings.Join(names, ",")
}

// shortTime is a time for people, in their own zone; "-" when there is none.
func shortTime(t *job.Time) string {
	if t == nil || time.Time(*t).IsZero() {
		return "-"
	}
	return time.Time(*t).Local().Format("2006-01-02 15:04:05")
}
