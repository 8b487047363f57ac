package kernel

import (
	"errors"

	"golang.org/x/sys/unix"
)

// openFile opens a file that programs which are started don't get, and that is its owner's
// alone where it is made. Where it stands on a slow file system a signal may interrupt
// that (open(2)): so it tries again, as package os does.
func openFile(path string, flags int) (fd int, err error) {
	for {
		fd, err = unix.Open(path, flags|unix.O_CLOEXEC, 0o600)
		if !errors.Is(err, unix.EINTR) {
			return fd, err
		}
	}
}
