package hwaccel

import (
	"os"
	"strings"
	"testing"
)

var _ Trier = Trials{}

func TestOneEncoderIsTriedAgain(t *testing.T) {
	scratch := t.TempDir()
	room := Room{Threads: 2}
	e, err := Trials{Tools: tools(t), Scratch: scratch}.Encoder(t.Context(), testDevice, room, "libx264")
	if err != nil || !e.Works {
		t.Errorf("got %+v, %v", e, err)
	}
	broken := wrapped(t, `echo '[libx264 @ 0x5] [error] Something is odd' >&2; exit 187`)
	e, err = Trials{Tools: broken, Scratch: scratch}.Encoder(t.Context(), testDevice, room, "libx264")
	if err != nil || e.Works || !strings.Contains(e.Reason, "Something is odd") {
		t.Errorf("got %+v, %v", e, err)
	}
	if _, err := (Trials{Tools: broken, Scratch: scratch}).Encoder(t.Context(), testDevice, room, "nonesuch"); err == nil {
		t.Error("an unknown encoder was tried")
	}
	if left, _ := os.ReadDir(scratch); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}
