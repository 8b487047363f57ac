// Command netsetgo gives a container's network namespace a working network, once,
// and exits. This package is the edge of the process: arguments, the OCI state on
// standard input, output and exit status, and the one place where the parts are
// put together. It holds no network logic.
package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	// Whoever doesn't read the result to its end makes an error, after which the work
	// is undone, and not the end of this process midway.
	signal.Ignore(syscall.SIGPIPE)
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
