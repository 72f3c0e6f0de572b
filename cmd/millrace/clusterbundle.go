package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"millrace/cluster"
)

// The commands about the cluster's bundle only read and write files: they need
// no peer, and run wherever the CA's key is kept.

// clusterInitCommand makes a new cluster's bundle.
type clusterInitCommand struct {
	Dir string `arg:"" placeholder:"DIR" help:"Folder to make; it must not be there, or be empty."`
}

// Run makes the bundle and says what to do with it.
func (c *clusterInitCommand) Run(std streams) error {
	if err := cluster.InitBundle(c.Dir); err != nil {
		return err
	}
	fmt.Fprintf(std.out, `The bundle of a new cluster is in %[1]s: its CA, the key of its gossip, and the key that secrets are sealed with.
Whoever has it can join the cluster and read everything. Next:

1. Make each peer a bundle of its own, without the CA's key, and bring it to its machine:
     millrace cluster export %[1]s peer1 --label peer1
2. Start each peer with it:
     millrace serve --bundle peer1 --expect 3 --join HOST1,HOST2,HOST3 …
3. Keep %[1]s where no peer runs. A restored backup needs its cluster.key, new certificates need its ca.key.
`, c.Dir)
	return nil
}

// clusterExportCommand makes one peer's bundle.
type clusterExportCommand struct {
	Bundle string `arg:"" placeholder:"BUNDLE" help:"Folder that \"cluster init\" made."`
	Dir    string `arg:"" placeholder:"DIR" help:"Folder to make for one peer."`
	Label  string `default:"" placeholder:"NAME" help:"Name in the peer's certificate, for people; none: the folder's."`
}

// Run copies the bundle, with a certificate of its own.
func (c *clusterExportCommand) Run(std streams) error {
	if err := needCA(c.Bundle); err != nil {
		return err
	}
	if err := cluster.ExportBundle(c.Bundle, c.Dir, labelOr(c.Label, c.Dir)); err != nil {
		return err
	}
	fmt.Fprintf(std.out, "%s is one peer's bundle: bring the folder to its machine, readable only by its user, and start it with --bundle.\n", c.Dir)
	return nil
}

// clusterCertificateCommand renews a peer's certificate.
type clusterCertificateCommand struct {
	Bundle string `arg:"" placeholder:"BUNDLE" help:"Folder that \"cluster init\" made."`
	Dir    string `arg:"" placeholder:"DIR" help:"Folder that the certificate and its key are put into; there may be earlier ones."`
	Label  string `default:"" placeholder:"NAME" help:"Name in the certificate, for people; none: the folder's."`
	Days   int    `default:"3650" placeholder:"N" help:"Days for which it holds."`
}

// Run signs the certificate.
func (c *clusterCertificateCommand) Run(std streams) error {
	if c.Days < 1 {
		return usagef("--days is %d: it must be at least 1", c.Days)
	}
	if err := needCA(c.Bundle); err != nil {
		return err
	}
	if info, err := os.Stat(c.Dir); err != nil || !info.IsDir() {
		return usagef("%s is no folder: name a peer's bundle", c.Dir)
	}
	if err := cluster.IssueCertificate(c.Bundle, c.Dir, labelOr(c.Label, c.Dir), time.Duration(c.Days)*24*time.Hour); err != nil {
		return err
	}
	fmt.Fprintf(std.out, "node.key and node.crt in %s are new. Put both into the peer's bundle folder: it shows them from its next connection on, without a restart.\n", c.Dir)
	return nil
}

// clusterRotateKeyCommand makes one step of changing the gossip key.
type clusterRotateKeyCommand struct {
	Bundle string `arg:"" placeholder:"BUNDLE" help:"Folder whose gossip.key is changed."`
	Step   string `arg:"" enum:"add,use,drop" placeholder:"STEP" help:"add draws a new key, use encrypts with it, drop forgets the former; each must have reached every peer before the next."`
}

// nextSteps say what follows each step.
var nextSteps = map[cluster.KeyStep]string{
	cluster.AddKey:  "use",
	cluster.UseKey:  "drop",
	cluster.DropKey: "",
}

// Run makes the step and says what is next.
func (c *clusterRotateKeyCommand) Run(std streams) error {
	step := cluster.KeyStep(c.Step)
	if err := cluster.RotateGossipKey(c.Bundle, step); err != nil {
		return err
	}
	fmt.Fprintf(std.out, "%s has changed. Copy it into every peer's bundle folder; running peers take it up within seconds.\n", filepath.Join(c.Bundle, "gossip.key"))
	if next := nextSteps[step]; next != "" {
		fmt.Fprintf(std.out, "When all have it: millrace cluster rotate-key %s %s\n", c.Bundle, next)
	}
	return nil
}

// needCA refuses a folder that can't sign.
func needCA(bundle string) error {
	if _, err := os.Stat(filepath.Join(bundle, "ca.key")); errors.Is(err, fs.ErrNotExist) {
		return usagef("%s has no ca.key: name the folder that \"millrace cluster init\" made", bundle)
	}
	return nil
}

func labelOr(label, dir string) string {
	if label != "" {
		return label
	}
	return filepath.Base(filepath.Clean(dir))
}
