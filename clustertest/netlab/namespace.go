package netlab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// namespace is a network namespace that lives as long as this file is open or
// a process is in it.
type namespace struct{ file *os.File }

// newNamespace makes one. Its loopback is up, as every machine's is.
func newNamespace() (*namespace, error) {
	var n *namespace
	err := onOwnThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("make a network namespace: %w", err)
		}
		file, err := os.Open("/proc/thread-self/ns/net")
		if err != nil {
			return err
		}
		n = &namespace{file}
		return upLoopback()
	})
	return n, err
}

// path names the namespace to other programs, as long as the file is open.
func (n *namespace) path() string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), n.file.Fd()) }

// do calls f on a thread that is in the namespace. Sockets, devices and
// processes that f makes are in it for ever.
func (n *namespace) do(f func() error) error {
	return onOwnThread(func() error {
		if err := unix.Setns(int(n.file.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("enter a network namespace: %w", err)
		}
		return f()
	})
}

// onOwnThread calls f on a thread that nothing else will run on afterwards.
func onOwnThread(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		done <- f()
	}()
	return <-done
}

func upLoopback() error { return command("", "ip", "link", "set", "lo", "up") }

// command runs a program to its end, with input on its standard input.
func command(input, name string, args ...string) error {
	c := exec.CommandContext(context.Background(), name, args...)
	c.Stdin = strings.NewReader(input)
	out, err := c.CombinedOutput()
	if errors.Is(err, exec.ErrNotFound) {
		return fmt.Errorf("%w: install iproute2 and nftables", err)
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w\n%s%s", name, strings.Join(args, " "), err, input, out)
	}
	return nil
}
