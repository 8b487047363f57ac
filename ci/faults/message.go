package main

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

// requests names what a datagram of netlink asks for; others are told by number.
var requests = map[uint16]string{
	unix.RTM_NEWLINK: "RTM_NEWLINK", unix.RTM_DELLINK: "RTM_DELLINK", unix.RTM_GETLINK: "RTM_GETLINK", unix.RTM_SETLINK: "RTM_SETLINK",
	unix.RTM_NEWADDR: "RTM_NEWADDR", unix.RTM_DELADDR: "RTM_DELADDR", unix.RTM_GETADDR: "RTM_GETADDR",
	unix.RTM_NEWROUTE: "RTM_NEWROUTE", unix.RTM_DELROUTE: "RTM_DELROUTE", unix.RTM_GETROUTE: "RTM_GETROUTE",
	unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_GETTABLE: "NFT_MSG_GETTABLE", unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_GETCHAIN: "NFT_MSG_GETCHAIN",
	unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_GETRULE: "NFT_MSG_GETRULE", unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_GETSET: "NFT_MSG_GETSET",
	unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_GETSETELEM: "NFT_MSG_GETSETELEM",
	unix.RTM_NEWLINKPROP: "RTM_NEWLINKPROP", unix.RTM_DELLINKPROP: "RTM_DELLINKPROP", unix.RTM_GETNSID: "RTM_GETNSID", unix.RTM_NEWNEIGH: "RTM_NEWNEIGH", unix.RTM_GETNEIGH: "RTM_GETNEIGH",
}

// describe tells what a datagram is, by its first header.
func describe(header []byte, length int) string {
	kind := binary.NativeEndian.Uint16(header[4:])
	name, ok := requests[kind]
	switch {
	case isTransaction(header):
		name = "a transaction of nftables"
	case isDiag(header):
		name = "SOCK_DIAG_BY_FAMILY_GET"
	}
	if !ok {
		name = fmt.Sprintf("request %#x", kind)
	}
	return fmt.Sprintf("%s, %d bytes", name, length)
}

// isTransaction says whether a datagram is one of nftables. It begins by a message of the number
// of RTM_NEWLINK, that has but a struct nfgenmsg.
func isTransaction(header []byte) bool {
	return binary.NativeEndian.Uint16(header[4:]) == unix.NLMSG_MIN_TYPE && binary.NativeEndian.Uint32(header) == unix.SizeofNlMsghdr+4
}

// isDiag says whether a datagram asks for sockets (sock_diag(7)): that has the number of
// RTM_NEWADDR, but wants all there are.
func isDiag(header []byte) bool {
	const all = unix.NLM_F_DUMP
	return binary.NativeEndian.Uint16(header[4:]) == unix.SOCK_DIAG_BY_FAMILY && binary.NativeEndian.Uint16(header[6:])&all == all
}

// requestsOf are the requests of a datagram.
func requestsOf(datagram []byte) (requests [][]byte) {
	for len(datagram) >= unix.SizeofNlMsghdr {
		length := int(binary.NativeEndian.Uint32(datagram))
		if length < unix.SizeofNlMsghdr || length > len(datagram) {
			break
		}
		next := min(len(datagram), (length+3)&^3)
		requests = append(requests, datagram[:next:next])
		datagram = datagram[next:]
	}
	return requests
}

// partsOf is how many requests of a datagram the kernel grants or refuses one by one: those of
// rtnetlink, where there are several. nftables takes all or none.
func partsOf(datagram []byte) int {
	requests := requestsOf(datagram)
	if len(requests) < 2 || isTransaction(datagram) || binary.NativeEndian.Uint16(datagram[4:]) > unix.RTM_MAX {
		return 0
	}
	return len(requests)
}

// refusal is the kernel's answer to requests that it refuses: struct nlmsgerr of
// linux/netlink.h behind a header, for each.
func refusal(requests [][]byte, errno unix.Errno) []byte {
	var answer []byte
	for _, request := range requests {
		header := request[:unix.SizeofNlMsghdr]
		const size = unix.SizeofNlMsghdr + 4 + unix.SizeofNlMsghdr
		answer = binary.NativeEndian.AppendUint32(answer, size)
		answer = binary.NativeEndian.AppendUint16(answer, unix.NLMSG_ERROR)
		answer = binary.NativeEndian.AppendUint16(answer, 0)
		answer = append(answer, header[8:12]...) // the sequence number
		answer = binary.NativeEndian.AppendUint32(answer, 0)
		answer = binary.NativeEndian.AppendUint32(answer, uint32(-int32(errno)))
		answer = append(answer, header...)
	}
	return answer
}

// putAnswer puts a datagram, and the kernel as its sender, where a recvmsg wants them
// (struct user_msghdr, linux/socket.h, with pointers of 64 bits).
func putAnswer(n notification, answer []byte) (length int, err error) {
	header := peek(n.pid, n.args[1], 56)
	if len(header) < 56 {
		return 0, fmt.Errorf("looking at a recvmsg: %d bytes", len(header))
	}
	field := func(offset int) uint64 { return binary.NativeEndian.Uint64(header[offset:]) }
	sender := make([]byte, unix.SizeofSockaddrNetlink)
	binary.NativeEndian.PutUint16(sender, unix.AF_NETLINK)
	iovec := peek(n.pid, field(16), 16)
	if len(iovec) < 16 || int(binary.NativeEndian.Uint64(iovec[8:])) < len(answer) {
		return 0, fmt.Errorf("the room of a recvmsg is smaller than %d bytes", len(answer))
	}
	binary.NativeEndian.PutUint32(header[8:], uint32(len(sender)))
	binary.NativeEndian.PutUint32(header[48:], 0) // flags
	for _, part := range []struct {
		address uint64
		data    []byte
	}{{field(0), sender}, {binary.NativeEndian.Uint64(iovec), answer}, {n.args[1], header}} {
		if err := poke(n.pid, part.address, part.data); err != nil {
			return 0, fmt.Errorf("answering a recvmsg: %w", err)
		}
	}
	return len(answer), nil
}
