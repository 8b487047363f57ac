package configurer

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/netsetgo/netsetgo/configurer/lease"
)

const whyLease = "leases the address: the kernel gives no name twice"

// lease gives the host link the name of an address that nobody else has.
func (r *run) lease(pair int, bridge Link, note *lease.Note) error {
	gateway := r.config.Gateway()
	if addr := r.config.ContainerAddr(); addr.IsValid() {
		note.Next = lease.After(gateway, addr)
		return r.claim(AddAltname{pair, lease.AddressName(bridge.Name, addr)}, whyLease, "leasing address "+addr.String(),
			"choose another -containerAddress, or leave it out")
	}
	began := time.Now()
	for {
		for addr := range lease.Candidates(gateway, note.Next) {
			err := r.do(r.host, step{change: AddAltname{pair, lease.AddressName(bridge.Name, addr)}, why: whyLease})
			if errors.Is(err, ErrExists) {
				continue
			}
			note.Next = lease.After(gateway, addr)
			return err
		}
		// Full: unless some of those who hold an address are about to go.
		dying, err := r.anyDying(bridge, gateway)
		if err != nil || !dying && r.graceOver(began) {
			return errors.Join(err, fmt.Errorf("leasing an address: all of %s are taken; "+
				"use a wider -bridgeAddress with another -bridgeName", gateway.Masked()))
		}
		if err := r.wait(); err != nil {
			return fmt.Errorf("waiting for an address of %s: %w", gateway.Masked(), err)
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
			return fmt.Errorf("%s: its holder is ending: %w", doing, err)
		}
	}
}

// graceOver says whether who still looks alive is alive.
func (r *run) graceOver(began time.Time) bool {
	return time.Since(began) > grace || r.inTime() != nil
}
