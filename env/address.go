package env

import (
	"cmp"
	"errors"
	"net"
	"net/netip"
	"reflect"
	"strconv"
	"strings"
)

// Listen is where to listen: a host, host:port, :port or unix:///path.
type Listen string

// check implements checker.
func (l Listen) check(tag reflect.StructTag) error {
	text := string(l)
	if path, unix := strings.CutPrefix(text, "unix://"); unix {
		if !strings.HasPrefix(path, "/") {
			return errors.New("want unix:// and an absolute path, such as unix:///run/service.sock")
		}
		return nil
	}
	if strings.Contains(text, "://") {
		return errors.New("want an address without a scheme, such as localhost:5000")
	}
	host, port, err := net.SplitHostPort(text)
	if err == nil && port == "" {
		return errors.New("want a port after the colon")
	}
	switch {
	case err == nil:
		if _, err := strconv.ParseUint(port, 10, 16); err != nil {
			return errors.New("want a port from 0 to 65535 after the colon")
		}
	case tag.Get("port") == "required":
		return errors.New("want host:port, such as localhost:9090, :port or unix:///path")
	default:
		if host = text; strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") {
			host = host[1 : len(host)-1]
		}
		if isNumber(host) {
			return errors.New("want a host; a port alone is set by PORT, or as :" + host)
		}
	}
	if host != "" && !isHost(host) {
		return errors.New("want a host name or an IP address, such as localhost or 0.0.0.0")
	}
	return nil
}

func isNumber(s string) bool {
	_, err := strconv.Atoi(s)
	return err == nil
}

// isHost accepts what can be an address or a name; whether it is one of this
// machine's shows when the server listens.
func isHost(host string) bool {
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	labels := strings.Split(strings.TrimSuffix(host, "."), ".")
	for _, label := range labels {
		if label == "" || len(label) > 63 {
			return false
		}
		for _, r := range label {
			if r != '-' && r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') {
				return false
			}
		}
	}
	return !isNumber(labels[len(labels)-1]) // or it is an IP address with a mistake
}

// addr joins LISTEN and PORT, or is empty when neither is set.
func (c Config) addr() string {
	listen := string(c.Listen)
	if listen == "" && c.Port == 0 {
		return ""
	}
	if strings.HasPrefix(listen, "unix://") {
		return listen
	}
	if _, _, err := net.SplitHostPort(listen); err == nil {
		return listen
	}
	return net.JoinHostPort(strings.Trim(listen, "[]"), strconv.Itoa(int(cmp.Or(c.Port, 5000))))
}
