package kernel

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// How many files are open at once, at most.
const (
	// ofSide is a side's, as long as it may be undone: the lock. What is opened for a moment,
	// such as a sysctl, is while the last side has yet to take it, or has let go of it.
	ofSide = 1
	// ofRun is the run's: two sockets on the host, one in the container, the container's
	// namespace, and two with which Go's runtime polls, should the run have to wait.
	ofRun = 3 + 1 + 2
)

// Reserve makes sure that a run of so many sides can open all its files, and so many
// others. What fails in the middle of the work for want of a descriptor may be an undo,
// which opens files, too; or Go's runtime, which ends the process where it can't poll
// (netpollinit, runtime/netpoll_epoll.go).
func Reserve(sides, others int) error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("looking how many files may be open: %w", err)
	}
	needed, free := sides*ofSide+ofRun+others, 0
	// A new file gets the lowest number that is free. 0, 1 and 2 aren't: the runtime sees
	// to that. To ask for numbers takes two thirds of the time of taking and closing them;
	// poll(2) on all of them half of that, but it may wait for the server of a file system.
	for fd := uint64(3); fd < limit.Cur && free < needed; fd++ {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); errors.Is(err, unix.EBADF) {
			free++
		}
	}
	if free < needed {
		return fmt.Errorf("opening files: netsetgo may open %d more, and needs up to %d; raise the limit (ulimit -n): %w",
			free, needed, unix.EMFILE)
	}
	return nil
}
