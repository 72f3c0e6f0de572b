package ffmpeg

import (
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// forbiddenCalls are system calls that ffmpeg has no use for and an exploited
// decoder might: looking into other processes, leaving the sandbox's view of the
// system, and io_uring, whose operations a filter can't see.
var forbiddenCalls = []uint32{
	unix.SYS_PTRACE, unix.SYS_PROCESS_VM_READV, unix.SYS_PROCESS_VM_WRITEV, unix.SYS_PIDFD_GETFD,
	unix.SYS_IO_URING_SETUP, unix.SYS_BPF, unix.SYS_PERF_EVENT_OPEN, unix.SYS_USERFAULTFD,
	unix.SYS_KEYCTL, unix.SYS_ADD_KEY, unix.SYS_REQUEST_KEY,
	unix.SYS_UNSHARE, unix.SYS_SETNS, unix.SYS_MOUNT, unix.SYS_PIVOT_ROOT, unix.SYS_CHROOT,
	unix.SYS_INIT_MODULE, unix.SYS_FINIT_MODULE, unix.SYS_KEXEC_LOAD, unix.SYS_REBOOT,
}

// Offsets into struct seccomp_data, on little-endian machines.
const (
	dataNumber = 0
	dataArch   = 4
	dataArgs   = 16 // 8 bytes each; the low half comes first
)

// Where a 64-bit x86 kernel puts the calls of its x32 mode.
const x32Bit = 0x40000000

// filterSyscalls confines the calling thread, and what it executes, to TCP
// sockets (and Unix ones if asked) and to calls that are not forbidden. Landlock
// sees neither UDP (before version 10) nor multipath TCP, so those are refused
// here. A forbidden call fails with EACCES. It does nothing on processors whose
// numbers it doesn't know.
func filterSyscalls(unixSockets bool) error {
	arch, known := map[string]uint32{"amd64": unix.AUDIT_ARCH_X86_64, "arm64": unix.AUDIT_ARCH_AARCH64}[runtime.GOARCH]
	if !known {
		return nil
	}
	program := socketFilter(arch, unixSockets)
	fprog := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	err := unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&fprog)), 0, 0) //nolint:gosec // G103: the call takes an address
	if err != nil {
		return fmt.Errorf("filter system calls: %w", err)
	}
	return nil
}

func socketFilter(arch uint32, unixSockets bool) []unix.SockFilter {
	const deny = unix.SECCOMP_RET_ERRNO | uint32(unix.EACCES)
	const allow = unix.SECCOMP_RET_ALLOW
	load := func(offset uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset}
	}
	// Jumps count the instructions to skip if equal, and if not.
	ifEqual := func(k uint32, yes, no uint8) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: k, Jt: yes, Jf: no}
	}
	answer := func(k uint32) unix.SockFilter { return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: k} }
	local := deny
	if unixSockets {
		local = allow
	}

	program := []unix.SockFilter{
		load(dataArch), ifEqual(arch, 1, 0), answer(unix.SECCOMP_RET_KILL_PROCESS),
		load(dataNumber),
		{Code: unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K, K: x32Bit, Jt: 0, Jf: 1}, answer(deny),
	}
	for _, call := range forbiddenCalls {
		program = append(program, ifEqual(call, 0, 1), answer(deny))
	}
	return append(program,
		ifEqual(unix.SYS_SOCKET, 1, 0), answer(allow),
		load(dataArgs), // the domain
		ifEqual(unix.AF_UNIX, 0, 1), answer(local),
		ifEqual(unix.AF_INET, 2, 0), ifEqual(unix.AF_INET6, 1, 0), answer(deny),
		load(dataArgs+8), // the type, with flags above its low four bits
		unix.SockFilter{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: 0xf},
		ifEqual(unix.SOCK_STREAM, 1, 0), answer(deny),
		load(dataArgs+16), // the protocol: 0 is the usual one
		ifEqual(0, 2, 0), ifEqual(unix.IPPROTO_TCP, 1, 0), answer(deny),
		answer(allow),
	)
}
