package cluster

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/google/btree"
)

// database is tables of rows under ordered indexes, in memory. One goroutine
// writes, by transactions; what Snapshot gives may be read by any, and never
// changes.
//
// An index is a B-tree that copies the nodes that it changes. A transaction
// makes a clone of each tree that it touches, which takes no time; within it, a
// node is copied once, however many rows are put into it.
type database struct {
	tables map[string][]*tree // by table, in the order of its indexes; never changed, only replaced
}

// tree is an index.
type tree = btree.BTreeG[entry]

// entry is a row under its key in one index.
type entry struct {
	key string
	row any
}

// treeDegree is half of how many entries a node of an index has at most: larger
// ones make reads faster, smaller ones copies.
const treeDegree = 16

// newDB makes empty tables.
func newDB() *database {
	db := &database{tables: make(map[string][]*tree, len(schema))}
	for table, indexes := range schema {
		trees := make([]*tree, len(indexes))
		for i := range trees {
			trees[i] = btree.NewG(treeDegree, func(a, b entry) bool { return a.key < b.key })
		}
		db.tables[table] = trees
	}
	return db
}

// Snapshot is the tables as they are now.
func (db *database) Snapshot() *database { return &database{db.tables} }

// Read is a transaction that only reads.
func (db *database) Read() *transaction { return &transaction{tables: db.tables} }

// Write is a transaction whose changes are seen by nobody else until Commit.
func (db *database) Write() *transaction {
	return &transaction{db: db, tables: maps.Clone(db.tables), cloned: make(map[string]bool)}
}

// transaction reads the tables and, if it was begun by Write, changes them.
type transaction struct {
	db     *database // nil if it only reads
	tables map[string][]*tree
	cloned map[string]bool

	room, roomOld []byte // for the keys that are being made
}

// Commit makes the changes the database's.
func (t *transaction) Commit() { t.db.tables = t.tables }

// own is a table's trees, which this transaction may change.
func (t *transaction) own(table string) []*tree {
	if !t.cloned[table] {
		trees := slices.Clone(t.tables[table])
		for i := range trees {
			trees[i] = trees[i].Clone()
		}
		t.tables[table], t.cloned[table] = trees, true
	}
	return t.tables[table]
}

// Insert puts a row in the place of the one with its ID, if there is any. An
// error leaves the tables as they were.
func (t *transaction) Insert(table string, row any) error {
	indexes := schema[table]
	id, _, err := indexes[0].key(t.room[:0], row)
	if err != nil {
		return err
	}
	t.room = id
	trees := t.own(table)
	old, replaced := trees[0].ReplaceOrInsert(entry{string(id), row})
	for i := 1; i < len(indexes); i++ {
		key, indexed, _ := indexes[i].key(t.room[:0], row) // of the right type, as the ID's told
		t.room = key
		if replaced {
			before, was, _ := indexes[i].key(t.roomOld[:0], old.row)
			t.roomOld = before
			if was && (!indexed || !bytes.Equal(before, key)) {
				trees[i].Delete(entry{key: string(before)})
			}
		}
		if indexed {
			trees[i].ReplaceOrInsert(entry{string(key), row})
		}
	}
	return nil
}

// errNoRow: what is to be deleted isn't there.
var errNoRow = errors.New("there is no such row")

// Delete takes out the row with the ID of this one.
func (t *transaction) Delete(table string, row any) error {
	indexes := schema[table]
	id, _, err := indexes[0].key(t.room[:0], row)
	if err != nil {
		return err
	}
	trees := t.own(table)
	old, found := trees[0].Delete(entry{key: string(id)})
	if !found {
		return errNoRow
	}
	for i := 1; i < len(indexes); i++ {
		if key, indexed, _ := indexes[i].key(id[:0], old.row); indexed {
			trees[i].Delete(entry{key: string(key)})
		}
	}
	return nil
}

// tree finds an index. It panics for a table or index that the schema doesn't have.
func (t *transaction) tree(table, index string) *tree {
	if index == indexID { // the usual one
		return t.tables[table][0]
	}
	at := slices.IndexFunc(schema[table], func(s indexSchema) bool { return s.name == index })
	if at < 0 {
		panic(fmt.Sprintf("the table %s has no index %s", table, index))
	}
	return t.tables[table][at]
}

// first finds the row with exactly this key, the zero Row if there is none.
func first[Row any, Key ~string | ~[]byte](t *transaction, table, index string, key Key) (Row, bool) {
	found, _ := t.tree(table, index).Get(entry{key: string(key)})
	row, ok := found.row.(Row)
	return row, ok
}

// scan lists the rows whose keys begin with prefix, in the index's order. The
// table must not be changed meanwhile: collect first.
func scan[Row any](t *transaction, table, index string, prefix []byte) iter.Seq[Row] {
	return func(yield func(Row) bool) {
		begins := string(prefix)
		t.tree(table, index).AscendGreaterOrEqual(entry{key: begins}, func(e entry) bool {
			return strings.HasPrefix(e.key, begins) && yield(e.row.(Row))
		})
	}
}
