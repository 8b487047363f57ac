// Package kernel is the one room of netsetgo that speaks to the kernel: rtnetlink,
// namespaces, capabilities and the lock. It does what it is told, one message for
// each change, and turns errno into the errors that package configurer decides on.
// It never decides anything itself, and executes nothing.
package kernel
