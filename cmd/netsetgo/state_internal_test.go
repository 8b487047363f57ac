package main

import (
	"errors"
	"io"
	"os"
	"strings"
	"testing/iotest"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/opencontainers/runtime-spec/specs-go"
)

var _ = Describe("the OCI state", Label("unit"), func() {
	It("is read as a runtime writes it", func() {
		// As runc 1.1 writes it at prestart.
		state, err := readNow(strings.NewReader(`{"ociVersion":"1.0.2-dev","id":"web","status":"creating","pid":4711,` +
			`"bundle":"/run/bundle","annotations":{"a":"b"}}`))
		Expect(err).NotTo(HaveOccurred())
		Expect(state.ID).To(Equal("web"))
		Expect(state.Pid).To(Equal(4711))
		Expect(state.Status).To(Equal(specs.StateCreating))
	})

	It("is read as crun writes it, and with what a later version adds", func() {
		state, err := readNow(strings.NewReader(`{"ociVersion":"1.0","id":"web","pid":7,"root":"/r","bundle":"/b",` +
			`"status":"created","owner":"root","new":[1]}` + "\n"))
		Expect(err).NotTo(HaveOccurred())
		Expect(state.verb("")).To(Equal("up"))
	})

	DescribeTable("is refused", func(text string, input io.Reader) {
		_, err := readNow(input)
		Expect(err).To(MatchError(And(ContainSubstring("standard input"), ContainSubstring(text))))
		Expect(err).NotTo(MatchError(errUsage))
	},
		Entry("empty", "it is empty", strings.NewReader("")),
		Entry("blank", "isn't an OCI state", strings.NewReader("\n")),
		Entry("not JSON", "isn't an OCI state", strings.NewReader("web")),
		Entry("cut off", "isn't an OCI state", strings.NewReader(`{"id":"web"`)),
		Entry("followed by something", "isn't an OCI state", strings.NewReader(`{"id":"web"} {}`)),
		Entry("a list", "isn't an OCI state", strings.NewReader(`[]`)),
		Entry("a number", "isn't an OCI state", strings.NewReader(`7`)),
		Entry("a pid in quotes", "isn't an OCI state", strings.NewReader(`{"pid":"7"}`)),
		Entry("a pid with a fraction", "isn't an OCI state", strings.NewReader(`{"pid":7.5}`)),
		Entry("a pid too large", "isn't an OCI state", strings.NewReader(`{"pid":99999999999999999999}`)),
		Entry("an id that is a number", "isn't an OCI state", strings.NewReader(`{"id":7}`)),
		Entry("a status that is a number", "isn't an OCI state", strings.NewReader(`{"status":7}`)),
		Entry("annotations that are a list", "isn't an OCI state", strings.NewReader(`{"annotations":[]}`)),
		Entry("a byte longer than is read", "longer than 524288 bytes", strings.NewReader(strings.Repeat(" ", 524289))),
		Entry("a megabyte of JSON", "longer than 524288 bytes", strings.NewReader(`{"id":"`+strings.Repeat("x", 1<<20)+`"}`)),
		Entry("that can't be read", "broken pipe", iotest.ErrReader(errors.New("broken pipe"))),
	)

	It("may be as long as is read", func() {
		state, err := readNow(strings.NewReader(`{"id":"web"}` + strings.Repeat(" ", 524288-12)))
		Expect(err).NotTo(HaveOccurred())
		Expect(state.ID).To(Equal("web"))
	})

	It("isn't read to an end that may never come", func() {
		endless := strings.NewReader(strings.Repeat(" ", 8<<20))
		_, err := readNow(endless)
		Expect(err).To(MatchError(ContainSubstring("longer than 524288 bytes")))
		Expect(endless.Len()).To(BeNumerically(">", 7<<20))
	})

	It("isn't waited for longer than -timeout", func() {
		reader, writer, err := os.Pipe()
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(reader.Close)
		DeferCleanup(writer.Close)
		_, err = readState(reader, time.Millisecond)
		Expect(err).To(MatchError(ContainSubstring("its end didn't come within 1ms")))
	})

	It("isn't sought in a file that is no terminal, but read", func() {
		null, err := os.Open(os.DevNull)
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(null.Close)
		_, err = readNow(null)
		Expect(err).To(MatchError(ContainSubstring("it is empty")))
	})

	DescribeTable("says what is to be done", func(status specs.ContainerState, given, verb string) {
		s := state{specs.State{ID: "web", Pid: 7, Status: status}}
		Expect(s.verb(given)).To(Equal(verb))
	},
		Entry("creating", specs.StateCreating, "", "up"),
		Entry("created", specs.StateCreated, "", "up"),
		Entry("running", specs.StateRunning, "", "up"),
		Entry("stopped", specs.StateStopped, "", "down"),
		Entry("creating, but a verb is given", specs.StateCreating, "down", "down"),
		Entry("running, but a verb is given", specs.StateRunning, "down", "down"),
		Entry("stopped, but a verb is given", specs.StateStopped, "up", "up"),
	)

	DescribeTable("is refused for what it says", func(s specs.State, given, text string) {
		verb, err := state{s}.verb(given)
		Expect(err).To(MatchError(ContainSubstring(text)))
		Expect(verb).To(BeEmpty())
	},
		Entry("no status", specs.State{ID: "web", Pid: 7}, "", `its status is ""`),
		Entry("an unknown status", specs.State{ID: "web", Pid: 7, Status: "paused\x1b"}, "", `its status is "paused\x1b"`),
		Entry("an unknown status, a verb given", specs.State{ID: "web", Pid: 7, Status: "paused"}, "down", `its status is "paused"`),
		Entry("pid 0", specs.State{ID: "web", Status: specs.StateCreated}, "", "call netsetgo at prestart or createRuntime"),
		Entry("pid 1, inside the container already", specs.State{ID: "web", Pid: 1, Status: specs.StateCreated}, "", "createContainer"),
		Entry("pid 0, when up is asked for", specs.State{ID: "web", Status: specs.StateStopped}, "up", "pid 0"),
		Entry("a pid below 0", specs.State{ID: "web", Pid: -1, Status: specs.StateRunning}, "", "its pid is -1"),
		Entry("a pid below 0, stopped", specs.State{ID: "web", Pid: -1, Status: specs.StateStopped}, "", "its pid is -1"),
	)

	DescribeTable("means down when it has stopped, whatever its pid", func(pid int) {
		s := state{specs.State{ID: "web", Pid: pid, Status: specs.StateStopped}}
		Expect(s.verb("")).To(Equal("down"))
		Expect(s.stopped()).To(BeTrue())
	},
		Entry("as crun has it", 0), Entry("as runc has it", 4711),
	)
})

// readNow reads a state that is there already.
func readNow(stdin io.Reader) (state, error) { return readState(stdin, time.Minute) }
