package ffmpeg

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// parentRole makes the test binary a parent that runs ffmpeg until it is killed.
const parentRole = "MILLRACE_TEST_PARENT"

// actAsParent runs an endless ffmpeg that first says its process id.
func actAsParent() {
	t, err := Find(context.Background(), "", "")
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	c := Command{
		Args:    []string{"-re", "-f", "lavfi", "-i", "testsrc2=s=64x64:r=30", "-f", "rawvideo", PipeURL(0)},
		Outputs: []func(io.Reader) error{sayChild},
		Dir:     os.TempDir(),
	}
	if os.Getenv(parentRole) == "sandboxed" {
		c.Sandbox = &Sandbox{}
	}
	_, err = t.Run(context.Background(), c)
	fmt.Println("ended early:", err)
	os.Exit(1)
}

// sayChild prints the id of this process's only child, once it has written
// pictures: by then the sandbox, if any, has become ffmpeg.
func sayChild(r io.Reader) error {
	if _, err := io.ReadFull(r, make([]byte, 64)); err != nil {
		return err
	}
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return err
	}
	for _, task := range tasks {
		children, _ := os.ReadFile("/proc/self/task/" + task.Name() + "/children")
		for _, child := range strings.Fields(string(children)) {
			fmt.Println("child", child)
		}
	}
	_, err = io.Copy(io.Discard, r)
	return err
}

func TestFFmpegDiesWithAKilledParent(t *testing.T) {
	for _, role := range []string{"plain", "sandboxed"} {
		t.Run(role, func(t *testing.T) {
			self, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			parent := exec.CommandContext(t.Context(), self)
			parent.Env = append(os.Environ(), parentRole+"="+role)
			out, err := parent.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := parent.Start(); err != nil {
				t.Fatal(err)
			}
			line := make([]byte, 64)
			n, err := out.Read(line)
			if err != nil {
				t.Fatal(err)
			}
			text, isChild := strings.CutPrefix(strings.TrimSpace(string(line[:n])), "child ")
			pid, err := strconv.Atoi(text)
			if !isChild || err != nil {
				t.Fatalf("the parent says %q", line[:n])
			}
			name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
			if err != nil || !bytes.HasPrefix(name, []byte("ffmpeg")) {
				t.Fatalf("process %d is %q: %v", pid, name, err)
			}
			pidfd, err := unix.PidfdOpen(pid, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = unix.Close(pidfd) }()

			if err := parent.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = parent.Wait() // it was killed
			awaitExit(t, pidfd)
		})
	}
}

// awaitExit waits until the process behind pidfd has ended; only the test's own
// deadline limits it.
func awaitExit(t *testing.T, pidfd int) {
	t.Helper()
	for {
		fds := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, -1)
		if err != nil && !errors.Is(err, unix.EINTR) {
			t.Fatal(err)
		}
		if n == 1 {
			return
		}
	}
}
