package kernel

import (
	"github.com/netsetgo/netsetgo/configurer"
	"golang.org/x/sys/unix"
)

// Error is what the kernel said to a request. It is compared with errors.Is, with
// the errors of package configurer or with an errno.
type Error struct {
	Errno unix.Errno
	// Text is in the kernel's own words; "" where it had none.
	Text string
}

// Error implements error.
func (e *Error) Error() string {
	if e.Text != "" {
		return e.Errno.Error() + " (" + e.Text + ")"
	}
	return e.Errno.Error()
}

// Unwrap makes the error both its errno and what that means to the callers.
func (e *Error) Unwrap() []error {
	if meaning := meaningOf(e.Errno); meaning != nil {
		return []error{e.Errno, meaning}
	}
	return []error{e.Errno}
}

func meaningOf(errno unix.Errno) error {
	switch errno {
	case unix.EEXIST:
		return configurer.ErrExists
	// A link, a name or a table; a route to be deleted; an address to be deleted.
	case unix.ENODEV, unix.ENOENT, unix.ESRCH, unix.EADDRNOTAVAIL:
		return configurer.ErrNotFound
	case unix.EXFULL:
		return configurer.ErrFull
	}
	return nil
}
