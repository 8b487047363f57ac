package main

import (
	"fmt"
	"net"
)

// serveName is the argument by which this program is the process of a container.
const serveName = "serve"

// serve says who it is to all who ask on port 80, by TCP and UDP, for as long as it lives.
func serve(name string) error {
	listener, err := net.Listen("tcp", ":80")
	if err != nil {
		return fmt.Errorf("serving: %w", err)
	}
	socket, err := net.ListenPacket("udp", ":80")
	if err != nil {
		return fmt.Errorf("serving: %w", err)
	}
	go func() {
		buffer := make([]byte, 16)
		for {
			if _, from, err := socket.ReadFrom(buffer); err == nil {
				_, _ = socket.WriteTo([]byte(name), from)
			}
		}
	}()
	for {
		conn, err := listener.Accept()
		if err != nil {
			return fmt.Errorf("serving: %w", err)
		}
		_, _ = conn.Write([]byte(name))
		_ = conn.Close()
	}
}
