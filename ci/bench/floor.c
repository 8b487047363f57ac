//go:build ignore

/*
 * floor connects a container to a bridge by the least that the kernel asks for: what
 * netsetgo's time is compared with. It leases nothing, checks nothing, and undoes nothing.
 *
 *   floor NAMESPACE BRIDGE NAME ADDRESS GATEWAY
 *
 * NAMESPACE is a file, BRIDGE an index, NAME the host link's, ADDRESS has a prefix of 16.
 *
 * One datagram makes the pair in its place (both names, the bridge, up, one queue each) and
 * keeps the host link from IPv6; another is for the container. Of each, the answer to its last
 * message is awaited. It needs Linux 6.2, which tells the peer's index at once (NLM_F_ECHO).
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static char buffer[4096];
static size_t length;

static void *add(size_t size)
{
	void *at = buffer + length;
	length += NLMSG_ALIGN(size);
	return at;
}

static struct nlmsghdr *message(int type, int flags)
{
	struct nlmsghdr *header = add(sizeof *header);
	header->nlmsg_type = type;
	header->nlmsg_flags = NLM_F_REQUEST | flags;
	return header;
}

static void end(struct nlmsghdr *header)
{
	header->nlmsg_len = buffer + length - (char *)header;
}

static void attribute(int type, const void *data, size_t size)
{
	struct rtattr *head = add(RTA_LENGTH(size));
	head->rta_type = type;
	head->rta_len = RTA_LENGTH(size);
	memcpy(RTA_DATA(head), data, size);
}

static void number(int type, unsigned value) { attribute(type, &value, sizeof value); }

static struct rtattr *nest(int type)
{
	struct rtattr *head = add(sizeof *head);
	head->rta_type = type;
	return head;
}

static void close_nest(struct rtattr *head) { head->rta_len = buffer + length - (char *)head; }

/* The multicast of each new link's IPv6 floods all ports of the bridge. */
static void no_ipv6(void)
{
	unsigned char none = IN6_ADDR_GEN_MODE_NONE;
	struct rtattr *spec = nest(IFLA_AF_SPEC), *inet6 = nest(AF_INET6);
	attribute(IFLA_INET6_ADDR_GEN_MODE, &none, 1);
	close_nest(inet6);
	close_nest(spec);
}

static int open_socket(void)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	return fd < 0 ? exit(2), 0 : fd;
}

/* send_all sends what is in the buffer, and takes answers until that to the last of it. */
static int send_all(int fd)
{
	char answer[8192];
	if (send(fd, buffer, length, 0) != (ssize_t)length)
		exit(3);
	length = 0;
	memset(buffer, 0, sizeof buffer);
	int peer = 0;
	for (;;) {
		ssize_t size = recv(fd, answer, sizeof answer, 0);
		if (size < 0)
			exit(4);
		for (struct nlmsghdr *h = (void *)answer; NLMSG_OK(h, size); h = NLMSG_NEXT(h, size)) {
			if (h->nlmsg_type == NLMSG_ERROR) {
				if (((struct nlmsgerr *)NLMSG_DATA(h))->error)
					exit(5);
				return peer;
			}
			struct ifinfomsg *info = NLMSG_DATA(h);
			int rest = IFLA_PAYLOAD(h);
			for (struct rtattr *a = IFLA_RTA(info); RTA_OK(a, rest); a = RTA_NEXT(a, rest))
				if (a->rta_type == IFLA_LINK)
					peer = *(int *)RTA_DATA(a);
		}
	}
}

int main(int count, char **argument)
{
	if (count != 6)
		return 1;
	int namespace = open(argument[1], O_RDONLY | O_CLOEXEC), host = open_socket();

	struct nlmsghdr *header = message(RTM_NEWLINK, NLM_F_ECHO | NLM_F_CREATE | NLM_F_EXCL);
	struct ifinfomsg *link = add(sizeof *link);
	link->ifi_flags = link->ifi_change = IFF_UP;
	attribute(IFLA_IFNAME, argument[3], strlen(argument[3]) + 1);
	number(IFLA_MASTER, atoi(argument[2]));
	number(IFLA_NUM_TX_QUEUES, 1);
	number(IFLA_NUM_RX_QUEUES, 1);
	struct rtattr *info = nest(IFLA_LINKINFO);
	attribute(IFLA_INFO_KIND, "veth", 5);
	struct rtattr *data = nest(IFLA_INFO_DATA), *peer = nest(VETH_INFO_PEER);
	add(sizeof(struct ifinfomsg));
	attribute(IFLA_IFNAME, "veth1", 6);
	number(IFLA_NET_NS_FD, namespace);
	number(IFLA_NUM_TX_QUEUES, 1);
	number(IFLA_NUM_RX_QUEUES, 1);
	close_nest(peer);
	close_nest(data);
	close_nest(info);
	end(header);

	header = message(RTM_NEWLINK, NLM_F_ACK);
	add(sizeof *link);
	attribute(IFLA_IFNAME, argument[3], strlen(argument[3]) + 1);
	no_ipv6();
	end(header);
	int inside = send_all(host);

	if (setns(namespace, CLONE_NEWNET))
		return 6;
	int container = open_socket();

	header = message(RTM_NEWLINK, 0);
	link = add(sizeof *link);
	link->ifi_index = 1;
	link->ifi_flags = link->ifi_change = IFF_UP;
	end(header);

	/* First silent, then up: what one message asks for is done in the other order. */
	header = message(RTM_NEWLINK, 0);
	link = add(sizeof *link);
	link->ifi_index = inside;
	no_ipv6();
	end(header);

	header = message(RTM_NEWLINK, 0);
	link = add(sizeof *link);
	link->ifi_index = inside;
	link->ifi_flags = link->ifi_change = IFF_UP;
	end(header);

	struct in_addr address, gateway;
	inet_aton(argument[4], &address);
	inet_aton(argument[5], &gateway);
	header = message(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL);
	struct ifaddrmsg *of = add(sizeof *of);
	of->ifa_family = AF_INET;
	of->ifa_prefixlen = 16;
	of->ifa_index = inside;
	attribute(IFA_LOCAL, &address, sizeof address);
	attribute(IFA_ADDRESS, &address, sizeof address);
	end(header);

	header = message(RTM_NEWROUTE, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL);
	struct rtmsg *route = add(sizeof *route);
	route->rtm_family = AF_INET;
	route->rtm_table = RT_TABLE_MAIN;
	route->rtm_protocol = RTPROT_BOOT;
	route->rtm_type = RTN_UNICAST;
	attribute(RTA_GATEWAY, &gateway, sizeof gateway);
	end(header);
	send_all(container);
	return 0;
}
