// Package netsetgo gives the network namespace of a container a working
// network: it says what is asked for (NetworkConfig), who does it (Configurer),
// and runs the two sides of the work in order, undoing them when one fails
// (Netset). It never talks to the kernel and imports no other package of this
// module.
//
// # Theory of operation
//
// A run goes one way. Flags, or the OCI state that a runtime writes to a hook's
// standard input, become a NetworkConfig in cmd/netsetgo; Validate looks at it
// once, and after that it is trusted. Netset then runs Host and Container of
// package configurer, which reach the kernel through one interface only, kept
// by package configurer/kernel.
//
// What `up` does, and how each step is undone:
//
//  1. The target is pinned: a pidfd, then the namespace behind it. Everything
//     after uses that descriptor, so a pid that is used again changes nothing.
//     Our own namespace is refused. Closing the descriptor undoes it.
//  2. /run/netsetgo.lock is taken shared. Runs that attach never wait for each
//     other; only one that removes a bridge, or what a killed run left, takes
//     it exclusively. The kernel lets go of it when the process ends.
//  3. An attachment that is there already, found by the name
//     netsetgo:n:<hash>:<container interface>:<namespace> among the host's links, is
//     compared with the options that were given, and the run is over.
//  4. The bridge is made: link, group and MAC in one message, then its MTU, its
//     address, and "up". A marked bridge that a killed run left half done is
//     finished; one that somebody else made is used as it is. A subnet that the
//     host reaches by another link is refused. Undone under the exclusive lock,
//     and only while the bridge has no port.
//  5. The rules and forwarding are looked at, in few messages: nearly always all
//     is there. What isn't is made with the lock held exclusively, and shared by
//     all: the bridge's policy in its note; the two tables of nftables, the same
//     on every host, with the bridges, containers and ports of this one as
//     elements of their sets, all of which the links tell; forwarding of the
//     bridge and of the links of the default routes, of which the note remembers
//     how they were. It goes with the bridge: of the last one, everything is put
//     back. Rules that somebody took away are put back for good.
//  6. The pair is made in place, in one message: the host link on the bridge, down,
//     and carrying netsetgo's group; the peer with its last name and MAC in the
//     container's namespace. Nothing is moved or renamed. Undone by deleting
//     the host link, which takes the peer and all that hangs on it with it.
//  7. An address of each family is leased: the name
//     netsetgo:a:<hash>:<bridge>:<address> is given to the host link. The kernel
//     refuses a name that is taken, so two runs can't lease one address. It goes
//     with the link.
//  8. The port is locked to the container's MAC, and MAC and addresses become
//     elements of the sets of who may send; so do published ports, each also a
//     name netsetgo:p:… of the host link. Ports that still lead to the address,
//     for a container that is gone, are taken away first. Only now does the host
//     link come up. Undone by deleting the elements; the rest goes with the link.
//     The bridge's note (its ifalias) then says where the next run starts looking;
//     undone by writing the old one.
//  9. Inside the container, by interface index and in one batch: lo up, no
//     automatic IPv6 on the peer, MAC, up, address, routes. Each is undone by
//     its reverse, but for the IPv6 setting, which goes with the pair.
//  10. The host link is looked at until its carrier is seen, and given
//     its owner's names: netsetgo:c:<hash>:<container interface>:<id> where an id
//     is known, and last of all netsetgo:n:…. An owner means that the attachment
//     is complete; a link with our group and without an owner is what a killed
//     run left, and the next run for that container clears it away.
//
// `down` finds the host link by one of its owner's names, deletes what is its own
// of the rules, which can be undone, and then the link, which can't: made again, it and
// its peer would be others. So from there on it goes on to its end, and what fails then
// is done once more: every bridge with netsetgo's group that has no port left goes, and
// what containers left in the rules that are gone.
//
// Every change of both is a piece of data, a configurer.Change, on its way to the
// kernel. Package trace stands in that way and shows each as the command that makes
// the same, for -v and -log; package dryrun stands there for -dryRun, and answers as
// if the change had been made. So what is shown is what is done.
//
// `check` and `list` only read, and take no lock. Check looks for the two ends of an
// attachment by each of the marks that `up` leaves, and compares what it finds with
// the configuration, defaults filled in. List reads the host's bridges and its veth
// with netsetgo's group, and each one's peer. Without a container, check diagnoses the
// host.
package netsetgo
