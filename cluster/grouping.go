package cluster

import (
	"bytes"
	"fmt"

	"github.com/hashicorp/raft"
)

// A group is many commands in one entry of the log. What raft does for an entry
// (a record of its own in each log, a future, a place in each message and in each
// batch that is applied) it then does once for all of them.
//
// It is an envelope like others, so that a peer which doesn't know groups says
// which version it lacks. Its data is a list of the commands' own envelopes, each
// on a line: JSON has no line break within a value unless somebody puts it there,
// so the list is taken apart without reading what is in it.

const (
	groupName    = "group"
	groupVersion = 4

	// maxGrouped bounds a group's commands: at that number what raft takes for an
	// entry is next to nothing, and a log that is kept for some thousand entries
	// doesn't get too long to replay.
	maxGrouped = 64
	// maxGroupBytes bounds them for commands that are large.
	maxGroupBytes = 256 << 10
)

var (
	groupHead = fmt.Appendf(nil, `{"v":%d,"c":%q,"d":[`+"\n", groupVersion, groupName)
	groupTail = []byte("\n]}")
	groupNext = []byte(",\n")
)

// groupable says whether a command's envelope may stand in a group: it is small,
// and has no line breaks, which nothing that this program encodes has.
func groupable(envelope []byte) bool {
	return len(envelope) < maxGroupBytes && bytes.IndexByte(envelope, '\n') < 0
}

// groupOf makes one entry of the envelopes of commands.
func groupOf(envelopes [][]byte) raft.Log {
	size := len(groupHead) + len(groupTail)
	for _, e := range envelopes {
		size += len(e) + len(groupNext)
	}
	entry := append(make([]byte, 0, size), groupHead...)
	for i, e := range envelopes {
		if i > 0 {
			entry = append(entry, groupNext...)
		}
		entry = append(entry, e...)
	}
	return logOf(append(entry, groupTail...))
}

// groupLines is what stands between a group's brackets; false if an entry is no group.
func groupLines(entry []byte) (lines []byte, grouped bool) {
	lines, grouped = bytes.CutPrefix(entry, groupHead)
	if !grouped {
		return nil, false
	}
	return bytes.CutSuffix(lines, groupTail)
}

// decided is a command from the log.
type decided struct {
	command  applier
	proposal proposal
}

// decodeEntry appends the commands of a log entry, in the order in which they
// apply. Any error means that this peer can't know what the others make of the
// entry, so it must not apply any of them, and must not go on.
func decodeEntry(to []decided, entry *raft.Log) ([]decided, error) {
	if err := checkSum(entry); err != nil {
		return to, err
	}
	lines, grouped := groupLines(entry.Data)
	if commandVersion < groupVersion {
		grouped = false // to this program it is a command of a later one
	}
	for more := true; more; {
		line := entry.Data
		if grouped {
			line, lines, more = bytes.Cut(lines, groupNext)
		} else {
			more = false
		}
		var e envelope
		command, err := e.decode(line)
		if err != nil {
			return to, fmt.Errorf("log entry %d: %w", entry.Index, err)
		}
		to = append(to, decided{command, e.proposal})
	}
	return to, nil
}
