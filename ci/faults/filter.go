package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// watched are the calls that faults are put into: those by which netsetgo asks the kernel
// for something. Left out are those of memory, of threads, of limits and flags of descriptors, close,
// and those that read folders and links, by which a program that listens is looked for.
var watched = map[int32]string{
	unix.SYS_SOCKET: "socket", unix.SYS_BIND: "bind", unix.SYS_SETSOCKOPT: "setsockopt",
	unix.SYS_SENDTO: "sendto", unix.SYS_SENDMSG: "sendmsg", unix.SYS_RECVFROM: "recvfrom", unix.SYS_RECVMSG: "recvmsg",
	unix.SYS_SETNS: "setns", unix.SYS_PIDFD_OPEN: "pidfd_open", unix.SYS_PIDFD_SEND_SIGNAL: "pidfd_send_signal", unix.SYS_IOCTL: "ioctl",
	unix.SYS_OPENAT: "openat", unix.SYS_READ: "read", unix.SYS_WRITE: "write",
	unix.SYS_FLOCK: "flock", unix.SYS_FSTAT: "fstat", unix.SYS_CAPGET: "capget",
}

// architectures are those whose numbers a filter may be made of, as the kernel calls them.
var architectures = map[string]uint32{"amd64": unix.AUDIT_ARCH_X86_64, "arm64": unix.AUDIT_ARCH_AARCH64}

// filter hands watched calls to who listens, and lets all others by.
func filter() []unix.SockFilter {
	const offsetNr, offsetArch = 0, 4 // struct seccomp_data, linux/seccomp.h
	load := func(offset uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset}
	}
	answer := func(what uint32) unix.SockFilter { return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: what} }
	unless := func(value uint32) unix.SockFilter { // it is equal, skip the next
		return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: value, Jf: 1}
	}
	program := []unix.SockFilter{load(offsetArch), {Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: architectures[runtime.GOARCH], Jt: 1}, answer(unix.SECCOMP_RET_ALLOW), load(offsetNr)}
	for number := range watched {
		program = append(program, unless(uint32(number)), answer(unix.SECCOMP_RET_USER_NOTIF))
	}
	return append(program, answer(unix.SECCOMP_RET_ALLOW))
}

// stubName is the first argument by which this program knows that it is the stub, and
// stubSocket the descriptor by which it speaks with the supervisor.
const (
	stubName   = "-stub"
	stubSocket = 3
)

// stub puts the filter onto itself, tells the supervisor the number of the descriptor to
// listen at, waits until that has taken it, and becomes the program. From the filter on it
// makes raw calls only, none of them watched: nobody would answer.
func stub(command []string) error {
	program := filter()
	fprog := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	path, err := unix.BytePtrFromString(command[0])
	if err != nil {
		return err
	}
	argv, err := pointers(command)
	if err != nil {
		return err
	}
	envv, err := pointers(os.Environ())
	if err != nil {
		return err
	}
	var number int32
	iovec := unix.Iovec{Base: (*byte)(unsafe.Pointer(&number))}
	iovec.SetLen(4)
	var taken [1]byte
	unix.CloseOnExec(stubSocket)

	listener, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_NEW_LISTENER, uintptr(unsafe.Pointer(&fprog)))
	if errno != 0 {
		return fmt.Errorf("putting on the filter: %w", errno)
	}
	number = int32(listener)
	if _, _, errno = unix.RawSyscall(unix.SYS_WRITEV, stubSocket, uintptr(unsafe.Pointer(&iovec)), 1); errno == 0 {
		iovec.Base = &taken[0]
		iovec.SetLen(1)
		_, _, errno = unix.RawSyscall(unix.SYS_READV, stubSocket, uintptr(unsafe.Pointer(&iovec)), 1)
	}
	if errno == 0 {
		_, _, errno = unix.RawSyscall(unix.SYS_EXECVE, uintptr(unsafe.Pointer(path)), uintptr(unsafe.Pointer(&argv[0])), uintptr(unsafe.Pointer(&envv[0])))
	}
	runtime.KeepAlive(fprog)
	return errors.Join(errors.New("becoming the program"), errno)
}

func pointers(texts []string) ([]*byte, error) {
	var list []*byte
	for _, text := range texts {
		pointer, err := unix.BytePtrFromString(text)
		if err != nil {
			return nil, err
		}
		list = append(list, pointer)
	}
	return append(list, nil), nil
}

// notification is struct seccomp_notif, and response struct seccomp_notif_resp, of
// linux/seccomp.h.
type notification struct {
	id                 uint64
	pid, flags         uint32 // of the thread
	number             int32
	arch               uint32
	instructionPointer uint64
	args               [6]uint64
}

type response struct {
	id    uint64
	value int64
	err   int32
	flags uint32
}

// receive takes the next notification; ok is false where the call ended meanwhile.
func receive(listener int) (n notification, ok bool, err error) {
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(listener), unix.SECCOMP_IOCTL_NOTIF_RECV, uintptr(unsafe.Pointer(&n)))
	switch errno {
	case 0:
		return n, true, nil
	case unix.ENOENT, unix.EINTR:
		return n, false, nil
	}
	return n, false, fmt.Errorf("receiving a notification: %w", errno)
}

// respond answers one; that the caller is gone is no error.
func respond(listener int, r response) error {
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(listener), unix.SECCOMP_IOCTL_NOTIF_SEND, uintptr(unsafe.Pointer(&r)))
	if errno != 0 && errno != unix.ENOENT {
		return fmt.Errorf("answering a notification: %w", errno)
	}
	return nil
}

// goOn lets a call be made.
func goOn(n notification) response {
	return response{id: n.id, flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE}
}

// peek reads the memory of a stopped thread, up to so many bytes.
func peek(pid uint32, address uint64, length int) []byte {
	buffer := make([]byte, length)
	local := unix.Iovec{Base: &buffer[0]}
	local.SetLen(length)
	n, err := unix.ProcessVMReadv(int(pid), []unix.Iovec{local}, []unix.RemoteIovec{{Base: uintptr(address), Len: length}}, 0)
	if err != nil {
		return nil
	}
	return buffer[:n]
}

// poke writes there.
func poke(pid uint32, address uint64, data []byte) error {
	local := unix.Iovec{Base: &data[0]}
	local.SetLen(len(data))
	_, err := unix.ProcessVMWritev(int(pid), []unix.Iovec{local}, []unix.RemoteIovec{{Base: uintptr(address), Len: len(data)}}, 0)
	return err
}
