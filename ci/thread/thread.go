// Package thread calls functions in network namespaces, by threads that end there. It
// never changes the namespace of the program that calls it.
package thread

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// The first thread is for main alone: Go never ends it (mexit, runtime/proc.go). If it called
// a function, it would keep the namespace that it went to.
func init() { runtime.LockOSThread() }

// Apart calls a function by a thread of its own: where that goes, nobody follows.
func Apart(do func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: the thread ends here
		done <- do()
	}()
	return <-done
}

// In calls a function in a network namespace: sockets that it opens stay there.
func In(namespace *os.File, do func() error) error {
	return Apart(func() error {
		if err := unix.Setns(int(namespace.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("entering a network namespace: %w", err)
		}
		return do()
	})
}
