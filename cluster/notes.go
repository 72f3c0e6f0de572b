package cluster

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
)

// A note is a small file of JSON in the data folder that tells the peer's next
// run what must not be forgotten.

// readNote reads one; nil if there is none.
func readNote[T any](name string) (*T, error) {
	data, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	note := new(T)
	if err == nil {
		err = json.Unmarshal(data, note)
	}
	if err != nil {
		return nil, err
	}
	return note, nil
}

// writeNote keeps one: it is on disk when it returns.
func writeNote(name string, note any) error {
	data, err := json.Marshal(note)
	if err != nil {
		return err
	}
	return writeDurably(name, data)
}

// removeNote takes one back; that there is none is no error.
func removeNote(name string) error {
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
