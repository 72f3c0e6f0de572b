package cluster

import (
	"bytes"
	"compress/flate"
	"encoding/json"
	"fmt"
	"io"
	"sync"

	"millrace/job"
)

// jobRow is a job with its tasks by ID. Rows are immutable.
//
// The tasks of a settled job are seldom asked for and are most of what a long
// history weighs, so they are kept packed: deflated JSON.
type jobRow struct {
	job       *job.Job
	tasks     []*job.Task // of an unsettled job
	packed    []byte      // the tasks of a settled one
	unsettled bool
	output    string // of an unsettled job: see outputKey
}

func newJobRow(record job.Record) (*jobRow, error) {
	row := &jobRow{job: record.Job, tasks: record.Tasks, unsettled: unsettled(record)}
	if row.unsettled {
		row.output = outputKey(record.Job.Spec.Output)
		return row, nil
	}
	data, err := json.Marshal(record.Tasks)
	if err != nil {
		return nil, fmt.Errorf("encode the tasks of job %s: %w", record.Job.ID, err)
	}
	row.tasks, row.packed = nil, pack(data)
	return row, nil
}

// unsettled says whether a leader has still to look at a job: it hasn't ended,
// or its tasks are still being stopped or cleaned up.
func unsettled(record job.Record) bool {
	if !record.Job.Status.Terminal() {
		return true
	}
	for _, task := range record.Tasks {
		if task.Held() || task.Kind == job.CleanupTask && task.State == job.TaskWaiting {
			return true
		}
	}
	return false
}

// record is the job with its tasks, unpacked if need be.
func (r *jobRow) record() job.Record {
	record := job.Record{Job: r.job, Tasks: r.tasks}
	if r.packed != nil {
		if err := json.Unmarshal(unpack(r.packed), &record.Tasks); err != nil {
			panic(err) // it was packed here
		}
	}
	return record
}

var packers = sync.Pool{New: func() any {
	writer, err := flate.NewWriter(nil, flate.BestSpeed)
	if err != nil {
		panic(err) // only for a level that there isn't
	}
	return writer
}}

func pack(data []byte) []byte {
	writer := packers.Get().(*flate.Writer)
	defer packers.Put(writer)
	var packed bytes.Buffer
	writer.Reset(&packed)
	_, _ = writer.Write(data) // a buffer takes everything
	_ = writer.Close()
	return bytes.Clone(packed.Bytes()) // without the buffer's spare room
}

func unpack(packed []byte) []byte {
	data, err := io.ReadAll(flate.NewReader(bytes.NewReader(packed)))
	if err != nil {
		panic(err) // it was packed here
	}
	return data
}
