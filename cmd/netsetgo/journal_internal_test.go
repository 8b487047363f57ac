package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"golang.org/x/sys/unix"

	"github.com/netsetgo/netsetgo"
	"github.com/netsetgo/netsetgo/configurer/trace"
)

// nobody is a pid that no process has: pid_max is at most this, and pids are below it.
const nobody = "4194304"

// record is a line of a log, without its time.
type record map[string]any

// recordsOf are the lines of a log, each of which has the time at which it was written.
func recordsOf(text string) []record {
	GinkgoHelper()
	var records []record
	for line := range strings.Lines(text) {
		Expect(line).To(HaveSuffix("}\n"))
		var one record
		Expect(json.Unmarshal([]byte(line), &one)).To(Succeed(), line)
		Expect(time.Parse(time.RFC3339Nano, one["time"].(string))).To(BeTemporally("~", time.Now(), time.Hour))
		delete(one, "time")
		records = append(records, one)
	}
	return records
}

func readRecords(path string) []record {
	GinkgoHelper()
	return recordsOf(string(must(os.ReadFile(path))))
}

var _ = Describe("the log", Label("unit"), func() {
	var path string
	BeforeEach(func() { path = filepath.Join(GinkgoT().TempDir(), "log") })

	// opened is a log, and a call that writes to it.
	opened := func(verb string, args ...string) *call {
		GinkgoHelper()
		c := &call{verb: verb, options: parsed(args...), stdout: GinkgoWriter, stderr: GinkgoWriter}
		c.config, c.log = must(c.options.config()), must(openJournal(path, time.Now().Add(time.Minute)))
		return c
	}

	It("has a line for each change, made or refused", func() {
		c := opened("up", "-netns", "blue", "-id", "web")
		c.log.change(c, trace.Event{Command: "ip link add brg0", Why: "the bridge"})
		c.log.change(c, trace.Event{Command: "ip link add $'a\\nb'", Why: "a name\nwith two lines", Err: errors.New("file\nexists")})
		Expect(c.log.close()).To(Succeed())
		Expect(readRecords(path)).To(Equal([]record{
			{"level": "INFO", "msg": "change", "verb": "up", "container": "web", "target": "blue", "command": "ip link add brg0", "why": "the bridge"},
			{"level": "INFO", "msg": "change", "verb": "up", "container": "web", "target": "blue", "command": "ip link add $'a\\nb'", "why": "a name\nwith two lines", "refused": "file; exists"},
		}))
	})

	DescribeTable("says how it ended", func(err error, expected record, args ...string) {
		c := opened("check", append(args, "-pid", "7")...)
		c.pid = 7
		c.log.end(c, err)
		Expect(c.log.close()).To(Succeed())
		expected["msg"], expected["verb"], expected["target"] = "end", "check", "/proc/7/ns/net"
		Expect(readRecords(path)).To(Equal([]record{expected}))
	},
		Entry("well", nil, record{"level": "INFO", "outcome": "done"}),
		Entry("with differences", errDifferent, record{"level": "INFO", "outcome": "different"}),
		Entry("badly", errors.New("making a bridge:\n\"no\""), record{"level": "ERROR", "outcome": "failed", "error": "making a bridge:; \"no\""}),
		Entry("well, and dry", nil, record{"level": "INFO", "outcome": "done", "dryRun": true}, "-dryRun"),
		Entry("badly, and dry", errors.New("no"), record{"level": "ERROR", "outcome": "failed", "error": "no", "dryRun": true}, "-dryRun"),
	)

	It("gets each record by one write", func() {
		// A pipe in packet mode gives a reader what one write wrote (pipe(2), O_DIRECT).
		Expect(unix.Mkfifo(path, 0o600)).To(Succeed())
		pipe := must(os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0))
		DeferCleanup(pipe.Close)
		c := opened("up", "-netns", "blue", "-id", "web")
		Expect(must(c.log.file.SyscallConn()).Control(func(fd uintptr) {
			flags := must(unix.FcntlInt(fd, unix.F_GETFL, 0))
			Expect(flags & unix.O_APPEND).NotTo(BeZero())
			must(unix.FcntlInt(fd, unix.F_SETFL, flags|unix.O_DIRECT))
		})).To(Succeed())
		c.log.change(c, trace.Event{Command: "ip link add " + strings.Repeat("x", 2048), Why: "long"})
		c.log.change(c, trace.Event{Command: "ip link add y", Why: "short", Err: errors.New("no")})
		c.log.end(c, nil)
		Expect(c.log.close()).To(Succeed())
		for _, message := range []string{"change", "change", "end"} {
			packet := make([]byte, 1<<16)
			n := must(pipe.Read(packet))
			Expect(recordsOf(string(packet[:n]))).To(ConsistOf(HaveKeyWithValue("msg", message)))
		}
		_, err := pipe.Read(make([]byte, 1))
		Expect(err).To(MatchError(io.EOF))
	})

	It("keeps the lines of many runs whole", func() {
		const runs = 50
		var group sync.WaitGroup
		for range runs {
			group.Go(func() {
				run([]string{"up", "-netns", nowhere, "-log", path}, strings.NewReader(""), io.Discard, io.Discard)
			})
		}
		group.Wait()
		Expect(readRecords(path)).To(And(HaveLen(runs), HaveEach(HaveKeyWithValue("outcome", "failed"))))
	})

	It("is added to, and nobody else may read one that is made", func() {
		Expect(finish("", "-netns", nowhere, "-log", path).code).To(Equal(1))
		Expect(must(os.Stat(path)).Mode()).To(Equal(os.FileMode(0o600)))
		Expect(os.Chmod(path, 0o640)).To(Succeed())
		Expect(finish("", "check", "-netns", nowhere, "-log", path).code).To(Equal(1))
		Expect(must(os.Stat(path)).Mode()).To(Equal(os.FileMode(0o640)))
		Expect(readRecords(path)).To(HaveExactElements(HaveKeyWithValue("verb", "up"), HaveKeyWithValue("verb", "check")))
	})

	DescribeTable("knows of a failure what the error says", func(code int, stdin string, expected record, args ...string) {
		end := finish(stdin, append(args, "-log", path)...)
		Expect(end.code).To(Equal(code))
		Expect(end.stdout).To(BeEmpty())
		line := strings.TrimSuffix(strings.TrimPrefix(end.stderr, "netsetgo: "), "\n")
		Expect(line).NotTo(BeEmpty())
		expected["level"], expected["msg"], expected["outcome"], expected["error"] = "ERROR", "end", "failed", line
		Expect(readRecords(path)).To(Equal([]record{expected}))
	},
		Entry("of a namespace that isn't there", 1, "", record{"verb": "up", "target": nowhere}, "-netns", nowhere),
		Entry("of a process that isn't there", 1, "", record{"verb": "check", "target": "/proc/" + nobody + "/ns/net", "container": "web"}, "check", "-pid", nobody, "-id", "web"),
		Entry("of a dry run", 1, "", record{"verb": "up", "target": nowhere, "dryRun": true}, "-netns", nowhere, "-dryRun"),
		Entry("of a container whose state came", 1, `{"id":"web","pid":`+nobody+`,"status":"created"}`, record{"verb": "up", "target": "/proc/" + nobody + "/ns/net", "container": "web"}),
		Entry("of no state", 1, "", record{}),
		Entry("of an unusable state", 1, "{\n", record{}),
		Entry("of an unusable state for down", 1, "web", record{"verb": "down"}, "down"),
		Entry("of a state without anything for down", 1, "null", record{"verb": "down"}, "down"),
		Entry("of a state inside the container", 1, `{"id":"web","pid":1,"status":"created"}`, record{"container": "web"}),
		Entry("of an id that can't be one", 2, `{"id":"a/b","pid":`+nobody+`,"status":"created"}`, record{"verb": "up", "target": "/proc/" + nobody + "/ns/net", "container": "a/b"}),
		Entry("of flags that can't be", 2, "", record{"verb": "up", "target": nowhere}, "up", "-netns", nowhere, "-mtu", "67"),
	)

	It("is opened before anything is read or looked at", func() {
		stdin := strings.NewReader(`{"id":"web","pid":1,"status":"created"}`)
		var stderr bytes.Buffer
		Expect(run([]string{"-mtu", "67", "-log", filepath.Dir(path)}, stdin, io.Discard, &stderr)).To(Equal(1))
		Expect(stderr.String()).To(HavePrefix("netsetgo: opening the log: "))
		Expect(stdin.Len()).To(Equal(int(stdin.Size())))
	})

	DescribeTable("knows of a line of flags that isn't understood", func(says, verb string, args ...string) {
		end := finish("", append(args, "-log", path)...)
		Expect(end.code).To(Equal(2))
		Expect(end.stderr).To(ContainSubstring(says))
		expected := record{
			"level": "ERROR", "msg": "end", "outcome": "failed", "verb": verb,
			"error": strings.TrimSuffix(strings.TrimPrefix(end.stderr, "netsetgo: "), "\n"),
		}
		if verb == "" {
			delete(expected, "verb")
		}
		Expect(readRecords(path)).To(Equal([]record{expected}))
	},
		Entry("for a flag", `unknown flag "-nope"`, "", "-nope"),
		Entry("for a flag of down", `unknown flag "-nope"`, "down", "down", "-nope"),
		Entry("for a value", `invalid value "x"`, "check", "check", "-mtu", "x"),
		Entry("for an argument", `unexpected argument "x"`, "up", "up", "x"),
		Entry("for what is seen only when all is read", "-timeout 0s", "", "-timeout", "0"),
	)

	It("that can't be opened doesn't hide what is wrong with the flags", func() {
		end := finish("", "-nope", "-log", filepath.Join(path, "log"))
		Expect(end.code).To(Equal(2))
		Expect(end.stderr).To(MatchRegexp(`\Anetsetgo: unknown flag "-nope" [^\n]*; opening the log: [^\n]*\n\z`))
	})

	It("is the last of several, as with any flag", func() {
		Expect(finish("", "-log", filepath.Join(path, "log"), "-nope", "--log="+path).code).To(Equal(2))
		Expect(readRecords(path)).To(HaveLen(1))
	})

	It("isn't made by a verb that keeps none", func() {
		Expect(finish("", "list", "-log", path).code).To(Equal(2))
		Expect(finish("", "-log", path, "-h").code).To(Equal(0))
		Expect(path).NotTo(BeAnExistingFile())
	})

	DescribeTable("isn't written to a place that isn't a file", func(reason string, prepare func()) {
		prepare()
		done := make(chan finished, 1)
		go func() { done <- finish("", "-netns", nowhere, "-log", path) }()
		var end finished
		Eventually(done).WithTimeout(time.Minute).Should(Receive(&end))
		Expect(end.code).To(Equal(1))
		Expect(end.stdout).To(BeEmpty())
		Expect(end.stderr).To(MatchRegexp(`\Anetsetgo: opening the log: [^\n]*` + reason + `; -log takes a file [^\n]+\n\z`))
	},
		Entry("a directory", "is a directory", func() { Expect(os.Mkdir(path, 0o700)).To(Succeed()) }),
		Entry("a folder that isn't there", "no such file or directory", func() { path = filepath.Join(path, "log") }),
		Entry("a pipe that nobody reads", "no such device or address", func() { Expect(unix.Mkfifo(path, 0o600)).To(Succeed()) }),
		Entry("a link to nothing", "symbolic links", func() { Expect(os.Symlink(path+"-target", path)).To(Succeed()) }),
	)

	It("isn't waited for beyond -timeout, be it a pipe that nobody empties", func() {
		Expect(unix.Mkfifo(path, 0o600)).To(Succeed())
		reader := must(os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0))
		DeferCleanup(reader.Close)
		filler := must(unix.Open(path, unix.O_WRONLY|unix.O_NONBLOCK, 0))
		DeferCleanup(unix.Close, filler)
		for {
			if _, err := unix.Write(filler, make([]byte, 512)); err != nil {
				Expect(err).To(MatchError(unix.EAGAIN))
				break
			}
		}
		done := make(chan finished, 1)
		go func() { done <- finish("", "-netns", nowhere, "-log", path, "-timeout", "50ms") }()
		var end finished
		Eventually(done).WithTimeout(time.Minute).Should(Receive(&end))
		Expect(end.code).To(Equal(1))
		Expect(end.stderr).To(HavePrefix("netsetgo: writing the log: "))
	})

	It("isn't written through a link", func() {
		target := path + "-target"
		Expect(os.WriteFile(target, []byte("as it was"), 0o600)).To(Succeed())
		Expect(os.Symlink(target, path)).To(Succeed())
		Expect(finish("", "-netns", nowhere, "-log", path).code).To(Equal(1))
		Expect(os.ReadFile(target)).To(BeEquivalentTo("as it was"))
		Expect(os.Remove(target)).To(Succeed())
		Expect(finish("", "-netns", nowhere, "-log", path).code).To(Equal(1))
		Expect(target).NotTo(BeAnExistingFile())
	})

	It("that misses a line is told of, though later ones were written", func() {
		c := opened("up", "-netns", "blue")
		works := c.log.handler
		reader, writer := io.Pipe()
		Expect(reader.Close()).To(Succeed())
		c.log.handler = slog.NewJSONHandler(writer, nil)
		c.log.change(c, trace.Event{Command: "ip link add brg0", Why: "the bridge"})
		c.log.handler = works
		c.log.end(c, nil)
		Expect(c.log.close()).To(And(MatchError(io.ErrClosedPipe), MatchError(HavePrefix("writing the log: "))))
		Expect(readRecords(path)).To(ConsistOf(HaveKeyWithValue("msg", "end")))
	})

	DescribeTable("that can't be written is told, and changes nothing else", func(code int, args ...string) {
		without := finish("", args...)
		Expect(without.code).To(Equal(code))
		end := finish("", append(args, "-log", "/dev/full")...)
		Expect(end.code).To(Equal(code))
		Expect(end.stdout).To(BeEmpty())
		Expect(end.stderr).To(Equal("netsetgo: writing the log: write /dev/full: no space left on device\n" + without.stderr))
	},
		Entry("of the exit status 1", 1, "-netns", nowhere),
		Entry("of the exit status 2", 2, "-netns", nowhere, "-mtu", "67"),
	)
})

var _ = Describe("a change", Label("unit"), func() {
	made := trace.Event{Command: "ip link add brg0", Why: "the bridge"}
	refused := trace.Event{Command: "ip link add veth0", Why: "the pair", Err: errors.New("file\nexists\x1b")}

	DescribeTable("is shown where that is asked for", func(stderr, plan string, logged int, args ...string) {
		var out, errs bytes.Buffer
		path := filepath.Join(GinkgoT().TempDir(), "log")
		c := &call{verb: "up", options: parsed(args...), stdout: &out, stderr: &errs, config: netsetgo.NetworkConfig{}, log: must(openJournal(path, time.Now().Add(time.Minute)))}
		c.show(made)
		c.show(refused)
		Expect(c.log.close()).To(Succeed())
		Expect(out.String()).To(BeEmpty())
		Expect(errs.String()).To(Equal(stderr))
		Expect(c.plan.String()).To(Equal(plan))
		Expect(readRecords(path)).To(HaveLen(logged))
	},
		Entry("nowhere but in the log", "", "", 2),
		Entry("on standard error", "ip link add brg0  # the bridge\n# refused (file; exists\ufffd): ip link add veth0\n", "", 2, "-v"),
		Entry("in a plan, which is of what would be done", "", "ip link add brg0  # the bridge\n", 0, "-dryRun"),
		Entry("in a plan only", "", "ip link add brg0  # the bridge\n", 0, "-dryRun", "-v"),
	)
})
