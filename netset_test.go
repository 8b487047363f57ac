package netsetgo_test

import (
	"errors"
	"net"
	"os"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/netsetgo/netsetgo"
	"github.com/netsetgo/netsetgo/configurerfakes"
)

// side is a Transactor that writes down when it is called.
func side(name string, order *[]string) (*configurerfakes.FakeTransactor, *configurerfakes.FakeTransaction) {
	transactor, transaction := &configurerfakes.FakeTransactor{}, &configurerfakes.FakeTransaction{}
	transactor.BeginCalls(func(netsetgo.NetworkConfig, int) (netsetgo.Transaction, error) {
		*order = append(*order, "begin "+name)
		return transaction, nil
	})
	transactor.ApplyCalls(func(netsetgo.NetworkConfig, int) error {
		*order = append(*order, "apply "+name)
		return nil
	})
	transaction.CommitCalls(func() { *order = append(*order, "commit "+name) })
	transaction.RollbackCalls(func() error {
		*order = append(*order, "roll back "+name)
		return nil
	})
	return transactor, transaction
}

// capable is a Configurer that can do all that Netset asks for besides.
type capable struct {
	*configurerfakes.FakeConfigurer
	*configurerfakes.FakeRemover
	*configurerfakes.FakeInspector
	*configurerfakes.FakeLister
	*configurerfakes.FakeChecker
}

func newCapable() capable {
	return capable{
		&configurerfakes.FakeConfigurer{}, &configurerfakes.FakeRemover{}, &configurerfakes.FakeInspector{},
		&configurerfakes.FakeLister{}, &configurerfakes.FakeChecker{},
	}
}

var _ = Describe("Netset", Label("unit"), func() {
	const pid = 42
	var (
		errHost, errContainer, errUndo = errors.New("host"), errors.New("container"), errors.New("undo")

		order                   []string
		host, container         *configurerfakes.FakeTransactor
		hostSide, containerSide *configurerfakes.FakeTransaction
		netset                  *netsetgo.Netset
		config                  netsetgo.NetworkConfig
	)

	BeforeEach(func() {
		order = nil
		host, hostSide = side("host", &order)
		container, containerSide = side("container", &order)
		netset = netsetgo.New(host, container)
		config = netsetgo.NetworkConfig{
			BridgeName: "tower", ContainerIP: net.IPv4(10, 10, 10, 9), ID: "web",
			Routes: []netsetgo.Route{to("192.168.0.0/16", "", 0)}, Namespace: os.Stdin,
		}
	})

	// expectAsked says that everything was passed on as it is.
	expectAsked := func(passed netsetgo.NetworkConfig, passedPid int) {
		GinkgoHelper()
		Expect(passed).To(Equal(config))
		Expect(passedPid).To(Equal(pid))
	}

	Describe("each side alone", func() {
		It("passes everything on as it is, to the host's side", func() {
			Expect(netset.ConfigureHost(config, pid)).To(Succeed())
			expectAsked(host.ApplyArgsForCall(0))
			Expect(order).To(Equal([]string{"apply host"}))
		})

		It("passes everything on as it is, to the container's side", func() {
			Expect(netset.ConfigureContainer(config, pid)).To(Succeed())
			expectAsked(container.ApplyArgsForCall(0))
			Expect(order).To(Equal([]string{"apply container"}))
		})

		It("returns the errors as they are", func() {
			host.ApplyReturns(errHost)
			container.ApplyReturns(errContainer)
			Expect(netset.ConfigureHost(config, pid)).To(MatchError(errHost))
			Expect(netset.ConfigureContainer(config, pid)).To(MatchError(errContainer))
		})
	})

	Describe("Up", func() {
		It("begins with the host, then the container, and commits the container, then the host", func() {
			Expect(netset.Up(config, pid)).To(Succeed())
			Expect(order).To(Equal([]string{"begin host", "begin container", "commit container", "commit host"}))
			for _, transactor := range []*configurerfakes.FakeTransactor{host, container} {
				expectAsked(transactor.BeginArgsForCall(0))
			}
		})

		It("does nothing more when the host fails", func() {
			host.BeginReturns(nil, errHost)
			Expect(netset.Up(config, pid)).To(MatchError(errHost))
			Expect(order).To(BeEmpty())
			Expect(container.BeginCallCount()).To(BeZero())
		})

		It("rolls the host back when the container fails", func() {
			container.BeginReturns(nil, errContainer)
			Expect(netset.Up(config, pid)).To(MatchError(errContainer))
			Expect(order).To(Equal([]string{"begin host", "roll back host"}))
			Expect(containerSide.RollbackCallCount()).To(BeZero())
		})

		It("returns both errors when the host can't be rolled back either", func() {
			container.BeginReturns(nil, errContainer)
			hostSide.RollbackReturns(errUndo)
			err := netset.Up(config, pid)
			Expect(err).To(MatchError(errContainer))
			Expect(err).To(MatchError(errUndo))
		})
	})

	Describe("Up with Configurers that know only Apply", func() {
		var plainHost, plainContainer *configurerfakes.FakeConfigurer

		BeforeEach(func() {
			plainHost, plainContainer = &configurerfakes.FakeConfigurer{}, &configurerfakes.FakeConfigurer{}
		})

		It("applies both", func() {
			Expect(netsetgo.New(plainHost, plainContainer).Up(config, pid)).To(Succeed())
			for _, plain := range []*configurerfakes.FakeConfigurer{plainHost, plainContainer} {
				Expect(plain.ApplyCallCount()).To(Equal(1))
				expectAsked(plain.ApplyArgsForCall(0))
			}
		})

		It("stops at the host's error", func() {
			plainHost.ApplyReturns(errHost)
			Expect(netsetgo.New(plainHost, plainContainer).Up(config, pid)).To(MatchError(errHost))
			Expect(plainContainer.ApplyCallCount()).To(BeZero())
		})

		It("returns the container's error, with a host that can't be rolled back", func() {
			plainContainer.ApplyReturns(errContainer)
			Expect(netsetgo.New(plainHost, plainContainer).Up(config, pid)).To(MatchError(errContainer))
		})

		It("rolls back a host that can, for a container that only applies", func() {
			plainContainer.ApplyReturns(errContainer)
			Expect(netsetgo.New(host, plainContainer).Up(config, pid)).To(MatchError(errContainer))
			Expect(order).To(Equal([]string{"begin host", "roll back host"}))
		})
	})

	Describe("Down", func() {
		It("lets the host remove what it made", func() {
			remover := newCapable()
			Expect(netsetgo.New(remover, container).Down(config, pid)).To(Succeed())
			Expect(remover.RemoveCallCount()).To(Equal(1))
			expectAsked(remover.RemoveArgsForCall(0))
			Expect(order).To(BeEmpty())
		})

		It("returns the host's error", func() {
			remover := newCapable()
			remover.RemoveReturns(errHost)
			Expect(netsetgo.New(remover, container).Down(config, pid)).To(MatchError(errHost))
		})

		It("fails with a host that can't", func() {
			Expect(netset.Down(config, pid)).To(MatchError(ContainSubstring("*configurerfakes.FakeTransactor can't remove")))
		})
	})

	Describe("Inspect", func() {
		It("lets the host read", func() {
			inspector := newCapable()
			inspector.InspectReturns(attached(), nil)
			Expect(netsetgo.New(inspector, container).Inspect(config, pid)).To(Equal(attached()))
			expectAsked(inspector.InspectArgsForCall(0))
		})

		It("fails with a host that can't", func() {
			_, err := netset.Inspect(config, pid)
			Expect(err).To(MatchError(ContainSubstring("can't read")))
		})
	})

	Describe("List", func() {
		It("lets the host list", func() {
			lister, listed := newCapable(), []netsetgo.Listed{{Container: "web", HostLink: "veth12", State: netsetgo.StateUp}}
			lister.ListReturns(listed, errHost)
			list, err := netsetgo.New(lister, container).List()
			Expect(list).To(Equal(listed))
			Expect(err).To(MatchError(errHost))
			Expect(lister.ListCallCount()).To(Equal(1))
		})

		It("fails with a host that can't", func() {
			_, err := netset.List()
			Expect(err).To(MatchError("listing attachments: *configurerfakes.FakeTransactor can't list what it made"))
		})
	})

	Describe("Check", func() {
		It("lets the host compare", func() {
			checker, found := newCapable(), []netsetgo.Difference{{What: "MTU of eth0", Asked: "1500", Is: "1400"}}
			checker.CheckReturns(found, errHost)
			differences, err := netsetgo.New(checker, container).Check(config, pid)
			Expect(differences).To(Equal(found))
			Expect(err).To(MatchError(errHost))
			expectAsked(checker.CheckArgsForCall(0))
		})

		It("fails with a host that can't", func() {
			_, err := netset.Check(config, pid)
			Expect(err).To(MatchError("checking an attachment: *configurerfakes.FakeTransactor can't compare what it made"))
		})
	})

	It("lets no configurer see a configuration that is wrong", func() {
		wrong, host := netsetgo.NetworkConfig{BridgeName: "a/b"}, newCapable()
		capable := netsetgo.New(host, container)
		_, inspected := capable.Inspect(wrong, pid)
		_, checked := capable.Check(wrong, pid)
		for _, err := range []error{
			netset.ConfigureHost(wrong, pid),
			netset.ConfigureContainer(wrong, pid),
			netset.Up(wrong, pid),
			capable.Down(wrong, pid),
			inspected,
			checked,
		} {
			Expect(err).To(MatchError(netsetgo.ErrInvalid))
		}
		Expect(order).To(BeEmpty())
		Expect(host.RemoveCallCount()).To(BeZero())
		Expect(host.InspectCallCount()).To(BeZero())
		Expect(host.CheckCallCount()).To(BeZero())
	})
})

// What follows is a program written against the first version's API, and nothing
// else: it must compile and work.

type recorder struct {
	config netsetgo.NetworkConfig
	pid    int
}

func (r *recorder) Apply(netConfig netsetgo.NetworkConfig, pid int) error {
	r.config, r.pid = netConfig, pid
	return nil
}

var _ netsetgo.Configurer = (*recorder)(nil)

// Apply is all of Configurer: to a variable of this type nothing wider could be given.
var _ interface {
	Apply(netConfig netsetgo.NetworkConfig, pid int) error
} = netsetgo.Configurer(nil)

var _ = Describe("a program written for the first version", Label("unit"), func() {
	It("works unchanged", func() {
		bridgeIP, subnet, err := net.ParseCIDR("10.10.10.1/24")
		Expect(err).NotTo(HaveOccurred())
		containerIP, _, err := net.ParseCIDR("10.10.10.2/24")
		Expect(err).NotTo(HaveOccurred())
		netConfig := netsetgo.NetworkConfig{
			BridgeName:     "tower",
			BridgeIP:       bridgeIP,
			ContainerIP:    containerIP,
			Subnet:         subnet,
			VethNamePrefix: "veth",
		}

		host, container := &recorder{}, &recorder{}
		var netset *netsetgo.Netset = netsetgo.New(host, container) //nolint:staticcheck // the type is what is tested
		Expect(netset.ConfigureHost(netConfig, 100)).To(Succeed())
		Expect(netset.ConfigureContainer(netConfig, 100)).To(Succeed())
		Expect(*host).To(Equal(recorder{netConfig, 100}))
		Expect(*container).To(Equal(recorder{netConfig, 100}))

		literal := netsetgo.Netset{HostConfigurer: host, ContainerConfigurer: container}
		Expect(literal.ConfigureHost(netConfig, 200)).To(Succeed())
		Expect(host.pid).To(Equal(200))
	})
})
