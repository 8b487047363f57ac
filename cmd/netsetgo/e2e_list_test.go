package main_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/netsetgo/netsetgo/ci/testnet"
	"github.com/netsetgo/netsetgo/configurer/lease"
)

// titles are those of the columns of `list`.
var titles = []string{"CONTAINER", "INTERFACE", "ADDRESSES", "MAC", "BRIDGE", "HOST LINK", "STATE", "RECEIVED", "SENT"}

// listed is an attachment as `list -output json` has it.
type listed struct {
	Container, Interface string
	Addresses            []string
	MAC, Bridge          string
	HostLink, State      string
	ReceivedBytes        uint64
	SentBytes            uint64
}

// listOf is the list of a host, by host links. Nothing is in it but the fields above,
// and that it is an array is asked for also where it is empty.
func listOf(host *testnet.Host) map[string]listed {
	GinkgoHelper()
	result := execute(host, "list", "-output", "json")
	Expect(result.Stderr).To(BeEmpty())
	Expect(result.Code).To(Equal(0))
	Expect(result.Stdout).To(And(HavePrefix("["), HaveSuffix("]\n")))
	var all []listed
	decoder := json.NewDecoder(strings.NewReader(result.Stdout))
	decoder.DisallowUnknownFields()
	Expect(decoder.Decode(&all)).To(Succeed())
	list := map[string]listed{}
	for _, each := range all {
		Expect(list).NotTo(HaveKey(each.HostLink))
		list[each.HostLink] = each
	}
	return list
}

// rowsOf is the table of a host below its titles, by host links: what a word is, is told
// by the column that it begins in.
func rowsOf(host *testnet.Host) map[string][]string {
	GinkgoHelper()
	result := execute(host, "list")
	Expect(result.Stderr).To(BeEmpty())
	Expect(result.Code).To(Equal(0))
	return readTable(result.Stdout)
}

func readTable(text string) map[string][]string {
	GinkgoHelper()
	lines := strings.Split(text, "\n")
	Expect(lines[len(lines)-1]).To(BeEmpty())
	var begins []int
	rows := map[string][]string{}
	for i, line := range lines[:len(lines)-1] {
		Expect(line).To(MatchRegexp(`^[[:^cntrl:]]*[^ ]$`))
		var cells []string
		var columns []int
		for _, at := range regexp.MustCompile(`[^ ]+( [^ ]+)*`).FindAllStringIndex(line, -1) {
			cells = append(cells, line[at[0]:at[1]])
			columns = append(columns, len([]rune(line[:at[0]])))
		}
		if i == 0 {
			Expect(cells).To(Equal(titles))
			begins = columns
			continue
		}
		Expect(columns).To(Equal(begins), "the columns of %q aren't below their titles", line)
		Expect(rows).NotTo(HaveKey(cells[5]))
		rows[cells[5]] = cells
	}
	return rows
}

// counters are the bytes that a link received and sent, as ip has them.
func counters(where *testnet.Process, name string) (received, sent uint64) {
	GinkgoHelper()
	var all []struct {
		Stats64 struct{ Rx, Tx struct{ Bytes uint64 } }
	}
	Expect(json.Unmarshal([]byte(where.Must("ip", "-json", "-stats", "link", "show", "dev", name)), &all)).To(Succeed())
	return all[0].Stats64.Rx.Bytes, all[0].Stats64.Tx.Bytes
}

// inodeOf is the number of a container's namespace, as lsns(8) has it.
func inodeOf(container *testnet.Container) uint64 {
	GinkgoHelper()
	inode, err := strconv.ParseUint(strings.TrimSpace(container.Must("stat", "-Lc", "%i", "/proc/self/ns/net")), 10, 64)
	Expect(err).NotTo(HaveOccurred())
	return inode
}

// ownerOf is the name that says that the attachment is a container's.
func ownerOf(container *testnet.Container) string {
	GinkgoHelper()
	return lease.NamespaceName("veth1", inodeOf(container))
}

// inRun is all that is in a host's /run, and when it was last written.
func inRun(host *testnet.Host) string {
	GinkgoHelper()
	return host.Must("ls", "-lAR", "--full-time", "/run")
}

var _ = Describe("the verb list", Label("root"), func() {
	var host *testnet.Host
	BeforeEach(func() { host = testnet.NewHost() })

	It("shows what ip shows", func() {
		web, other := host.NewContainer(), host.NewContainer()
		up(host, web, "-id", "web", "-containerInterface", "eth0")
		up(host, other, "-bridgeName", "lab", "-bridgeAddress", "10.20.0.1/16", "-mac", "02:00:00:00:00:2a", "-vethNamePrefix", "lan")
		list, rows := listOf(host), rowsOf(host)
		Expect(list).To(HaveLen(2))
		Expect(rows).To(HaveLen(2))
		for container, name := range map[*testnet.Container]string{web: "eth0", other: "lan1"} {
			inside := links(&container.Process)[name]
			hostLink := link{}
			for _, each := range links(&host.Process) {
				if each.Index == inside.PeerIndex {
					hostLink = each
				}
			}
			who := map[string]string{"eth0": "web", "lan1": fmt.Sprintf("net:[%d]", inodeOf(other))}[name]
			got := list[hostLink.Name]
			got.ReceivedBytes, got.SentBytes = 0, 0
			Expect(got).To(Equal(listed{
				Container: who, Interface: name, Addresses: []string{inside.Addresses[0].IP}, MAC: inside.MAC,
				Bridge: hostLink.Bridge, HostLink: hostLink.Name, State: "up",
			}))
			Expect(rows[hostLink.Name][:7]).To(Equal([]string{
				who, name, inside.Addresses[0].IP, inside.MAC, hostLink.Bridge, hostLink.Name, "up",
			}))
		}
	})

	It("counts what the container received and sent", func() {
		container := host.NewContainer()
		up(host, container)
		// Nobody answers, so that bytes go one way only. The bridge sends what is for a
		// MAC that it doesn't know to each of its ports.
		flood := func(where *testnet.Process, link, ip string) {
			GinkgoHelper()
			where.Must("ip", "neigh", "add", ip, "lladdr", "02:00:00:00:00:99", "dev", link)
			Expect(where.Run("ping", "-q", "-c5", "-i0.01", "-W0.1", "-s1000", ip).Code).To(Equal(1))
		}
		before := listOf(host)["veth0"]
		flood(&container.Process, "veth1", "10.10.10.99")
		sent := listOf(host)["veth0"]
		Expect(sent.SentBytes - before.SentBytes).To(BeNumerically("~", 5*1042, 500))
		Expect(sent.ReceivedBytes - before.ReceivedBytes).To(BeNumerically("<", 500))

		flood(&host.Process, "brg0", "10.10.10.98")
		insideBefore, outsideBefore := counters(&container.Process, "veth1")
		received := listOf(host)["veth0"]
		insideAfter, outsideAfter := counters(&container.Process, "veth1")
		Expect(received.ReceivedBytes - sent.ReceivedBytes).To(BeNumerically("~", 5*1042, 500))
		Expect(received.SentBytes - sent.SentBytes).To(BeNumerically("<", 500))
		Expect(received.ReceivedBytes).To(And(BeNumerically(">=", insideBefore), BeNumerically("<=", insideAfter)), "as the container itself counts")
		Expect(received.SentBytes).To(And(BeNumerically(">=", outsideBefore), BeNumerically("<=", outsideAfter)), "as the container itself counts")

		row := rowsOf(host)["veth0"]
		for i, least := range map[int]uint64{7: received.ReceivedBytes, 8: received.SentBytes} {
			number, err := strconv.ParseUint(row[i], 10, 64)
			Expect(err).NotTo(HaveOccurred())
			Expect(number).To(BeNumerically("~", least, 500))
			Expect(number).To(BeNumerically(">=", least))
		}
	})

	It("shows titles only where nothing is netsetgo's", func() {
		nothing := func() {
			GinkgoHelper()
			Expect(execute(host, "list")).To(Equal(testnet.Result{Stdout: strings.Join(titles, "  ") + "\n"}))
			Expect(execute(host, "list", "-output", "json")).To(Equal(testnet.Result{Stdout: "[]\n"}))
		}
		nothing()
		container := host.NewContainer()
		host.Sh(fmt.Sprintf(`
			ip link add name brg0 up type bridge
			ip link add name mine up master brg0 type veth peer name other
			ip link add name veth0 up master brg0 type veth peer name veth1 netns %d
			ip link property add dev veth0 altname netsetgo:a:9a37:brg0:10.10.10.2
			ip link property add dev veth0 altname %s
		`, container.Pid, ownerOf(container)))
		nothing()
		container.Kill()
		host.Sh("ip link delete brg0")
		container = host.NewContainer()
		up(host, container)
		down(host, container)
		nothing()
	})

	DescribeTable("says how an attachment fares", func(script, state string) {
		container, other := host.NewContainer(), host.NewContainer()
		up(host, container)
		up(host, other)
		host.Sh(strings.NewReplacer("PID", strconv.Itoa(container.Pid), "OWNER", ownerOf(container)).Replace(script))
		settleCarriers(&host.Process)
		list, rows := listOf(host), rowsOf(host)
		Expect(list["veth0"].State).To(Equal(state))
		Expect(rows["veth0"][6]).To(Equal(state))
		Expect(list["veth1"].State).To(Equal("up"))
		Expect(rows["veth1"][6]).To(Equal("up"))
	},
		Entry("of which nothing is known to be wrong", "true", "up"),
		Entry("whose end in the container is down", "nsenter --target PID --net ip link set veth1 down", "no carrier"),
		Entry("whose host link is down", "ip link set veth0 down", "no carrier"),
		Entry("whose ends are both down", "ip link set veth0 down; nsenter --target PID --net ip link set veth1 down", "no carrier"),
		Entry("whose owner isn't written", "ip link property del dev veth0 altname OWNER", "incomplete"),
		Entry("whose owner isn't written, and that is down", "ip link property del dev veth0 altname OWNER; ip link set veth0 down", "incomplete"),
	)

	It("shows what a killed run left, wherever it was killed", Label("long"), func() {
		incomplete := 0
		for n := 1; ; n++ {
			Expect(n).To(BeNumerically("<", most))
			container := host.NewContainer()
			_, hit := interfere(host, "sendto", fmt.Sprintf("signal=KILL:when=%d", n), "-pid", strconv.Itoa(container.Pid), "-id", "web")
			list, rows := listOf(host), rowsOf(host)
			there := map[string]link{}
			for name, each := range links(&host.Process) {
				if each.Details.Kind == "veth" {
					there[name] = each
				}
			}
			Expect(list).To(HaveLen(len(there)))
			Expect(rows).To(HaveLen(len(there)))
			for name, hostLink := range there {
				By(fmt.Sprintf("message %d: %v", n, hostLink.Altnames))
				got := list[name]
				want := listed{Addresses: []string{}, MAC: links(&container.Process)["veth1"].MAC, Bridge: "brg0", HostLink: name, State: "incomplete"}
				for _, altname := range hostLink.Altnames {
					switch strings.Split(altname, ":")[1] {
					case "a":
						want.Addresses = []string{"10.10.10.2"}
					case "c":
						want.Container = "web"
					case "n":
						want.Interface, want.State = "veth1", "up"
					}
				}
				got.ReceivedBytes, got.SentBytes = 0, 0
				Expect(got).To(Equal(want))
				row := []string{want.Container, want.Interface, strings.Join(want.Addresses, ""), want.MAC, "brg0", name, want.State}
				for i, word := range row {
					row[i] = cmp.Or(word, "-")
				}
				Expect(rows[name][:7]).To(Equal(row))
				if want.State == "incomplete" {
					incomplete++
				}
			}
			down(host, container)
			container.Kill()
			if !hit {
				break
			}
		}
		Expect(incomplete).To(BeNumerically(">=", 5))
	})
})
