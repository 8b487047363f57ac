package main

import (
	"bytes"
	"cmp"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"github.com/netsetgo/netsetgo/ci/testbed"
)

// process is one of an operation.
type process struct {
	operation
	cmd    *exec.Cmd
	output bytes.Buffer
	began  time.Time
	took   time.Duration
	ended  chan struct{}
	line   int // of the log
}

func (s *session) start(o operation) (*process, error) {
	command := o.command(s.targets[o.container])
	words := strings.Fields(command)
	if words[0] == "netsetgo" {
		words[0] = s.binary
	}
	p := &process{operation: o, cmd: exec.Command(words[0], words[1:]...), ended: make(chan struct{}), line: len(s.log), began: time.Now()}
	p.cmd.Stdout, p.cmd.Stderr = &p.output, &p.output
	s.logf("%s &", command)
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("%s: %w", command, err)
	}
	if o.dies != 0 {
		time.AfterFunc(o.dies, func() { _ = p.cmd.Process.Kill() })
	}
	go func() {
		_ = p.cmd.Wait() // its state says it
		p.took = time.Since(p.began)
		close(p.ended)
	}()
	return p, nil
}

// finish waits for a process, and looks at what it said.
func (s *session) finish(p *process) (code int, err error) {
	// A call to the kernel isn't bounded by -timeout, nor is undoing; both wait for what goes on
	// in other namespaces.
	limit := cmp.Or(p.hurried, 10*time.Second) + 5*time.Second
	wrong := ""
	select {
	case <-p.ended:
	case <-time.After(time.Until(p.began.Add(limit))):
		wrong = "it takes too long"
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
	code = p.cmd.ProcessState.ExitCode()
	said := p.output.String()
	s.log[p.line] += fmt.Sprintf("  # exit %d in %s: %s", code, p.took.Round(time.Millisecond),
		strings.ReplaceAll(strings.TrimSpace(said), "\n", "\n      # "))
	if p.what > check {
		s.count.byHand++
		return code, nil
	}
	s.count.runs++
	switch {
	case wrong != "":
	case code == killed && p.dies != 0:
		s.count.killed++
	case code == 0 && said != "":
		wrong = "it succeeds, and says something"
	case code == 1:
		s.count.refused++
		if !testbed.IsError(said) {
			wrong = "its error isn't one line"
		}
	case code != 0 && (code != 3 || p.what != check):
		wrong = "there is no such exit status"
	}
	if wrong != "" {
		err = fmt.Errorf("%w: %s: %s", errBroken, wrong, strings.TrimSpace(s.log[p.line]))
	}
	return code, err
}
