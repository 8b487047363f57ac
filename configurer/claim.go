package configurer

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/netsetgo/netsetgo"
	"github.com/netsetgo/netsetgo/configurer/lease"
)

const whyLease = "leases the address: the kernel gives no name twice"

// lease gives the host link the names of an address of each family that nobody else
// has.
func (r *run) lease(pair int, bridge Link, note *lease.Note) ([]netip.Addr, error) {
	var leased []netip.Addr
	for i, family := range r.config.Families() {
		addr, err := r.leaseOne(pair, bridge, family, r.firstToTry(i, leased, *note))
		if err != nil {
			return nil, err
		}
		if i == 0 {
			note.Next = lease.After(family.Gateway, addr)
		}
		leased = append(leased, addr)
	}
	return leased, nil
}

// firstToTry is where to look for an address of the i-th family: the note tells it for
// the first, and the address leased of that for the second.
func (r *run) firstToTry(i int, leased []netip.Addr, note lease.Note) netip.Addr {
	if i == 0 {
		return note.Next
	}
	families := r.config.Families()
	return lease.Pair(families[i].Gateway, families[0].Gateway, leased[0])
}

func (r *run) leaseOne(pair int, bridge Link, family netsetgo.Family, next netip.Addr) (netip.Addr, error) {
	gateway := family.Gateway
	if addr := family.Address; addr.IsValid() {
		return addr, r.claim(AddAltname{pair, lease.AddressName(bridge.Name, addr)}, whyLease, "leasing address "+addr.String(),
			"choose another -containerAddress, or leave it out")
	}
	began := time.Now()
	for {
		for addr := range lease.Candidates(gateway, next) {
			err := r.do(r.host, step{change: AddAltname{pair, lease.AddressName(bridge.Name, addr)}, why: whyLease})
			if !errors.Is(err, ErrExists) {
				return addr, err
			}
		}
		// Full: unless some of those who hold an address are about to go.
		dying, err := r.anyDying(bridge, gateway)
		if err != nil || !dying && r.graceOver(began) {
			return netip.Addr{}, errors.Join(err, fmt.Errorf("leasing an address: all of %s are taken; "+
				"use a wider -bridgeAddress with another -bridgeName", gateway.Masked()))
		}
		if err := r.wait(); err != nil {
			return netip.Addr{}, fmt.Errorf("waiting for an address of %s: %w", gateway.Masked(), err)
		}
	}
}

func (r *run) anyDying(bridge Link, gateway netip.Prefix) (bool, error) {
	for addr := range lease.Candidates(gateway, netip.Addr{}) {
		holder, err := r.host.Link(Which{Name: lease.AddressName(bridge.Name, addr)})
		if errors.Is(err, ErrNotFound) {
			return true, nil
		}
		if err != nil {
			return false, err
		}
		if dying, err := r.dying(holder); dying || err != nil {
			return dying, err
		}
	}
	return false, nil
}

// claim gives a host link a name that only one may have. Who has it and is just
// dying, as in a restart, is waited for; who lives is named, with a remedy.
func (r *run) claim(name AddAltname, why, doing, remedy string) error {
	began := time.Now()
	for {
		err := r.do(r.host, step{change: name, why: why})
		if !errors.Is(err, ErrExists) {
			return err
		}
		holder, err := r.host.Link(Which{Name: name.Name})
		if err != nil && !errors.Is(err, ErrNotFound) {
			return fmt.Errorf("%s: looking who holds it: %w", doing, err)
		}
		if err == nil && holder.Index == name.Link {
			return nil // by a run of the container's side alone that failed after it
		}
		if err == nil {
			dying, err := r.dying(holder)
			if err != nil {
				return fmt.Errorf("%s: looking who holds it: %w", doing, err)
			}
			if !dying && r.graceOver(began) {
				return fmt.Errorf("%s: %s holds it, by host link %s; %s", doing, lease.ReadOwner(holder.Altnames), holder.Name, remedy)
			}
		}
		if err := r.wait(); err != nil {
			return fmt.Errorf("%s: waiting for its holder to go: %w", doing, err)
		}
	}
}

// graceOver says whether who still looks alive is alive.
func (r *run) graceOver(began time.Time) bool {
	return time.Since(began) > grace || r.inTime() != nil
}
