// Command original is a program written against the original's API, and nothing else.
package main

import (
	"flag"
	"fmt"
	"net"
	"os"

	"github.com/netsetgo/netsetgo"
	"github.com/netsetgo/netsetgo/configurer"
	"github.com/netsetgo/netsetgo/configurer/kernel"
)

func main() {
	var bridgeName, bridgeAddress, containerAddress, vethNamePrefix string
	var pid int

	flag.StringVar(&bridgeName, "bridgeName", "brg0", "Name to assign to bridge device")
	flag.StringVar(&bridgeAddress, "bridgeAddress", "10.10.10.1/24", "Address to assign to bridge device (CIDR notation)")
	flag.StringVar(&vethNamePrefix, "vethNamePrefix", "veth", "Name prefix for veth devices")
	flag.StringVar(&containerAddress, "containerAddress", "", "Address to assign to the container (CIDR notation)")
	flag.IntVar(&pid, "pid", 0, "pid of a process in the container's network namespace")
	flag.Parse()

	bridgeIP, subnet, err := net.ParseCIDR(bridgeAddress)
	check(err)
	var containerIP net.IP
	if containerAddress != "" {
		containerIP, _, err = net.ParseCIDR(containerAddress)
		check(err)
	}
	netConfig := netsetgo.NetworkConfig{
		BridgeName:     bridgeName,
		BridgeIP:       bridgeIP,
		ContainerIP:    containerIP,
		Subnet:         subnet,
		VethNamePrefix: vethNamePrefix,
	}

	var hostConfigurer netsetgo.Configurer = configurer.NewHostConfigurer(kernel.System{})
	var containerConfigurer netsetgo.Configurer = configurer.NewContainerConfigurer(kernel.System{})
	netset := netsetgo.New(hostConfigurer, containerConfigurer)
	netset = &netsetgo.Netset{HostConfigurer: netset.HostConfigurer, ContainerConfigurer: netset.ContainerConfigurer}

	check(netset.ConfigureHost(netConfig, pid))
	check(netset.ConfigureContainer(netConfig, pid))
}

func check(err error) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "ERROR - %s\n", err)
		os.Exit(1)
	}
}
