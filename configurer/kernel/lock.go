package kernel

import (
	"errors"
	"fmt"

	"github.com/netsetgo/netsetgo/configurer"
	"golang.org/x/sys/unix"
)

// lockPath is the one file that netsetgo keeps. It holds nothing.
const lockPath = "/run/netsetgo.lock"

type lock struct{ fd int }

// TryLock implements configurer.Kernel by flock(2), which the kernel lets go of
// with the process. To change how a lock is held lets go of it for a moment.
func (System) TryLock(held configurer.Lock, exclusive bool) (configurer.Lock, error) {
	how := unix.LOCK_SH
	if exclusive {
		how = unix.LOCK_EX
	}
	if mine, ok := held.(*lock); ok {
		return mine, flock(mine.fd, how)
	}
	fd, err := openFile(lockPath, unix.O_RDWR|unix.O_CREAT|unix.O_NOFOLLOW)
	if err != nil {
		return nil, fmt.Errorf("opening the lock %s, for which netsetgo has to write to /run: %w", lockPath, err)
	}
	if err := flock(fd, how); err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	return &lock{fd}, nil
}

func flock(fd, how int) error {
	for {
		err := unix.Flock(fd, how|unix.LOCK_NB)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EWOULDBLOCK):
			return fmt.Errorf("locking %s: %w", lockPath, configurer.ErrBusy)
		}
		return fmt.Errorf("locking %s: %w", lockPath, err)
	}
}

// Release implements configurer.Lock.
func (l *lock) Release() error {
	if err := unix.Close(l.fd); err != nil {
		return fmt.Errorf("releasing %s: %w", lockPath, err)
	}
	return nil
}
