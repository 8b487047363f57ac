package kernel

import (
	"encoding/binary"
	"errors"
	"slices"

	"github.com/netsetgo/netsetgo/configurer"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Names of the kernel's that golang.org/x/sys doesn't have; linux/netfilter/nfnetlink_conntrack.h
// where nothing else is said.
const (
	conntrackGet      = 1      // IPCTNL_MSG_CT_GET
	conntrackDelete   = 2      // IPCTNL_MSG_CT_DELETE
	attrID            = 12     // CTA_ID
	attrTupleOrig     = 1      // CTA_TUPLE_ORIG
	attrFilter        = 25     // CTA_FILTER
	attrFilterOrig    = 1      // CTA_FILTER_ORIG_FLAGS
	attrTupleProto    = 2      // CTA_TUPLE_PROTO
	attrProtoNumber   = 1      // CTA_PROTO_NUM
	attrProtoToPort   = 3      // CTA_PROTO_DST_PORT
	filterProto       = 1 << 3 // CTA_FILTER_F_CTA_PROTO_NUM, net/netfilter/nf_internals.h
	filterProtoToPort = 1 << 5 // CTA_FILTER_F_CTA_PROTO_DST_PORT
)

// maxForget is how many ports are forgotten one by one: for each, the kernel looks at all
// entries, which takes as long as to list them.
const maxForget = 4

func (c *conn) forgetAll(batch []configurer.Step) []error {
	errs := make([]error, len(batch))
	if len(batch) <= maxForget {
		for i, step := range batch {
			errs[i] = c.forget(step.Change.(configurer.ForgetFlows))
		}
		return errs
	}
	filter, err := c.filter()
	if err != nil {
		return slices.Repeat([]error{err}, len(batch))
	}
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		ports := map[int]bool{}
		for _, step := range batch {
			if change := step.Change.(configurer.ForgetFlows); change.IPv6 == (family == unix.AF_INET6) {
				ports[change.Port] = true
			}
		}
		if len(ports) > 0 {
			err = errors.Join(err, filter.forgetEach(family, ports))
		}
	}
	return slices.Repeat([]error{err}, len(batch))
}

// forget deletes all entries that a filter lets through, in one message.
func (c *conn) forget(change configurer.ForgetFlows) error {
	filter, err := c.filter()
	if err != nil {
		return err
	}
	request := nl.NewNetlinkRequest(unix.NFNL_SUBSYS_CTNETLINK<<8|conntrackDelete, unix.NLM_F_ACK)
	family := uint8(unix.AF_INET)
	if change.IPv6 {
		family = unix.AF_INET6
	}
	request.AddData(&nl.Nfgenmsg{NfgenFamily: family})
	// By the port alone: of IPv6 addresses, the kernel takes all but the one that is asked
	// for (ctnetlink_filter_match_tuple, net/netfilter/nf_conntrack_netlink.c, as of 6.18).
	tuple := nest(attrTupleOrig)
	proto := tuple.AddRtAttr(attrTupleProto|unix.NLA_F_NESTED, nil)
	proto.AddRtAttr(attrProtoNumber, []byte{unix.IPPROTO_UDP})
	proto.AddRtAttr(attrProtoToPort, binary.BigEndian.AppendUint16(nil, uint16(change.Port)))
	request.AddData(tuple)
	which := nest(attrFilter)
	which.AddRtAttr(attrFilterOrig, binary.NativeEndian.AppendUint32(nil, filterProto|filterProtoToPort))
	request.AddData(which)
	_, err = filter.ask(request)
	// Older kernels, as 6.6's net/netfilter/nf_conntrack_netlink.c has it, take a tuple that
	// isn't whole for a wrong one.
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP) {
		err = filter.forgetEach(family, map[int]bool{change.Port: true})
	}
	if errors.Is(err, configurer.ErrNotFound) {
		return nil // there were none
	}
	return err
}

// forgetEach lists all entries of a family and deletes one by one.
func (s *socket) forgetEach(family uint8, ports map[int]bool) error {
	list := nl.NewNetlinkRequest(unix.NFNL_SUBSYS_CTNETLINK<<8|conntrackGet, unix.NLM_F_DUMP)
	list.AddData(&nl.Nfgenmsg{NfgenFamily: family})
	entries, err := s.ask(list)
	// A kernel without conntrack has none.
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if len(entry) < sizeofNfgenmsg {
			return errShort
		}
		tuple := find(entry[sizeofNfgenmsg:], attrTupleOrig)
		proto := find(tuple, attrTupleProto)
		number, to := find(proto, attrProtoNumber), find(proto, attrProtoToPort)
		if len(number) != 1 || number[0] != unix.IPPROTO_UDP || len(to) != 2 || !ports[int(binary.BigEndian.Uint16(to))] {
			continue
		}
		request := nl.NewNetlinkRequest(unix.NFNL_SUBSYS_CTNETLINK<<8|conntrackDelete, unix.NLM_F_ACK)
		request.AddData(&nl.Nfgenmsg{NfgenFamily: family})
		request.AddData(nl.NewRtAttr(attrTupleOrig|unix.NLA_F_NESTED, tuple))
		request.AddData(nl.NewRtAttr(attrID, find(entry[sizeofNfgenmsg:], attrID)))
		if _, err := s.ask(request); err != nil && !errors.Is(err, configurer.ErrNotFound) {
			return err
		}
	}
	return nil
}
