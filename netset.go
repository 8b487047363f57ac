package netsetgo

import (
	"errors"
	"fmt"
)

//go:generate go tool counterfeiter -generate

// Configurer does one side of the work for the container of process pid, or for
// netConfig's Namespace where it has one. When it fails it undoes what it did.
//
//counterfeiter:generate -o configurerfakes . Configurer
type Configurer interface {
	Apply(netConfig NetworkConfig, pid int) error
}

// Transactor is a Configurer whose work can still be taken back after it
// succeeded. Apply is Begin and Commit in one.
//
//counterfeiter:generate -o configurerfakes . Transactor
type Transactor interface {
	Configurer
	Begin(netConfig NetworkConfig, pid int) (Transaction, error)
}

// Transaction is work that was done and can still be taken back. It ends with
// one of its methods; Rollback returns what could not be taken back.
//
//counterfeiter:generate -o configurerfakes . Transaction
type Transaction interface {
	Commit()
	Rollback() error
}

// Remover takes away what Apply made for a container, found by its namespace or,
// without one, by its ID; then whatever shared thing nobody uses any more.
// Finding nothing is no error.
//
//counterfeiter:generate -o configurerfakes . Remover
type Remover interface {
	Remove(netConfig NetworkConfig, pid int) error
}

// Inspector reads an attachment back from the kernel.
//
//counterfeiter:generate -o configurerfakes . Inspector
type Inspector interface {
	Inspect(netConfig NetworkConfig, pid int) (Attachment, error)
}

// Lister lists every attachment on this host.
//
//counterfeiter:generate -o configurerfakes . Lister
type Lister interface {
	List() ([]Listed, error)
}

// Checker compares what is there with what is asked for, defaults included, and
// changes nothing. A container that isn't attached is a difference too.
//
//counterfeiter:generate -o configurerfakes . Checker
type Checker interface {
	Check(netConfig NetworkConfig, pid int) ([]Difference, error)
}

// Diagnoser looks at the host for what keeps containers from working, and changes
// nothing. netConfig names the bridge that is looked at where there is none yet.
//
//counterfeiter:generate -o configurerfakes . Diagnoser
type Diagnoser interface {
	Diagnose(netConfig NetworkConfig) ([]Difference, error)
}

// Netset runs the host's side and the container's side of the work in order. It
// holds no state: one Netset serves any number of containers at once.
type Netset struct {
	HostConfigurer      Configurer
	ContainerConfigurer Configurer
}

// New returns a Netset of the two sides.
func New(hostConfigurer, containerConfigurer Configurer) *Netset {
	return &Netset{HostConfigurer: hostConfigurer, ContainerConfigurer: containerConfigurer}
}

// ConfigureHost does the host's side alone: bridge, pair and lease. Until
// ConfigureContainer follows, the attachment counts as unfinished, and a run for
// the same container interface may clear it away.
func (n *Netset) ConfigureHost(netConfig NetworkConfig, pid int) error {
	return apply(n.HostConfigurer, netConfig, pid)
}

// ConfigureContainer does the container's side, after ConfigureHost.
func (n *Netset) ConfigureContainer(netConfig NetworkConfig, pid int) error {
	return apply(n.ContainerConfigurer, netConfig, pid)
}

func apply(configurer Configurer, netConfig NetworkConfig, pid int) error {
	if err := netConfig.Validate(); err != nil {
		return err
	}
	return configurer.Apply(netConfig, pid)
}

// Up does both sides, or nothing: when one fails, what was done is undone, the
// last first. pid is looked at only where netConfig has no Namespace. A container that is attached already is left as it is, and is an
// error only where it differs from what is asked for.
func (n *Netset) Up(netConfig NetworkConfig, pid int) error {
	transaction, err := n.Begin(netConfig, pid)
	if err != nil {
		return err
	}
	transaction.Commit()
	return nil
}

// Begin is Up that can still be taken back.
func (n *Netset) Begin(netConfig NetworkConfig, pid int) (Transaction, error) {
	if err := netConfig.Validate(); err != nil {
		return nil, err
	}
	host, err := begin(n.HostConfigurer, netConfig, pid)
	if err != nil {
		return nil, err
	}
	container, err := begin(n.ContainerConfigurer, netConfig, pid)
	if err != nil {
		return nil, errors.Join(err, host.Rollback())
	}
	return both{host, container}, nil
}

// both sides' work ends in reverse order.
type both struct{ host, container Transaction }

func (b both) Commit() {
	b.container.Commit()
	b.host.Commit()
}

func (b both) Rollback() error {
	return errors.Join(b.container.Rollback(), b.host.Rollback())
}

// Down takes the attachment of netConfig's container interface away. It succeeds
// where there is none. Where it can't be deleted, all is as it was; where what
// nobody uses any more can't, the next Down takes that away. Without a Namespace,
// and with a pid of 0, the attachment is found by netConfig's ID.
func (n *Netset) Down(netConfig NetworkConfig, pid int) error {
	if err := netConfig.Validate(); err != nil {
		return err
	}
	remover, ok := n.HostConfigurer.(Remover)
	if !ok {
		return fmt.Errorf("disconnecting a container: %T can't remove what it made", n.HostConfigurer)
	}
	return remover.Remove(netConfig, pid)
}

// Inspect reads the attachment of netConfig's container interface back.
func (n *Netset) Inspect(netConfig NetworkConfig, pid int) (Attachment, error) {
	if err := netConfig.Validate(); err != nil {
		return Attachment{}, err
	}
	inspector, ok := n.HostConfigurer.(Inspector)
	if !ok {
		return Attachment{}, fmt.Errorf("reading an attachment: %T can't read what it made", n.HostConfigurer)
	}
	return inspector.Inspect(netConfig, pid)
}

// List lists every attachment on this host.
func (n *Netset) List() ([]Listed, error) {
	lister, ok := n.HostConfigurer.(Lister)
	if !ok {
		return nil, fmt.Errorf("listing attachments: %T can't list what it made", n.HostConfigurer)
	}
	return lister.List()
}

// Check compares the attachment of netConfig's container interface with netConfig.
func (n *Netset) Check(netConfig NetworkConfig, pid int) ([]Difference, error) {
	if err := netConfig.Validate(); err != nil {
		return nil, err
	}
	checker, ok := n.HostConfigurer.(Checker)
	if !ok {
		return nil, fmt.Errorf("checking an attachment: %T can't compare what it made", n.HostConfigurer)
	}
	return checker.Check(netConfig, pid)
}

// Diagnose looks at the host for what keeps containers from working.
func (n *Netset) Diagnose(netConfig NetworkConfig) ([]Difference, error) {
	if err := netConfig.Validate(); err != nil {
		return nil, err
	}
	diagnoser, ok := n.HostConfigurer.(Diagnoser)
	if !ok {
		return nil, fmt.Errorf("checking the host: %T can't tell what is wrong", n.HostConfigurer)
	}
	return diagnoser.Diagnose(netConfig)
}

// begin lets a Configurer of somebody else's take part that only knows Apply: it
// is run, and not taken back.
func begin(configurer Configurer, netConfig NetworkConfig, pid int) (Transaction, error) {
	if transactor, ok := configurer.(Transactor); ok {
		return transactor.Begin(netConfig, pid)
	}
	return nothing{}, configurer.Apply(netConfig, pid)
}

type nothing struct{}

func (nothing) Commit()         {}
func (nothing) Rollback() error { return nil }
