package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// maxState bounds what is read from a runtime; states are a few hundred bytes and
// annotations.
const maxState = 512 << 10

// errTerminal is of a command line without a target, typed by somebody.
var errTerminal = errors.New("no target is named")

// errEmpty is of a standard input that holds no state.
var errEmpty = errors.New("it is empty; " + nameOne)

// state is the OCI state that a runtime writes to the standard input of its hooks
// (runtime-spec, runtime.md, State). Runtimes differ: crun calls its version
// "1.0", and the container "created" at prestart.
type state struct{ specs.State }

const nameOne = "name a container by -pid or -netns, for down also by -id, or call netsetgo as a hook"

func readState(stdin io.Reader, timeout time.Duration) (state, error) {
	var s state
	if isTerminal(stdin) {
		return s, errTerminal
	}
	text, err := readAll(stdin, timeout)
	switch {
	case err != nil:
		return s, fmt.Errorf("reading the container's state from standard input: %w", err)
	case len(text) == 0:
		return s, fmt.Errorf("reading the container's state from standard input: %w", errEmpty)
	case len(text) > maxState:
		return s, fmt.Errorf("reading the container's state from standard input: it is longer than %d bytes", maxState)
	}
	if err := json.Unmarshal(text, &s.State); err != nil {
		return s, fmt.Errorf("reading the container's state from standard input: it isn't an OCI state: %w; %s", err, nameOne)
	}
	return s, nil
}

// readAll reads to the end, or a little more than is taken, or until the time is
// over: a pipe may stay open for ever.
func readAll(stdin io.Reader, timeout time.Duration) ([]byte, error) {
	type ending struct {
		text []byte
		err  error
	}
	done := make(chan ending, 1)
	go func() {
		text, err := io.ReadAll(io.LimitReader(stdin, maxState+1))
		done <- ending{text, err}
	}()
	select {
	case end := <-done:
		return end.text, end.err
	case <-time.After(timeout):
		return nil, fmt.Errorf("its end didn't come within %s", timeout)
	}
}

func (s state) stopped() bool { return s.Status == specs.StateStopped }

// verb is what the state asks for, unless a verb was given.
func (s state) verb(given string) (string, error) {
	verb := given
	switch s.Status {
	case specs.StateCreating, specs.StateCreated, specs.StateRunning:
		if verb == "" {
			verb = "up"
		}
	case specs.StateStopped:
		if verb == "" {
			verb = "down"
		}
	default:
		return "", fmt.Errorf("reading the container's state: its status is %q; creating, created, running and stopped are known", s.Status)
	}
	if s.Pid < 0 {
		return "", fmt.Errorf("reading the container's state: its pid is %d", s.Pid)
	}
	if verb != "down" && s.stopped() && s.Pid == 0 {
		return "", fmt.Errorf("reading the container's state: container %q has stopped, and has pid 0: there is no network to %s", s.ID, verb)
	}
	if verb != "down" && s.Pid <= 1 {
		return "", fmt.Errorf("reading the container's state: container %q has pid %d, as that of a createContainer hook, "+
			"which runs inside the container; call netsetgo at prestart or createRuntime", s.ID, s.Pid)
	}
	return verb, nil
}
