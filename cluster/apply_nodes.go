package cluster

import "fmt"

// maxNodeID is the length of the longest node ID: room for any host's short
// name, and for a list of them in one gossip message.
const maxNodeID = 64

// checkNodeID refuses what can't be a node's ID. IDs stand in paths, logs and
// metrics as they are. The state machine asks this too, so it may become
// wider only together with a new version of the commands.
func checkNodeID(id string) error {
	if len(id) > maxNodeID {
		return fmt.Errorf("node %.64q…: %w", id, ErrNodeID)
	}
	for i := range len(id) {
		c := id[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case i > 0 && (c == '.' || c == '-' || c == '_'):
		default:
			return fmt.Errorf("node %q: %w", id, ErrNodeID)
		}
	}
	if id == "" {
		return fmt.Errorf("node \"\": %w", ErrNodeID)
	}
	return nil
}

func (c SetDrain) apply(t *tx) (any, error) {
	if err := checkNodeID(c.Node); err != nil {
		return nil, err
	}
	if old, ok := first[*NodeState](t.txn, tableNodes, indexID, part(nil, c.Node)); ok && old.Draining == c.Draining {
		return old, nil
	}
	state := &NodeState{ID: c.Node, Draining: c.Draining, Changed: c.At}
	t.put(tableNodes, state)
	return state, nil
}

func (c ForgetNode) apply(t *tx) (any, error) {
	if err := checkNodeID(c.Node); err != nil {
		return nil, err
	}
	if old, ok := first[*NodeState](t.txn, tableNodes, indexID, part(nil, c.Node)); ok {
		t.remove(tableNodes, old)
	}
	return nil, nil
}
