//go:build millrace_next

package cluster

// What a later program knows besides: for upgrade_test.go, which builds it.

func init() {
	commandVersion = 7
	name, decode := decoderOf[note]()
	decoders[name] = decode
	theNote = func() Command { return note{Organisation: Organisation{ID: noteID, Created: noon}} }
}

// note is a command that no peer of this program knows.
type note struct {
	Organisation Organisation `json:"organisation"`
}

func (note) Name() string { return "note" }
func (note) version() int { return 7 }

func (n note) apply(t *tx) (any, error) {
	t.put(tableOrganisations, &n.Organisation)
	return nil, nil
}
