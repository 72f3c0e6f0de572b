package netlab

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"
)

// insideVariable marks the process that is in the hub.
const insideVariable = "MILLRACE_NETLAB"

// Main calls run in the hub and returns its exit code. It calls it in a second
// process: a network namespace belongs to a thread, and all of a Go program's
// threads are in one only if the first was born in it.
func Main(run func() int) int {
	if os.Getenv(insideVariable) != "" {
		if err := upLoopback(); err != nil {
			fmt.Fprintln(os.Stderr, "set up the tests' network:", err)
			return 1
		}
		return run()
	}
	runtime.LockOSThread() // the child is told of this thread's death
	inside := exec.Command("/proc/self/exe", os.Args[1:]...)
	inside.Env = append(os.Environ(), insideVariable+"=1")
	inside.Stdin, inside.Stdout, inside.Stderr = os.Stdin, os.Stdout, os.Stderr
	inside.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if os.Geteuid() != 0 {
		inside.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		inside.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}}
		inside.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
	}
	if err := inside.Start(); err != nil {
		fmt.Fprintf(os.Stderr, "make a network namespace: %v: these tests need root, or a kernel that lets users make namespaces\n", err)
		return 1
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGQUIT, syscall.SIGINT)
	go func() {
		for s := range signals {
			_ = inside.Process.Signal(s)
		}
	}()
	_ = inside.Wait() // its exit code tells
	signal.Stop(signals)
	close(signals)
	if code := inside.ProcessState.ExitCode(); code >= 0 {
		return code
	}
	return 1
}
