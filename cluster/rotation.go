package cluster

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// KeyStep is a step of changing the gossip key. All peers' bundles must have
// been given one step before the next is made, so that whatever one peer
// encrypts, all can read.
type KeyStep string

// The steps, in their order.
const (
	AddKey  KeyStep = "add"  // draw a new key, which peers can read from now on
	UseKey  KeyStep = "use"  // encrypt with it
	DropKey KeyStep = "drop" // no longer read the former
)

// RotateGossipKey makes one step in a bundle's file of gossip keys. A step out
// of turn is refused and changes nothing.
func RotateGossipKey(bundle string, step KeyStep) error {
	name := filepath.Join(bundle, bundleGossip)
	data, err := os.ReadFile(name)
	if err != nil {
		return fmt.Errorf("change the gossip key: %w", err)
	}
	keys := strings.Fields(string(data))
	switch {
	case len(keys) == 0:
		err = errors.New("it holds no key")
	case step == AddKey && len(keys) > 1:
		err = fmt.Errorf("it holds %d keys, of a change that isn't finished: %s, then %s", len(keys), UseKey, DropKey)
	case step != AddKey && len(keys) == 1:
		err = fmt.Errorf("it holds only one key: begin with %s", AddKey)
	case step == AddKey:
		keys = append(keys, NewGossipKey())
	case step == UseKey:
		keys = append([]string{keys[len(keys)-1]}, keys[:len(keys)-1]...)
	case step == DropKey:
		keys = keys[:1]
	default:
		err = fmt.Errorf("there is no step %q", step)
	}
	if err != nil {
		return fmt.Errorf("change the gossip key in %s: %w", name, err)
	}
	if err := writeDurably(name, []byte(strings.Join(keys, "\n")+"\n")); err != nil {
		return fmt.Errorf("change the gossip key: %w", err)
	}
	return nil
}
