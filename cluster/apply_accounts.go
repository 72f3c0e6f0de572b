package cluster

import (
	"errors"
	"fmt"
	"slices"
)

// ReservedOrganisations can't be organisations' IDs: the API has something else
// in their place, /api/v1/cluster/.
var ReservedOrganisations = []string{"cluster"}

func (c CreateOrganisation) apply(t *tx) (any, error) {
	if c.Organisation.ID == "" {
		return nil, errors.New("create an organisation without an id")
	}
	// No version could ever make such a one, so no log has one that an earlier
	// version has let pass.
	if slices.Contains(ReservedOrganisations, c.Organisation.ID) {
		return nil, fmt.Errorf("organisation %q: %w", c.Organisation.ID, ErrReserved)
	}
	if t.requireOrganisation(c.Organisation.ID) != nil {
		t.put(tableOrganisations, &Organisation{ID: c.Organisation.ID, Created: c.Organisation.Created})
	}
	return nil, nil
}

func (c CreateKey) apply(t *tx) (any, error) {
	if err := t.requireOrganisation(c.Key.Org); err != nil {
		return nil, err
	}
	if c.Key.ID == "" || len(c.Key.SHA256) == 0 {
		return nil, errors.New("create a key without an id or a hash")
	}
	if old, ok := first[*Key](t.txn, tableKeys, indexID, c.Key.ID); ok {
		if old.Org != c.Key.Org {
			return nil, fmt.Errorf("key %s: %w", c.Key.ID, ErrExists)
		}
		return nil, nil
	}
	if _, ok := first[*Key](t.txn, tableKeys, indexHash, c.Key.SHA256); ok {
		return nil, fmt.Errorf("a key with the text of key %s: %w", c.Key.ID, ErrExists)
	}
	t.put(tableKeys, &c.Key)
	return nil, nil
}

func (c RevokeKey) apply(t *tx) (any, error) {
	old, ok := first[*Key](t.txn, tableKeys, indexID, c.ID)
	if !ok || old.Org != c.Org {
		return nil, fmt.Errorf("key %s: %w", c.ID, ErrNotFound)
	}
	if old.Revoked.IsZero() {
		revoked := *old
		revoked.Revoked = c.At
		t.put(tableKeys, &revoked)
	}
	return nil, nil
}
