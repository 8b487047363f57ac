package testbed

import (
	"os"

	"golang.org/x/sys/unix"

	"github.com/netsetgo/netsetgo/ci/thread"
)

// NewNamespace makes a network namespace that lives as long as the file, or as something
// in it.
func NewNamespace() (file *os.File, err error) {
	err = thread.Apart(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return err
		}
		file, err = os.Open("/proc/thread-self/ns/net")
		return err
	})
	return file, err
}
