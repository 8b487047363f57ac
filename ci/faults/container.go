package main

import (
	"fmt"

	"github.com/netsetgo/netsetgo/ci/testbed"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// disconnect deletes all links but lo, as the container's end would.
func disconnect(c *testbed.Container) error {
	handle, err := netlink.NewHandleAt(netns.NsHandle(c.Namespace.Fd()), unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("looking into the container: %w", err)
	}
	defer handle.Close()
	links, err := handle.LinkList()
	if err != nil {
		return fmt.Errorf("looking for the container's links: %w", err)
	}
	for _, link := range links {
		if link.Attrs().Index != 1 {
			if err := handle.LinkDel(link); err != nil {
				return fmt.Errorf("deleting a link of the container: %w", err)
			}
		}
	}
	return nil
}

// calm takes lo of a container back to what it was: a kill or a `down` leaves it up.
func calm(c *testbed.Container) error {
	handle, err := netlink.NewHandleAt(netns.NsHandle(c.Namespace.Fd()), unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("looking into the container: %w", err)
	}
	defer handle.Close()
	lo, err := handle.LinkByIndex(1)
	if err != nil {
		return fmt.Errorf("looking for the container's lo: %w", err)
	}
	if lo.Attrs().RawFlags&unix.IFF_UP == 0 {
		return nil
	}
	addresses, err := handle.AddrList(lo, netlink.FAMILY_V4)
	if err != nil {
		return fmt.Errorf("reading the addresses of the container's lo: %w", err)
	}
	for _, address := range addresses {
		if err := handle.AddrDel(lo, &address); err != nil {
			return fmt.Errorf("taking lo's address: %w", err)
		}
	}
	return handle.LinkSetDown(lo)
}
