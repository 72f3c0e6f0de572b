package cluster

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"

	"github.com/hashicorp/raft"
)

// maxCommandBytes bounds one command. The largest honest one is the result of
// a ten-hour audio task, some 9,000 segments in 3 MB.
const maxCommandBytes = 32 << 20

// envelope is a command as it lies in the log.
type envelope struct {
	Version int             `json:"v"`
	Command string          `json:"c"`
	Data    json.RawMessage `json:"d"`
	proposal
}

// applier is a command that the state machine can apply. apply decides first
// and writes last, so that a refused command has changed nothing.
type applier interface {
	Command
	apply(*tx) (any, error)
}

// decoders has every command by its name in the log.
var decoders = decodersOf(
	decoderOf[CreateOrganisation], decoderOf[SetLimits], decoderOf[CreateKey], decoderOf[RevokeKey],
	func() (string, decoder) { return CreateJob{}.Name(), decodeCreateJob }, decoderOf[StartAttempts], decoderOf[PlanJob], decoderOf[FinishTask],
	decoderOf[FailTask], decoderOf[LoseAttempts], decoderOf[ChangeEncoder], decoderOf[CancelJob], decoderOf[RetryJob],
	decoderOf[PutWebhook], decoderOf[DeleteWebhook], decoderOf[RecordDelivery], decoderOf[Redeliver],
	decoderOf[Prune], decoderOf[SetDrain], decoderOf[ForgetNode],
	decoderOf[expelPeer], decoderOf[readmitPeer],
)

type decoder func(json.RawMessage) (applier, error)

func decodersOf(makers ...func() (string, decoder)) map[string]decoder {
	table := make(map[string]decoder, len(makers))
	for _, make := range makers {
		name, decode := make()
		table[name] = decode
	}
	return table
}

func decoderOf[C applier]() (string, decoder) {
	var zero C
	return zero.Name(), func(data json.RawMessage) (applier, error) {
		var command C
		err := json.Unmarshal(data, &command)
		return command, err
	}
}

// encodeEnvelope makes a command's envelope.
func encodeEnvelope(command Command, of proposal) ([]byte, error) {
	data, err := encodeData(command)
	if err != nil {
		return nil, fmt.Errorf("encode command %s: %w", command.Name(), err)
	}
	encoded := appendEnvelope(make([]byte, 0, len(data)+envelopeBytes), envelope{Version: versionOf(command), Command: command.Name(), Data: data, proposal: of})
	if len(encoded) > maxCommandBytes {
		return nil, fmt.Errorf("encode command %s: %d bytes, at most %d are allowed", command.Name(), len(encoded), maxCommandBytes)
	}
	return encoded, nil
}

func encodeData(command Command) ([]byte, error) {
	if c, is := command.(CreateJob); is {
		if data, usual := appendCreateJob(make([]byte, 0, 512), c); usual {
			return data, nil
		}
	}
	return json.Marshal(command)
}

// logOf makes a log entry. The checksum in Extensions finds a bit that flips on
// disk later: raft-wal checks only the batch that it wrote last.
func logOf(entry []byte) raft.Log { return raft.Log{Data: entry, Extensions: checksum(entry)} }

// decode reads a command's envelope and the command in it.
func (e *envelope) decode(data []byte) (applier, error) {
	if !e.cut(data) {
		if err := json.Unmarshal(data, e); err != nil {
			return nil, fmt.Errorf("this is not a command: %w", err)
		}
	}
	if e.Version > commandVersion {
		return nil, fmt.Errorf("this is a command of version %d, this peer knows up to %d: upgrade it", e.Version, commandVersion)
	}
	decode, known := decoders[e.Command]
	if !known {
		return nil, fmt.Errorf("this is the unknown command %q: upgrade this peer", e.Command)
	}
	command, err := decode(e.Data)
	if err != nil {
		return nil, fmt.Errorf("command %s: %w", e.Command, err)
	}
	return command, nil
}

// checkSum refuses an entry that isn't as it was written.
func checkSum(entry *raft.Log) error {
	if len(entry.Extensions) == crc32.Size && binary.BigEndian.Uint32(entry.Extensions) != crc32.Checksum(entry.Data, castagnoli) {
		return fmt.Errorf("log entry %d is damaged: its checksum differs", entry.Index)
	}
	return nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(data []byte) []byte {
	return binary.BigEndian.AppendUint32(nil, crc32.Checksum(data, castagnoli))
}
