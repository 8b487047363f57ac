package kernel

import (
	"errors"
	"fmt"
	"slices"

	"github.com/netsetgo/netsetgo/configurer"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// conn is the sockets of one namespace: one of rtnetlink and, on the host, one of nfnetlink.
type conn struct {
	socket
	firewall *socket
}

// maxBatch is how many changes go into one sendmsg: their answers must fit into
// the socket's receive buffer, which counts about 1 KiB for each.
const maxBatch = 64

// open opens the sockets in the namespace of the calling thread. In a container, nobody
// has to do with nftables.
func (s System) open(isHost bool) (configurer.Conn, error) {
	// Words beside the errno; errors without the request in them; dumps that can
	// be asked for one link only (NETLINK_* options, linux/netlink.h).
	route, err := openSocket(unix.NETLINK_ROUTE, unix.NETLINK_EXT_ACK, unix.NETLINK_CAP_ACK, unix.NETLINK_GET_STRICT_CHK)
	if err != nil {
		return nil, err
	}
	route.sent = s.Sent
	c := &conn{socket: route}
	if !isHost {
		return c, nil
	}
	filter, err := openSocket(unix.NETLINK_NETFILTER, unix.NETLINK_EXT_ACK, unix.NETLINK_CAP_ACK)
	// A kernel without any is told when it is needed.
	if errors.Is(err, unix.EPROTONOSUPPORT) {
		return c, nil
	}
	if err != nil {
		return nil, errors.Join(err, c.close())
	}
	filter.sent = s.Sent
	c.firewall = &filter
	return c, nil
}

// Close implements configurer.Conn.
func (c *conn) Close() error {
	err := c.close()
	if c.firewall != nil {
		err = errors.Join(err, c.firewall.close())
	}
	return err
}

// Do implements configurer.Conn. Changes of one kind that stand beside each other go
// together.
func (c *conn) Do(steps ...configurer.Step) []error {
	errs := make([]error, 0, len(steps))
	for len(steps) > 0 {
		kind := kindOf(steps[0].Change)
		n := 1
		for n < len(steps) && kindOf(steps[n].Change) == kind {
			n++
		}
		batch := steps[:n]
		steps = steps[n:]
		switch kind {
		case ofFirewall:
			err := c.transact(batch)
			for range batch {
				errs = append(errs, err)
			}
		case ofConntrack:
			errs = append(errs, c.forgetAll(batch)...)
		case ofSysctl:
			for _, step := range batch {
				errs = append(errs, writeSysctl(step.Change.(configurer.SetSysctl)))
			}
		default:
			for part := range slices.Chunk(batch, maxBatch) {
				errs = append(errs, c.do(part)...)
			}
		}
	}
	return errs
}

// What a change is made by.
const (
	ofRoute = iota
	ofFirewall
	ofSysctl
	ofConntrack
)

func kindOf(change configurer.Change) int {
	switch change.(type) {
	case configurer.AddTable, configurer.DeleteTable, configurer.AddSet, configurer.AddChain,
		configurer.AddRule, configurer.AddElements, configurer.DeleteElements:
		return ofFirewall
	case configurer.SetSysctl:
		return ofSysctl
	case configurer.ForgetFlows:
		return ofConntrack
	}
	return ofRoute
}

func (c *conn) do(batch []configurer.Step) []error {
	errs := make([]error, len(batch))
	requests := make([]*nl.NetlinkRequest, len(batch))
	for i, step := range batch {
		requests[i] = encode(step.Change)
	}
	answers, err := c.exchange(requests)
	for i := range batch {
		if err != nil {
			errs[i] = err
			continue
		}
		errs[i] = c.finish(batch[i].Change, answers[i])
	}
	return errs
}

// finish says how a change ended, and hands over the indices of what it made.
func (c *conn) finish(change configurer.Change, answer answer) error {
	if answer.lost {
		return fmt.Errorf("%w: %w", configurer.ErrUnknown, answer.err)
	}
	switch change := change.(type) {
	case configurer.AddBridge:
		link, err := c.created(answer, change.Name)
		*change.Index = link.Index
		return err
	case configurer.AddPair:
		link, err := c.created(answer, change.Name)
		*change.Index = link.Index
		// The echo is of before the link became a port; kernels that send it lock ports.
		*change.CanLock = link.Port.CanLock || len(answer.messages) > 0
		return err
	case configurer.AddAddress:
		// See inet6_addr_add, net/ipv6/addrconf.c; or a kernel without IPv6.
		if change.Address.Addr().Is6() && (errors.Is(answer.err, unix.EACCES) || errors.Is(answer.err, unix.EOPNOTSUPP)) {
			return fmt.Errorf("%w: %w", configurer.ErrNoIPv6, answer.err)
		}
	case configurer.SilenceIPv6:
		// Without IPv6 on the link (ipv6.disable, or an MTU below 1280) there is
		// nothing to silence.
		if errors.Is(answer.err, unix.EAFNOSUPPORT) {
			return nil
		}
	}
	return answer.err
}

// created reads a new link from its echo (Linux 6.2 on), or else asks for it by the name
// that it was made with.
func (c *conn) created(answer answer, name string) (configurer.Link, error) {
	if answer.err != nil {
		return configurer.Link{}, answer.err
	}
	var link configurer.Link
	var err error
	if len(answer.messages) > 0 {
		link, err = parseLink(answer.messages[0])
	} else {
		link, err = c.Link(configurer.Which{Name: name})
	}
	if err != nil {
		return link, fmt.Errorf("%w: looking at the new link %s: %w", configurer.ErrUnknown, name, err)
	}
	return link, nil
}
