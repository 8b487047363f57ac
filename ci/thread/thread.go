// Package thread calls functions in other network namespaces, each on a thread of its own. It
// never changes the namespace of its caller. A program that it is part of has the main thread
// for main alone.
package thread

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// Go never ends the main thread (mexit, runtime/proc.go). If it called a function, it would
// keep the namespace that it went to.
func init() { runtime.LockOSThread() }

// Apart calls a function on a thread that ends with it: it may change the thread's namespaces.
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
			return fmt.Errorf("entering network namespace %s: %w", namespace.Name(), err)
		}
		return do()
	})
}
