// Command bench measures what netsetgo costs, on hosts of its own (network and mount
// namespaces): what its rules add to a run of `up`, and to a packet. It prints tables and
// fails where a figure misses its bar. It never touches the machine's network.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

func main() {
	// For good: the thread becomes the host, and what it starts is on that host.
	runtime.LockOSThread()
	binary := flag.String("binary", "bin/netsetgo", "the netsetgo to run")
	runs := flag.Int("runs", 200, "how many runs of each kind")
	attach := flag.Bool("attach", false, "compare how long others take to connect a container, and nothing else")
	flag.Parse()
	failed := false
	benches := []func() error{func() error { return benchRules(*binary, *runs) }, benchPackets}
	if *attach {
		benches = []func() error{func() error { return benchAttach(*binary, *runs) }}
	}
	for _, bench := range benches {
		err := onNewHost(bench)
		if err != nil {
			// The machine may have been busy with something else.
			_, _ = fmt.Fprintln(os.Stderr, "bench: once more:", err)
			err = onNewHost(bench)
		}
		if err != nil {
			failed = true
			_, _ = fmt.Fprintln(os.Stderr, "bench:", err)
		}
	}
	if failed {
		os.Exit(1)
	}
}

func onNewHost(bench func() error) error {
	if err := newHost(); err != nil {
		return err
	}
	return bench()
}

// newHost puts the thread on a host of its own, with a default route of both families by a
// link named up0, whose other end nobody has yet.
func newHost() error {
	if err := unix.Unshare(unix.CLONE_NEWNET | unix.CLONE_NEWNS | unix.CLONE_FS); err != nil {
		return fmt.Errorf("making a host, for which bench must be root: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("making a host: %w", err)
	}
	if err := unix.Mount("tmpfs", "/run", "tmpfs", 0, ""); err != nil {
		return fmt.Errorf("making a host: %w", err)
	}
	return sh(`
		ip link set lo up
		echo 0 >/proc/sys/net/ipv4/ip_forward
		ip link add up0 type veth peer name eth0
		ip address add 192.0.2.1/24 dev up0
		ip link set up0 up
		ip route add default via 192.0.2.254
		if [ -e /proc/sys/net/bridge ]; then
			for key in /proc/sys/net/bridge/bridge-nf-call-*; do echo 0 >$key; done
		fi
	`)
}

// sh runs a shell script on the thread's host.
func sh(script string) error {
	out, err := exec.Command("sh", "-ec", script).CombinedOutput()
	if err != nil {
		return fmt.Errorf("preparing: %w: %s", err, out)
	}
	return nil
}

// newNamespace makes a network namespace that lives as long as the file, or as something
// in it.
func newNamespace() (*os.File, error) {
	type made struct {
		file *os.File
		err  error
	}
	done := make(chan made)
	go func() {
		runtime.LockOSThread() // for good: the thread ends here
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			done <- made{nil, err}
			return
		}
		file, err := os.Open("/proc/thread-self/ns/net")
		done <- made{file, err}
	}()
	namespace := <-done
	return namespace.file, namespace.err
}

// path is that of an open namespace, for programs that are started.
func path(namespace *os.File) string {
	return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), namespace.Fd())
}

// quartiles are the middle of some times, and what a quarter of them is below and above.
func quartiles(times []time.Duration) (low, median, high time.Duration) {
	slices.Sort(times)
	n := len(times)
	return times[n/4], times[n/2], times[3*n/4]
}

// row prints one line of a table.
func row(what string, times []time.Duration) time.Duration {
	low, median, high := quartiles(times)
	_, _ = fmt.Fprintf(os.Stdout, "  %-44s %8.2f  (%.2f to %.2f)\n", what, micro(median), micro(low), micro(high))
	return median
}

func micro(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 }

// nameNamespace makes a network namespace with a name as `ip netns` gives, which is as long as
// this thread's mounts are.
func nameNamespace(name string) error {
	file, err := newNamespace()
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }() // the name holds it
	target := namespaces + name
	if err := os.WriteFile(target, nil, 0o600); err != nil {
		return fmt.Errorf("naming a namespace: %w", err)
	}
	if err := unix.Mount(fmt.Sprintf("/proc/self/fd/%d", file.Fd()), target, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("naming a namespace: %w", err)
	}
	return nil
}

// memory is a file in memory that holds a text.
func memory(text string) (*os.File, error) {
	fd, err := unix.MemfdCreate("bench", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("making a file in memory: %w", err)
	}
	file := os.NewFile(uintptr(fd), "bench")
	_, err = file.WriteAt([]byte(text), 0)
	return file, err
}
