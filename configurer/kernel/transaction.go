package kernel

import (
	"errors"
	"fmt"

	"github.com/netsetgo/netsetgo/configurer"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Names of the kernel's that golang.org/x/sys doesn't have.
const (
	batchBegin = unix.NLMSG_MIN_TYPE     // NFNL_MSG_BATCH_BEGIN, linux/netfilter/nfnetlink.h
	batchEnd   = unix.NLMSG_MIN_TYPE + 1 // NFNL_MSG_BATCH_END
)

// sendSize is what the socket's buffer holds of a transaction; only one that puts the
// rules of a whole host back is larger than the kernel's default.
const sendSize = 64 << 10

// filter returns the socket of nfnetlink.
func (c *conn) filter() (*socket, error) {
	if c.firewall == nil {
		return nil, configurer.ErrNoFirewall
	}
	return c.firewall, nil
}

// transact makes changes of nftables, all or none.
func (c *conn) transact(batch []configurer.Step) error {
	filter, err := c.filter()
	if err != nil {
		return err
	}
	subsystem := nl.Swap16(unix.NFNL_SUBSYS_NFTABLES)
	begin := nl.NewNetlinkRequest(batchBegin, 0)
	begin.AddData(&nl.Nfgenmsg{ResId: subsystem})
	end := nl.NewNetlinkRequest(batchEnd, 0)
	end.AddData(&nl.Nfgenmsg{ResId: subsystem})
	requests := []*nl.NetlinkRequest{begin}
	for i, step := range batch {
		requests = append(requests, encodeFirewall(step.Change, uint32(i+1))...)
	}
	// One answer for all of them, beside those of what failed.
	last := requests[len(requests)-1]
	last.Flags |= unix.NLM_F_ACK
	return filter.transact(append(requests, end), last.Seq)
}

// transact sends requests as one transaction and waits for the answer to the last.
func (s *socket) transact(requests []*nl.NetlinkRequest, last uint32) error {
	datagram := s.datagram(requests)
	if len(datagram) > sendSize {
		if err := s.allow(len(datagram)); err != nil {
			return err
		}
	}
	if err := s.send(datagram); err != nil {
		return err
	}
	for {
		messages, err := s.receive()
		if err != nil {
			return fmt.Errorf("%w: %w", configurer.ErrUnknown, err)
		}
		for _, message := range messages {
			if message.Header.Seq < requests[0].Seq || message.Header.Type != unix.NLMSG_ERROR {
				continue // of an earlier request
			}
			if err := errorOf(message); err != nil || message.Header.Seq == last {
				return s.drain(err)
			}
		}
	}
}

// drain takes the answers that follow a first one: those of what failed as well, and of
// what didn't in a transaction that did.
func (s *socket) drain(first error) error {
	for {
		messages, err := s.receive()
		if err != nil {
			break // there is none left
		}
		for _, message := range messages {
			if err := errorOf(message); first == nil && err != nil {
				first = err
			}
		}
	}
	// What isn't known to the kernel: the family, or nftables as a whole.
	if errors.Is(first, unix.EAFNOSUPPORT) || errors.Is(first, unix.EOPNOTSUPP) {
		return fmt.Errorf("%w: %w", configurer.ErrNoFirewall, first)
	}
	return first
}
