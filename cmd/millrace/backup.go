package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"millrace/api/client"
	"millrace/cluster"
)

// standardStream is the file name that means standard output or input.
const standardStream = "-"

// backupCommand writes the cluster's state into a file.
type backupCommand struct {
	remote
	File string `arg:"" help:"The file to write, or - for standard output. One that is there is replaced, once the new one is known to be whole."`
}

// Run writes the backup.
func (c *backupCommand) Run(ctx context.Context, std streams) error {
	peer, err := c.dial()
	if err != nil {
		return err
	}
	var info cluster.BackupInfo
	if c.File == standardStream {
		info, err = backUpTo(ctx, peer, std.out)
	} else {
		info, err = backUpFile(ctx, peer, c.File)
	}
	switch {
	case err != nil:
		return err
	case c.JSON && c.File != standardStream:
		return std.writeJSON(info)
	}
	// Standard output may be the backup itself.
	_, err = fmt.Fprintf(std.err, "backed up cluster %s at index %d\nSecrets in it are sealed: keep cluster.key, of the bundle or of any peer's data folder, in another place.\n",
		printable(info.Cluster), info.Index)
	return err
}

// backUpTo writes a backup and reads along, so that it knows whether it is whole.
func backUpTo(ctx context.Context, peer *client.Client, to io.Writer) (cluster.BackupInfo, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	along, tee := io.Pipe()
	fetched := make(chan error, 1)
	go func() {
		err := peer.Backup(ctx, io.MultiWriter(to, tee))
		_ = tee.CloseWithError(err) // io.EOF if it is nil
		fetched <- err
	}()
	info, err := cluster.CheckBackup(along)
	_ = along.CloseWithError(err) // nobody reads on: what is fetched ends there
	if failure := <-fetched; failure != nil && (err == nil || !errors.Is(failure, err)) {
		err = failure
	}
	return info, err
}

// backUpFile writes a backup under another name, and gives it its own once it
// is whole and on disk.
func backUpFile(ctx context.Context, peer *client.Client, name string) (info cluster.BackupInfo, err error) {
	temp, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".part-*") // 0600
	if err != nil {
		return info, fmt.Errorf("write the backup: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(temp.Name()))
		}
	}()
	info, err = backUpTo(ctx, peer, temp)
	if err == nil {
		err = temp.Sync()
	}
	if err = errors.Join(err, temp.Close()); err != nil {
		return info, err
	}
	if err := os.Rename(temp.Name(), name); err != nil {
		return info, fmt.Errorf("write the backup: %w", err)
	}
	return info, syncFolder(filepath.Dir(name))
}

// syncFolder makes a rename in the folder outlive a power cut.
func syncFolder(name string) error {
	folder, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("write the backup: %w", err)
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// restoreCommand makes a data folder from a backup. It talks to no peer.
type restoreCommand struct {
	File   string `arg:"" help:"The backup, or - for standard input."`
	Data   string `required:"" env:"MILLRACE_DATA" placeholder:"DIR" help:"The data folder to make; it must be empty or not there."`
	Bundle string `env:"MILLRACE_BUNDLE" placeholder:"PATH" help:"Where the old cluster's sealing key lies: its bundle, a peer's data folder, or a copy of cluster.key. Without it only a backup without secrets can be restored."`
}

// Run restores the backup.
func (c *restoreCommand) Run(std streams) error {
	source := os.Stdin
	if c.File != standardStream {
		file, err := os.Open(c.File)
		if err != nil {
			return usagef("open the backup: %w", err)
		}
		defer func() { _ = file.Close() }()
		source = file
	}
	if err := cluster.Restore(c.Data, source, c.Bundle); err != nil {
		return err
	}
	_, err := fmt.Fprintf(std.out, "restored into %s, as a new cluster of one peer; the old keys stay good\n  millrace serve --data %s    starts it; other peers join it with empty folders\n", c.Data, c.Data)
	return err
}
