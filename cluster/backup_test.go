package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"millrace/job"
)

func stateOf(t *testing.T, v View) string {
	t.Helper()
	var out bytes.Buffer
	if err := writeSnapshot(&out, v.(*view)); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// slowWriter waits until the state has moved on before it takes anything.
type slowWriter struct {
	bytes.Buffer
	moved <-chan struct{}
}

func (w *slowWriter) Write(data []byte) (int, error) {
	<-w.moved
	return w.Buffer.Write(data)
}

func TestABackupHoldsWhatWasAcknowledgedBeforeItAndBecomesANewCluster(t *testing.T) {
	t.Parallel() // it mostly waits
	peers := trio(t)
	leader := leaderOf(t, peers)
	follower := othersThan(peers, leader)[0]
	propose[any](t, leader, createOrg("default"))
	propose[*job.Job](t, leader, createJob("default", "before00000"))
	propose[*NodeState](t, leader, SetDrain{Node: "n1", Draining: true, At: noon})
	secret, err := leader.Keyring().Seal([]byte("hook's secret"), "org/default/webhook")
	if err != nil {
		t.Fatal(err)
	}
	propose[*Webhook](t, leader, PutWebhook{Webhook{ID: "hook", Org: "default", Secret: secret, Created: noon}})

	// Jobs go on being created while the backup is written.
	ctx, stop := context.WithCancel(t.Context())
	var creating sync.WaitGroup
	creating.Go(func() {
		for n := 0; ctx.Err() == nil; n++ {
			if _, err := leader.Propose(ctx, createJob("default", job.ID(fmt.Sprintf("%011d", n)))); err != nil && ctx.Err() == nil {
				t.Error(err)
			}
		}
	})
	acknowledged := read(t, leader).Index()
	backup := &slowWriter{moved: follower.Stale().Changed()}
	if err := follower.Backup(t.Context(), backup); err != nil {
		t.Fatal(err)
	}
	stop()
	creating.Wait()
	info, err := CheckBackup(bytes.NewReader(backup.Bytes()))
	if err != nil || info.Index < acknowledged || info.Cluster != leader.Cluster() || info.Program != "1.2.3" || info.Time.IsZero() {
		t.Fatalf("%+v, %v; acknowledged was %d", info, err, acknowledged)
	}

	folder := filepath.Join(t.TempDir(), "restored")
	if err := Restore(folder, bytes.NewReader(backup.Bytes()), leader.config.DataDir); err != nil {
		t.Fatal(err)
	}
	config := member(t, "", "")
	config.DataDir, config.Join = folder, nil
	restored := launch(t, config)
	within := bytes.SplitAfter(backup.Bytes(), []byte("\n"))
	if stateOf(t, restored.Stale()) != string(bytes.Join(within[1:len(within)-2], nil)) {
		t.Error("the restored state isn't the one that was backed up")
	}
	ready(t, restored)
	v := read(t, restored)
	if _, ok := v.Job("default", "before00000"); !ok {
		t.Error("a job that was acknowledged before the backup is gone")
	}
	if state, _ := v.NodeState("n1"); !state.Draining {
		t.Error("a node's draining is gone")
	}
	if restored.Cluster() == leader.Cluster() || restored.Cluster() == "" || len(voterIDs(restored)) != 1 {
		t.Errorf("it is of cluster %q with voters %v", restored.Cluster(), voterIDs(restored))
	}
	hook, _ := v.Webhook("default", "hook")
	if plain, err := restored.Keyring().Open(hook.Secret, "org/default/webhook"); err != nil || string(plain) != "hook's secret" {
		t.Errorf("the secret opens as %q, %v", plain, err)
	}
	// It goes on as any cluster: writes, restarts, peers that join.
	propose[*job.Job](t, restored, createJob("default", "after000000"))
	closePeer(t, restored)
	restored = launch(t, config)
	ready(t, restored)
	late := launch(t, member(t, "late", restored.gossipAddr()))
	ready(t, late)
	if _, ok := read(t, late).Job("default", "after000000"); !ok {
		t.Error("who joins doesn't see what was written after the restore")
	}
}

func aBackup(t *testing.T) (data []byte, from *Peer) {
	t.Helper()
	from = open(t, quick(t.TempDir()))
	propose[any](t, from, createOrg("default"))
	create := createJob("default", jobA)
	sealed, err := from.Keyring().Seal([]byte("s3://key:secret@bucket/"), "org/default/output")
	if err != nil {
		t.Fatal(err)
	}
	create.Spec.Output.Sealed = sealed
	propose[*job.Job](t, from, create)
	var out bytes.Buffer
	if err := from.Backup(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(out.Bytes(), []byte("secret@")) {
		t.Error("a secret lies open in the backup")
	}
	return out.Bytes(), from
}

func TestATornOrChangedBackupIsRefused(t *testing.T) {
	whole, from := aBackup(t)
	lines := bytes.SplitAfter(whole, []byte("\n"))
	bad := map[string][]byte{
		"nothing": nil, "another file": []byte("PK\x03\x04 and so on\n"), "a snapshot": bytes.Join(lines[1:len(lines)-2], nil),
		"an endless line":          bytes.Repeat([]byte("x"), 1<<20),
		"more after its end":       append(bytes.Clone(whole), "{}\n"...),
		"a changed state":          bytes.Replace(whole, []byte("film.mp4"), []byte("fake.mp4"), 1),
		"a changed header":         bytes.Replace(whole, []byte(from.Cluster()), []byte(newClusterID()), 1),
		"a row too few":            bytes.Join(append(lines[:2:2], lines[3:]...), nil),
		"a flipped bit":            bytes.Replace(whole, []byte(`{"t":"jobs"`), []byte(`{"t":"jobs!`), 1),
		"a version of a later day": bytes.Replace(whole, []byte(`"version":1`), []byte(`"version":7`), 1),
	}
	for cut := 1; cut < len(whole); cut += max(1, len(whole)/23) {
		bad[fmt.Sprintf("cut to %d bytes", cut)] = whole[:cut]
	}
	for name, data := range bad {
		folder := filepath.Join(t.TempDir(), "restored")
		err := Restore(folder, bytes.NewReader(data), from.config.DataDir)
		if err == nil || !errors.Is(err, ErrNotABackup) && !errors.Is(err, errNewer) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Stat(folder); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: something was left behind: %v", name, err)
		}
	}
	file := filepath.Join(t.TempDir(), "torn.backup")
	if err := os.WriteFile(file, whole[:len(whole)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	torn, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = torn.Close() }()
	if _, err := CheckBackup(torn); !errors.Is(err, ErrNotABackup) || !strings.Contains(err.Error(), file) {
		t.Errorf("a torn file is refused as: %v", err)
	}
}

func TestABackupIsRestoredOnlyWithItsKeyAndIntoAnEmptyFolder(t *testing.T) {
	whole, from := aBackup(t)
	bundle := filepath.Join(t.TempDir(), "another bundle")
	if err := InitBundle(bundle); err != nil {
		t.Fatal(err)
	}
	full := t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "precious"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, try := range map[string]struct {
		folder, key string
		err         error
	}{
		"no key":        {t.TempDir(), "", ErrSealed},
		"another key":   {t.TempDir(), bundle, ErrSealed},
		"no such key":   {t.TempDir(), filepath.Join(bundle, "none"), os.ErrNotExist},
		"a full folder": {full, from.config.DataDir, nil},
	} {
		before, _ := os.ReadDir(try.folder)
		err := Restore(try.folder, bytes.NewReader(whole), try.key)
		if err == nil || try.err != nil && !errors.Is(err, try.err) {
			t.Errorf("%s: %v", name, err)
		}
		if after, err := os.ReadDir(try.folder); err != nil || len(after) != len(before) {
			t.Errorf("%s: the folder now holds %v", name, after)
		}
	}
	// The key file alone will do.
	if err := Restore(t.TempDir(), bytes.NewReader(whole), filepath.Join(from.config.DataDir, keyFile)); err != nil {
		t.Error(err)
	}
}

func TestAFolderOfARestoreThatWasKilledIsNotTakenForANewOne(t *testing.T) {
	whole, from := aBackup(t)
	folder := t.TempDir()
	killed := errors.New("killed")
	// What Restore does first is enough to be recognised.
	err := restore(folder, io.MultiReader(bytes.NewReader(whole[:len(whole)/2]), &failing{err: killed, look: func() {
		copied := t.TempDir()
		if err := os.CopyFS(copied, os.DirFS(folder)); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(t.Context(), quick(copied)); !errors.Is(err, ErrDamaged) {
			t.Errorf("a peer opens it: %v", err)
		}
	}}), from.config.DataDir)
	if !errors.Is(err, killed) {
		t.Errorf("restored: %v", err)
	}
}

type failing struct {
	err  error
	look func()
}

func (f *failing) Read([]byte) (int, error) { f.look(); return 0, f.err }
