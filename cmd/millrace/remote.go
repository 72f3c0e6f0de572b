package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"millrace/api/client"
)

// remote is how the commands reach a peer.
type remote struct {
	Server  string `group:"server" env:"MILLRACE_SERVER" default:"http://127.0.0.1:8080" placeholder:"URL" help:"A peer; any one of the cluster will do. Of several, with commas between them, the next is asked when one does not answer."`
	KeyFile string `group:"server" env:"MILLRACE_KEY_FILE" placeholder:"FILE" help:"File with the API key: admin.key in a peer's data folder, or your own. MILLRACE_KEY holds a key itself."`
	Org     string `group:"server" env:"MILLRACE_ORG" default:"default" placeholder:"NAME" help:"The organisation that you act for."`
	JSON    bool   `name:"json" group:"server" help:"Answer in JSON, for programs."`
}

// dial makes a client; it doesn't connect yet.
func (r remote) dial() (*client.Client, error) {
	key := os.Getenv("MILLRACE_KEY")
	switch {
	case r.KeyFile != "":
		text, err := os.ReadFile(r.KeyFile)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil, usagef("there is no key file %s; a peer's first start writes admin.key into its data folder", r.KeyFile)
		case err != nil:
			return nil, usagef("read the key: %w", err)
		}
		key = string(text)
	case key == "":
		return nil, usagef("no API key: name its file by --key-file (MILLRACE_KEY_FILE); a peer's first start writes admin.key into its data folder")
	}
	c, err := client.New(r.Server, strings.TrimSpace(key), r.Org)
	if err != nil {
		return nil, usageError{fmt.Errorf("--server, --key-file, --org: %w", err)}
	}
	return c, nil
}
