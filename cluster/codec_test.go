package cluster

import "github.com/hashicorp/raft"

// encodeCommand makes a log entry of a command that nobody waits for.
func encodeCommand(command Command) (raft.Log, error) { return encodeProposal(command, proposal{}) }

func encodeProposal(command Command, of proposal) (raft.Log, error) {
	encoded, err := encodeEnvelope(command, of)
	return logOf(encoded), err
}

// decodeCommand reads an entry that is one command.
func decodeCommand(entry *raft.Log) (applier, proposal, error) {
	got, err := decodeEntry(nil, entry)
	if err != nil {
		return nil, proposal{}, err
	}
	return got[0].command, got[0].proposal, nil
}
