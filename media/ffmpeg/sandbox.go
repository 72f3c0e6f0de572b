package ffmpeg

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	llsyscall "github.com/landlock-lsm/go-landlock/landlock/syscall"
)

// Sandbox says what a run of ffmpeg may touch besides its own program, the
// system's libraries, its scratch folder and the pipes it is given. The zero
// value allows nothing more. Values are read-only once in use.
//
// It is enforced by the kernel: Landlock for files and TCP ports, a seccomp
// filter for the sockets that Landlock doesn't know (UDP, multipath TCP, Unix)
// and for system calls that ffmpeg has no use for, no new privileges, no core
// dumps. What an old kernel lacks is left out: see [SandboxSupport].
type Sandbox struct {
	// ReadPaths are files and folders, with all below, to read.
	ReadPaths []string `json:"read_paths,omitempty"`
	// WritePaths are folders to read, write, create and remove in.
	WritePaths []string `json:"write_paths,omitempty"`
	// DevicePaths are device files (/dev/nvidia0, /dev/dri/renderD128) to use
	// with ioctls. When there are any, Unix sockets and the drivers' places in
	// /proc and /sys are allowed too, since drivers need them.
	DevicePaths []string `json:"device_paths,omitempty"`
	// ConnectPorts are TCP ports to connect to. Landlock knows ports and no
	// addresses: such a port is open on every host.
	ConnectPorts []uint16 `json:"connect_ports,omitempty"`
}

// ForInput is a copy that also lets ffmpeg read url, one that InputArgs takes.
// A nil sandbox stays nil: no sandbox.
func (s *Sandbox) ForInput(input string) *Sandbox {
	if s == nil {
		return nil
	}
	extended := *s
	if !isHTTP(input) {
		extended.ReadPaths = append(slices.Clone(s.ReadPaths), strings.TrimPrefix(input, "file:"))
		return &extended
	}
	port := uint64(80)
	if parsed, err := url.Parse(input); err == nil && parsed.Port() != "" {
		port, _ = strconv.ParseUint(parsed.Port(), 10, 16)
	}
	extended.ConnectPorts = append(slices.Clone(s.ConnectPorts), uint16(port))
	return &extended
}

// confinement is what the re-run program needs to know to confine itself.
type confinement struct {
	Sandbox
	Parent       int    `json:"parent"` // who must be alive when it starts
	Program      string `json:"program"`
	Nice         int    `json:"nice,omitempty"`
	MaxFileBytes int64  `json:"max_file_bytes,omitempty"`
}

// sandboxArgument as first argument makes the program a sandbox.
const sandboxArgument = "millrace-sandbox"

// sandboxReady is set by MaybeRunSandbox. Without it, running ourselves again
// would start a second server.
var sandboxReady atomic.Bool

// Wrap turns a command line into one that runs it in the sandbox: this program,
// run once more, confines itself and then executes argv in its own place, so
// that the process and its pipes are argv's. A nil sandbox wraps nothing.
func (s *Sandbox) Wrap(argv []string) ([]string, error) { return s.wrap(argv, "", 0, 0) }

func (s *Sandbox) wrap(argv []string, dir string, nice int, maxFileBytes int64) ([]string, error) {
	if s == nil {
		return argv, nil
	}
	if !sandboxReady.Load() {
		return nil, errors.New("enter the sandbox: this program does not call ffmpeg.MaybeRunSandbox first thing in main")
	}
	c := confinement{Sandbox: *s, Parent: os.Getpid(), Program: argv[0], Nice: nice, MaxFileBytes: maxFileBytes}
	if dir != "" {
		absolute, err := filepath.Abs(dir)
		if err != nil {
			return nil, fmt.Errorf("enter the sandbox: %w", err)
		}
		c.WritePaths = append(slices.Clone(c.WritePaths), absolute)
	}
	text, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("enter the sandbox: %w", err)
	}
	return append([]string{"/proc/self/exe", sandboxArgument, string(text)}, argv...), nil
}

// MaybeRunSandbox must be the first thing that main does. In an ordinary run it
// returns at once. In a process made by Wrap it confines the process, executes
// the wrapped program and never returns.
func MaybeRunSandbox() {
	sandboxReady.Store(true)
	if len(os.Args) < 4 || os.Args[1] != sandboxArgument {
		return
	}
	err := enterSandbox(os.Args[2], os.Args[3:])
	// The form of ffmpeg's own log lines, for those who read it.
	fmt.Fprintf(os.Stderr, "[fatal] enter the sandbox: %v\n", err)
	os.Exit(sandboxExitStatus)
}

// sandboxExitStatus is what shells answer for a program that can't be executed.
const sandboxExitStatus = 126

// SandboxSupport says how much of the sandbox this kernel can enforce, as its
// Landlock version (0: none; 1: files; 4 and more: also TCP ports), and what is
// missing in a sentence, empty if nothing is.
func SandboxSupport() (version int, missing string) {
	version, err := llsyscall.LandlockGetABIVersion()
	switch {
	case err != nil || version < 1:
		return 0, "the kernel has no Landlock (or it is not in the boot parameter lsm=): ffmpeg can read every file that this program can"
	case version < 4:
		return version, "the kernel's Landlock does not know TCP ports (it needs Linux 6.7): ffmpeg can connect to any address"
	}
	return version, ""
}
