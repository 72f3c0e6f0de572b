package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// version is set by the build (make build); without that it is the module's,
// as go install knows it.
var version string

// versionText is this program's version, "dev" when nobody knows.
func versionText() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "dev"
}

type versionCommand struct{}

func (versionCommand) Run(std streams) error {
	_, err := fmt.Fprintf(std.out, "millrace %s %s %s/%s\n", versionText(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}
