package main_test

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/netsetgo/netsetgo/ci/testnet"
)

// What little of rights, descriptors and surroundings netsetgo gets by with. That it names
// the capability which is missing, see "a caller of the binary".
var _ = Describe("a process that has little", Label("root"), func() {
	const three = "+net_admin,+sys_admin,+sys_ptrace"
	all := strings.Fields(dualStack + " -publish 8080:80 -publish 5000-5001:53/udp -isolated")
	var s scene
	var before string

	BeforeEach(func() {
		s = newScene(onTheHost(uplinks))
		// Else what is asked for can't be had whole, which check would say.
		s.host.Sh("for key in /proc/sys/net/bridge/bridge-nf-call-*; do [ ! -e $key ] || echo 0 >$key; done")
		s.host.Must("install", "-m755", binary, "/run/netsetgo")
		before = s.state()
	})

	// unchanged says that a run which failed is one that wasn't.
	unchanged := func() {
		GinkgoHelper()
		Expect(testnet.Changes(before, s.state())).To(BeEmpty())
	}

	// under runs netsetgo by another program.
	under := func(program, stdin string, arguments ...string) testnet.Result {
		GinkgoHelper()
		line := append(strings.Fields(program), "/run/netsetgo")
		return s.host.RunWith(stdin, append(line, arguments...)...)
	}

	pid := func() string { return strconv.Itoa(s.container.Pid) }

	DescribeTable("needs three capabilities and no more", func(program, holder string) {
		// CAP_NET_ADMIN is 12, CAP_SYS_PTRACE 19, CAP_SYS_ADMIN 21 (linux/capability.h).
		capabilities := fmt.Sprintf("CapEff:\t%016x\n", 1<<12|1<<19|1<<21)
		Expect(s.host.Must(append(strings.Fields(program), "grep", "CapEff", "/proc/self/status")...)).To(Equal(capabilities))
		user := strings.TrimSpace(s.host.Must(append(strings.Fields(program), "id", "-u")...))
		s.host.Sh("touch /run/netsetgo.lock; chown " + user + " /run/netsetgo.lock")
		host := s.host.State()

		succeeds(under(program, "", append([]string{"-pid", pid()}, all...)...))
		Expect(s.container.Pings("10.10.10.1")).To(BeTrue())
		succeeds(under(program, "", append([]string{"check", "-pid", pid()}, all...)...))
		succeeds(under(program, "", append([]string{"up", "-pid", pid()}, all...)...))
		Expect(under(program, "", "list", "-output", "json").Stdout).To(ContainSubstring("10.10.10.2"))

		// Whose program it is that listens stands in a folder that is its user's.
		listener := s.host.Command("timeout", "60", "busybox", "nc", "-l", "-p", "8090")
		Expect(listener.Start()).To(Succeed())
		DeferCleanup(func() {
			_ = listener.Process.Kill()
			_ = listener.Wait()
		})
		Eventually(func() string { return s.host.Must("ss", "-Htln") }).Should(ContainSubstring(":8090 "))
		other := s.host.NewContainer()
		message := fails(under(program, "", "-pid", strconv.Itoa(other.Pid), "-publish", "8090:80"), 1)
		Expect(message).To(ContainSubstring(holder))

		succeeds(under(program, ociState("web", "created", other.Pid)))
		succeeds(under(program, ociState("web", "stopped", 0)))
		succeeds(under(program, "", "down", "-pid", pid()))
		settle(s.host)
		stays(&s.host.Process, host)
	},
		Entry("as root", "setpriv --bounding-set=-all,"+three+" --inh-caps=-all,"+three, "busybox"),
		Entry("as somebody else", "setpriv --reuid=65534 --regid=65534 --clear-groups --bounding-set=-all,"+three+
			" --inh-caps=-all,"+three+" --ambient-caps=-all,"+three, "a program of the host"),
	)

	// With each number of descriptors, until there are enough: the run either does all, or
	// says beforehand what is missing, and asks for no more than it uses. 12 are among them.
	DescribeTable("says how many files it has to open", func(uses string, arguments ...string) {
		arguments = append(arguments, "-pid", pid())
		isDown := arguments[0] == "down"
		if isDown {
			up(s.host, s.container, all...)
			before = s.state()
		} else {
			arguments = append(arguments, all...)
		}
		limited := func(n int) testnet.Result {
			By(fmt.Sprintf("%d descriptors", n))
			return under(fmt.Sprintf("strace -f -o /run/trace -e trace=%%desc,network,pidfd_open prlimit --nofile=%d", n), "", arguments...)
		}
		enough := 3
		for ; enough < 40; enough++ {
			result := limited(enough)
			if result.Code == 0 {
				break
			}
			Expect(fails(result, 1)).To(MatchRegexp(`may open \d+ more, and needs up to \d+; raise the limit .*: too many open files$`))
			unchanged()
		}
		Expect(enough).To(And(BeNumerically(">", 8), BeNumerically("<", 40)))
		// Two are for waiting (epoll), which this run needn't.
		last := s.host.Sh(fmt.Sprintf(`grep -cE '(openat|socket|pidfd_open|ioctl)(\(| resumed).* = %d$' /run/trace || true`, enough-3))
		if uses == "all" {
			Expect(last).NotTo(Equal("0\n"), "it asks for more than it opens")
		}
		switch {
		case isDown:
			Expect(links(&s.host.Process)).NotTo(HaveKey("brg0"))
		case arguments[0] == "up":
			Expect(s.container.Pings("10.10.10.1")).To(BeTrue())
		}
	},
		Entry("up", "all", "up"),
		Entry("up with a log", "all", "up", "-log", "/run/log"),
		Entry("up with a result", "all", "up", "-output", "json"),
		Entry("up with an eye on it", "all", "up", "-v"),
		Entry("a dry run", "some", "-dryRun"),
		Entry("down", "some", "down"),
	)

	It("lists with few descriptors, or says that it can't", func() {
		up(s.host, s.container)
		for n := 3; n < 16; n++ {
			result := under(fmt.Sprintf("prlimit --nofile=%d", n), "", "list")
			if result.Code == 0 {
				Expect(result.Stdout).To(ContainSubstring("10.10.10.2"))
				Expect(n).To(BeNumerically(">", 3))
				return
			}
			Expect(fails(result, 1)).To(HaveSuffix("too many open files"))
		}
		Fail("15 descriptors aren't enough")
	})

	// What is opened by a process without standard streams could get their numbers, and
	// what is printed would get into it.
	DescribeTable("prints into nothing that it has opened", func(closing string) {
		before, inside := s.host.State(), s.container.State()
		flags := strings.Join(all, " ") + " -v -output json -log /run/log"
		line := fmt.Sprintf("exec strace -f -o /run/trace -e trace=%%desc,network %s up -pid %s %s %s", binary, pid(), flags, closing)
		Expect(s.host.Run("bash", "-c", line).Code).To(Equal(0))
		Expect(s.container.Pings("10.10.10.1")).To(BeTrue())
		Expect(s.host.Sh("cat /run/netsetgo.lock")).To(BeEmpty())
		for text := range strings.Lines(s.host.Sh("cat /run/log")) {
			Expect(text).To(MatchRegexp(`\A\{"time":.*\}\n\z`))
		}
		// But for what Go's runtime reads, and /dev/null, which it puts there.
		opened := s.host.Sh(`grep -E '(openat|socket|pidfd_open|epoll_create1|eventfd2)(\(| resumed).* = [012]$' /run/trace | grep -vE '"(/dev/null|/sys/.*)"' || true`)
		Expect(opened).To(BeEmpty())

		Expect(s.host.Run("bash", "-c", fmt.Sprintf("exec %s down -pid %s -v %s", binary, pid(), closing)).Code).To(Equal(0))
		settle(s.host)
		stays(&s.host.Process, before)
		Expect(testnet.Changes(inside, s.container.State())).NotTo(ContainSubstring("+default"))
	},
		Entry("without 0", "<&-"),
		Entry("without 1", ">&-"),
		Entry("without 2", "2>&-"),
		Entry("without 0 and 1", "<&- >&-"),
		Entry("without 0 and 2", "<&- 2>&-"),
		Entry("without 1 and 2", ">&- 2>&-"),
		Entry("without any", "<&- >&- 2>&-"),
	)

	It("gets no state without standard streams", func() {
		Expect(s.host.Run("bash", "-c", "exec "+binary+" <&- >&- 2>&-").Code).To(Equal(1))
		unchanged()
	})

	DescribeTable("goes by no environment", func(environment ...string) {
		s.host.Must("mount", "-t", "tmpfs", "tmpfs", "/mnt")
		line := append([]string{"strace", "-f", "-o", "/run/trace", "-e", "trace=execve,openat,setns", "env"}, environment...)
		result := s.host.RunWith("", append(line, append([]string{"/run/netsetgo", "-pid", pid()}, all...)...)...)
		Expect(result.Code).To(Equal(0), result.Stderr)
		Expect(result.Stdout).To(BeEmpty())
		Expect(s.container.Pings("10.10.10.1")).To(BeTrue())
		calls := s.host.Sh("cat /run/trace")
		Expect(strings.Count(calls, "execve(")).To(BeNumerically(">=", 2), "env and netsetgo were watched")
		own := calls[strings.Index(calls, `execve("/run/netsetgo"`):]
		Expect(strings.Count(own, "execve(")).To(Equal(1), "it starts no program")
		Expect(own).NotTo(ContainSubstring("hostile"), "nothing of the environment is opened")
		succeeds(under("env "+strings.Join(environment, " "), "", "down", "-pid", pid()))
		Expect(s.host.Sh("ls -A /mnt")).To(BeEmpty())
	},
		Entry("that is empty", "-i"),
		Entry("with other paths", "PATH=", "HOME=/mnt/hostile", "TMPDIR=/mnt/hostile", "PWD=/mnt/hostile", "XDG_RUNTIME_DIR=/mnt/hostile"),
		Entry("with a loader's words", "LD_PRELOAD=/mnt/hostile.so", "LD_LIBRARY_PATH=/mnt/hostile", "LD_AUDIT=/mnt/hostile.so", "LD_DEBUG=all"),
		Entry("with names like ours", "NETNS=/mnt/hostile", "NETSETGO_NETNS=/mnt/hostile", "CNI_NETNS=/mnt/hostile", "CNI_IFNAME=lo", "NOTIFY_SOCKET=/mnt/hostile"),
		Entry("with a debugger's words", "GOTRACEBACK=crash", "GODEBUG=clobberfree=1,asyncpreemptoff=1,madvdontneed=1,netdns=9,execerrdot=0,gctrace=0"),
		Entry("with little memory and much collecting", "GOGC=1", "GOMEMLIMIT=1", "GOMAXPROCS=1"),
		Entry("with numbers that are none", "GOGC=hostile", "GOMAXPROCS=-1"),
		Entry("with other words and times", "LC_ALL=tr_TR.UTF-8", "LANG=xx", "TZ=:nowhere/at/all", "POSIXLY_CORRECT=1"),
	)

	// Go's runtime ends before main where it can't read this one (readGOMEMLIMIT, runtime/mgcpacer.go).
	It("says what of its environment the runtime can't read", func() {
		Expect(under("env GOMEMLIMIT=hostile", "", "-pid", pid()).Stderr).To(ContainSubstring("malformed GOMEMLIMIT"))
		unchanged()
	})
})

// A number of a process is another's soon. Here a process of the host gets that of a
// container's on purpose, in a pid namespace where nobody else takes numbers.
var _ = Describe("the number of a process", Label("root"), func() {
	// reused is a shell script's beginning: a container, whose number reuse gives to the host.
	const reused = `
		unshare --net sleep 900 & victim=$!
		for i in $(seq 500); do
			[ "$(readlink /proc/$victim/ns/net)" = "$(readlink /proc/self/ns/net)" ] || break
			sleep 0.01
		done
		reuse() {
			kill -9 $victim; wait $victim 2>/dev/null || true
			echo $((victim - 1)) >/proc/sys/kernel/ns_last_pid
			sleep 900 &
			[ $! = $victim ] || { echo "the number is $! and not $victim" >&2; exit 99; }
			[ "$(readlink /proc/$victim/ns/net)" = "$(readlink /proc/self/ns/net)" ] || exit 98
		}
	`
	var host *testnet.Host
	var before string
	BeforeEach(func() {
		host = testnet.NewHost()
		before = host.State()
	})
	run := func(script string) testnet.Result {
		GinkgoHelper()
		return host.Run("unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "--", "bash", "-c", "netsetgo="+binary+reused+script)
	}

	DescribeTable("that is one of the host's by now is refused", func(line string) {
		Expect(fails(run("reuse\n"+line), 1)).To(ContainSubstring("netsetgo's own"))
		stays(&host.Process, before)
		Expect(host.Run("ls", "/run/netsetgo.lock").Code).NotTo(Equal(0))
	},
		Entry("by up", "$netsetgo -pid $victim; exit $?"),
		Entry("by down", "$netsetgo down -pid $victim; exit $?"),
		Entry("by check", "$netsetgo check -pid $victim; exit $?"),
		Entry("by a dry run", "$netsetgo -dryRun -pid $victim; exit $?"),
		Entry("by its file", "$netsetgo -netns /proc/$victim/ns/net; exit $?"),
		Entry("by a runtime's hook", `echo '{"ociVersion":"1.0.2","id":"web","status":"created","pid":'$victim'}' | $netsetgo; exit $?`),
	)

	It("that stands in a state which says stopped isn't looked at", func() {
		succeeds(run(`
			$netsetgo -pid $victim -id web || exit 97
			reuse
			echo '{"ociVersion":"1.0.2","id":"web","status":"stopped","pid":'$victim'}' | $netsetgo; exit $?`))
		Eventually(func() string { return testnet.Changes(before, host.State()) }).Should(BeEmpty())
	})

	// The run is stopped behind one call while the number goes to the host's process.
	// Linux before 6.11 doesn't know PIDFD_GET_NET_NAMESPACE: the file is opened, and the
	// process looked at again.
	DescribeTable("that changes hands between looks is that of the container, or refused", func(call, injections string, says string) {
		if says == "" && !testnet.TellsNamespaces() {
			says = "there is no such process, or it has ended"
		}
		result := run(fmt.Sprintf(`
			strace -qq -o /run/trace -e trace=pidfd_open,ioctl,openat,pidfd_send_signal -e inject=%s:signal=STOP:when=%s $netsetgo -pid $victim &
			tracer=$!
			for i in $(seq 500); do
				grep -qs 'stopped by SIGSTOP' /run/trace && break
				sleep 0.01
			done
			grep -q 'stopped by SIGSTOP' /run/trace || exit 96
			reuse
			kill -CONT $(cat /proc/$tracer/task/$tracer/children)
			wait $tracer; exit $?`, call, injections))
		if says == "" {
			succeeds(result)
			// Its namespace was held by nothing but the run, and went with it.
			Eventually(func() map[string]link { return links(&host.Process) }).Should(HaveLen(2))
			succeeds(execute(host, "down", "-id", "none"))
		} else {
			Expect(fails(result, 1)).To(ContainSubstring(says))
		}
		trace, err := os.ReadFile(onHost(host, "/run/trace"))
		Expect(err).NotTo(HaveOccurred())
		GinkgoWriter.Printf("%s", trace)
		Eventually(func() string { return testnet.Changes(before, host.State()) }).Should(BeEmpty())
	},
		Entry("behind its pidfd", "pidfd_open", "1", "there is no such process, or it has ended"),
		Entry("behind its pidfd, without the newer question", "pidfd_open", "1 -e inject=ioctl:error=ENOTTY:when=1", "there is no such process, or it has ended"),
		Entry("behind the question for its namespace", "ioctl", "1", ""),
	)
})
