package cluster

import (
	"bytes"
	"encoding/json"
	"strconv"
)

// Every entry of the log is decoded by every voter, and the envelope is JSON
// around JSON. So it is put together and taken apart by hand where it looks as
// this program writes it; package json does what looks otherwise.

// envelopeBytes is room for an envelope around its data.
const envelopeBytes = 128

// The envelope's parts, in their order.
const (
	partVersion = `{"v":`
	partCommand = `,"c":"`
	partData    = `","d":`
	partID      = `,"i":"`
	partBase    = `,"b":`
)

// appendEnvelope appends what json.Marshal makes of e, whose data must be JSON
// as json.Marshal makes it. A command's name and a proposal's ID have no
// characters that JSON would escape.
func appendEnvelope(to []byte, e envelope) []byte {
	to = strconv.AppendInt(append(to, partVersion...), int64(e.Version), 10)
	to = append(append(to, partCommand...), e.Command...)
	to = append(append(to, partData...), e.Data...)
	if e.ID != "" {
		to = append(append(append(to, partID...), e.ID...), '"')
	}
	if e.Base != 0 {
		to = strconv.AppendUint(append(to, partBase...), e.Base, 10)
	}
	return append(to, '}')
}

// cut reads an envelope of the usual form: as appendEnvelope makes it, with an
// ID. It says false, and changes nothing, where it isn't sure. That its data is
// one JSON value is found out when that is decoded.
func (e *envelope) cut(entry []byte) bool {
	rest, usual := bytes.CutPrefix(entry, []byte(partVersion))
	version, rest, found := bytes.Cut(rest, []byte(partCommand))
	name, rest, foundData := bytes.Cut(rest, []byte(partData))
	if !usual || !found || !foundData {
		return false
	}
	// The data may hold anything, so the end is sought from the end: neither a
	// number nor an ID could hold the other's beginning.
	rest, usual = bytes.CutSuffix(rest, []byte("}"))
	var base uint64
	if at := bytes.LastIndexByte(rest, ':') + 1; usual && bytes.HasSuffix(rest[:at], []byte(partBase)) && digits(rest[at:]) {
		n, err := strconv.ParseUint(string(rest[at:]), 10, 64)
		if err != nil {
			return false
		}
		base, rest = n, rest[:at-len(partBase)]
	}
	rest, quoted := bytes.CutSuffix(rest, []byte(`"`))
	at := bytes.LastIndexByte(rest, '"') + 1
	if !usual || !quoted || !bytes.HasSuffix(rest[:at], []byte(partID)) {
		return false
	}
	id := rest[at:]
	number, err := strconv.Atoi(string(version))
	if err != nil || !digits(version) || !plain(id) || !plain(name) {
		return false
	}
	e.Version, e.Command, e.Data = number, string(name), json.RawMessage(rest[:at-len(partID)])
	e.ID, e.Base = string(id), base
	return true
}

func digits(text []byte) bool {
	for _, c := range text {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(text) > 0
}

// plain says whether a text stands in JSON as it is.
func plain(text []byte) bool {
	for _, c := range text {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' && c != '-' {
			return false
		}
	}
	return len(text) > 0
}
