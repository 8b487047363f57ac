package kernel

import (
	"os"

	"github.com/netsetgo/netsetgo/configurer"
)

// Session is a System for one call after which the process ends: whoever connects to a
// namespace again, as both sides of a run do, gets the connection that is there. None is closed.
// It is for one goroutine, which stays on its thread.
type Session struct {
	System
	conns map[uint64]configurer.Conn // by the namespace's inode; 0 is the host
}

var _ configurer.Kernel = (*Session)(nil)

// Connect implements configurer.Kernel.
func (s *Session) Connect(container *os.File) (configurer.Conn, error) {
	var key uint64
	if container != nil {
		var err error
		if key, err = s.Inode(container); err != nil {
			return nil, err
		}
	}
	if conn, ok := s.conns[key]; ok {
		return conn, nil
	}
	conn, err := s.System.Connect(container)
	if err != nil {
		return nil, err
	}
	if s.conns == nil {
		s.conns = map[uint64]configurer.Conn{}
	}
	s.conns[key] = kept{conn}
	return kept{conn}, nil
}

// kept is a connection that ends with the process.
type kept struct{ configurer.Conn }

// Close implements configurer.Conn.
func (kept) Close() error { return nil }
