package cluster

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestDrainingIsKeptUntilTheNodeIsResumedOrForgotten(t *testing.T) {
	b := newBench(t)
	b.do(SetDrain{Node: "b", Draining: true, At: noon})
	b.do(SetDrain{Node: "a", Draining: false, At: noon})
	again := b.do(SetDrain{Node: "b", Draining: true, At: noon.Add(time.Hour)}).(*NodeState)
	if !again.Draining || !again.Changed.Equal(noon) {
		t.Errorf("drained twice, it says %+v", again)
	}
	if states := b.view().NodeStates(); len(states) != 2 || states[0].ID != "a" || states[1].ID != "b" {
		t.Errorf("decided: %+v", states)
	}
	b.do(SetDrain{Node: "b", Draining: false, At: noon.Add(2 * time.Hour)})
	if state, ok := b.view().NodeState("b"); !ok || state.Draining || !state.Changed.Equal(noon.Add(2*time.Hour)) {
		t.Errorf("resumed: %+v, %v", state, ok)
	}
	b.do(ForgetNode{Node: "b", At: noon})
	b.do(ForgetNode{Node: "b", At: noon})
	if _, ok := b.view().NodeState("b"); ok {
		t.Error("a node that was forgotten is still there")
	}
}

func TestWhatCantBeANodesIDIsRefused(t *testing.T) {
	for id, good := range map[string]bool{
		"a": true, "gpu-01.rack_3": true, "0": true, strings.Repeat("x", 64): true,
		"": false, "-a": false, ".": false, "a/b": false, "a b": false, "ä": false, "a\n": false, strings.Repeat("x", 65): false,
	} {
		b := newBench(t)
		_, err := b.try(SetDrain{Node: id, Draining: true, At: noon})
		_, forget := b.try(ForgetNode{Node: id, At: noon})
		_, there := b.view().NodeState(id)
		if good != (err == nil) || good != (forget == nil) || there {
			t.Errorf("%q: %v, %v", id, err, forget)
		}
		if !good && !errors.Is(err, ErrNodeID) {
			t.Errorf("%q: %v", id, err)
		}
	}
}
