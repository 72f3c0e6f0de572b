package ffmpeg

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"github.com/landlock-lsm/go-landlock/landlock"
	"golang.org/x/sys/unix"
)

// systemPaths is what any program needs to start: libraries, fonts for none of
// our filters but for libraries that look, the number of CPUs. Not all of /etc:
// this may run as root, and there are keys in it.
var systemPaths = []string{
	"/usr", "/lib", "/lib64", "/bin",
	"/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/alternatives", "/etc/fonts", "/etc/localtime",
	"/sys/devices/system/cpu", "/sys/devices/system/node", "/proc/cpuinfo",
	"/dev/urandom", "/dev/zero",
}

// driverPaths is what NVIDIA's, Intel's and AMD's user-space drivers read.
var driverPaths = []string{
	"/etc/OpenCL", "/etc/vulkan", "/etc/glvnd", "/etc/nvidia", "/etc/libva.conf", "/etc/drirc",
	"/opt/amdgpu", "/opt/intel", "/run/nvidia", "/run/opengl-driver",
	"/sys/bus/pci", "/sys/dev/char", "/sys/devices", "/sys/class/drm", "/sys/module/nvidia", "/sys/module/amdgpu",
	"/proc/driver", "/proc/devices", "/proc/modules", "/proc/meminfo", "/proc/self", "/dev/dri",
}

// enterSandbox confines this process and becomes argv. It returns only if that
// can't be done.
//
// All of it happens on one locked thread, and it is this thread that executes:
// of a process with many threads the executing one survives, with its own death
// signal, niceness and seccomp filter, whichever of them it was.
func enterSandbox(text string, argv []string) error {
	runtime.LockOSThread()
	var c confinement
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		return fmt.Errorf("read what is allowed: %w", err)
	}
	if err := dieWith(c.Parent); err != nil {
		return err
	}
	if c.Nice != 0 {
		_ = unix.Setpriority(unix.PRIO_PROCESS, 0, c.Nice) // a hint: worse is only slower
	}
	if err := setLimit(unix.RLIMIT_CORE, 0); err != nil {
		return err
	}
	if c.MaxFileBytes > 0 {
		if err := setLimit(unix.RLIMIT_FSIZE, uint64(c.MaxFileBytes)); err != nil {
			return err
		}
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("give up new privileges: %w", err)
	}
	// V10 is the newest that this list was thought through for; older kernels
	// enforce what they know.
	if err := landlock.V10.BestEffort().Restrict(c.rules()...); err != nil {
		return fmt.Errorf("restrict files and ports: %w", err)
	}
	if err := filterSyscalls(len(c.DevicePaths) > 0); err != nil {
		return err
	}
	err := syscall.Exec(argv[0], argv, os.Environ()) //nolint:gosec // G702: to run what our parent says is the purpose
	return fmt.Errorf("execute %s: %w", argv[0], err)
}

// dieWith asks the kernel to kill this thread's process when the parent dies.
// The request that the parent made is the first thread's alone.
func dieWith(parent int) error {
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		return fmt.Errorf("ask to die with the parent: %w", err)
	}
	if os.Getppid() != parent {
		return errors.New("the parent has died already")
	}
	return nil
}

func setLimit(resource int, value uint64) error {
	if err := unix.Setrlimit(resource, &unix.Rlimit{Cur: value, Max: value}); err != nil {
		return fmt.Errorf("set resource limit %d to %d: %w", resource, value, err)
	}
	return nil
}

func (c *confinement) rules() []landlock.Rule {
	read := append([]string{c.Program}, systemPaths...)
	if resolved, err := filepath.EvalSymlinks(c.Program); err == nil {
		// A build outside of /usr has its libraries beside it.
		read = append(read, resolved, filepath.Join(filepath.Dir(filepath.Dir(resolved)), "lib"))
	}
	read = append(read, strings.FieldsFunc(os.Getenv("LD_LIBRARY_PATH"), func(r rune) bool { return r == ':' })...)
	read = append(read, c.ReadPaths...)
	if len(c.DevicePaths) > 0 {
		read = append(read, driverPaths...)
	}
	rules := []landlock.Rule{landlock.RWFiles("/dev/null")}
	for _, path := range read {
		rules = append(rules, readRule(path))
	}
	for _, path := range c.WritePaths {
		rules = append(rules, landlock.RWDirs(path).IgnoreIfMissing())
	}
	for _, path := range c.DevicePaths {
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			rules = append(rules, landlock.RWDirs(path).WithIoctlDev())
			continue
		}
		rules = append(rules, landlock.RWFiles(path).WithIoctlDev().IgnoreIfMissing())
	}
	for _, port := range c.ConnectPorts {
		rules = append(rules, landlock.ConnectTCP(port))
	}
	return rules
}

// readRule lets a file or a folder be read; a path that isn't there is no rule.
func readRule(path string) landlock.Rule {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return landlock.RODirs(path)
	}
	return landlock.ROFiles(path).IgnoreIfMissing()
}
