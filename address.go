package connectum

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"time"
)

// defaultAddr is what Config.Addr is when it is empty.
const defaultAddr = ":5000"

// listen opens an address of Config.
func listen(ctx context.Context, addr string) (net.Listener, error) {
	addr = cmp.Or(addr, defaultAddr)
	var lc net.ListenConfig
	path, unix := strings.CutPrefix(addr, "unix://")
	if !unix {
		return lc.Listen(ctx, "tcp", addr)
	}
	if info, err := os.Stat(path); err == nil && info.Mode()&os.ModeSocket != 0 {
		// A socket that nobody answers on is left from a process that was
		// killed.
		if c, err := net.DialTimeout("unix", path, time.Second); err == nil {
			_ = c.Close()
		} else if errors.Is(err, syscall.ECONNREFUSED) {
			if err := os.Remove(path); err != nil {
				return nil, err
			}
		}
	}
	return lc.Listen(ctx, "unix", path)
}

func checkAddr(addr string) error {
	if addr == "" {
		return nil
	}
	if path, unix := strings.CutPrefix(addr, "unix://"); unix {
		if path == "" {
			return fmt.Errorf("%q names no socket: want \"unix:///path\"", addr)
		}
		return nil
	}
	_, port, err := net.SplitHostPort(addr)
	if err != nil || strings.HasPrefix(addr, "unix:") && (port == "" || strings.Contains(port, "/")) { // as grpc-go writes it
		return fmt.Errorf("%q is no address: want \"host:port\", \":port\" or \"unix:///path\"", addr)
	}
	if _, err := net.LookupPort("tcp", port); err != nil {
		return fmt.Errorf("%q: %w", addr, err)
	}
	return nil
}

func isLoopback(addr net.Addr) bool {
	a, ok := addr.(*net.TCPAddr)
	return !ok || a.IP.IsLoopback()
}
