package kernel

import "golang.org/x/sys/unix"

// needed are the capabilities that the work takes: to change networks, to enter
// a namespace, and to look at another user's process.
var needed = []struct {
	name   string
	number uint
}{
	{"CAP_NET_ADMIN", unix.CAP_NET_ADMIN},
	{"CAP_SYS_PTRACE", unix.CAP_SYS_PTRACE},
	{"CAP_SYS_ADMIN", unix.CAP_SYS_ADMIN},
}

// MissingCapabilities names what this process may not do of what the work takes;
// nothing where all is well, or where the kernel doesn't say.
func (System) MissingCapabilities() []string {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return nil
	}
	var missing []string
	for _, capability := range needed {
		if data[0].Effective&(1<<capability.number) == 0 {
			missing = append(missing, capability.name)
		}
	}
	return missing
}
