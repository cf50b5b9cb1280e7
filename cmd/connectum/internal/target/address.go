package target

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// Address is where a server is.
type Address struct {
	// URL is its base, "http" or "https", with a host and without a slash at
	// the end.
	URL *url.URL
	// Socket is the path of a Unix socket, or empty.
	Socket string
}

// ParseAddress reads host:port, a bare host, http://, https:// and
// unix:///path. What has no scheme gets https with secure, and http without;
// a scheme that contradicts secure is a mistake. A bare port is one of
// localhost.
func ParseAddress(text string, secure bool) (Address, error) {
	scheme := "http"
	if secure {
		scheme = "https"
	}
	if path, isSocket := strings.CutPrefix(text, "unix:"); isSocket {
		path, isSocket = strings.CutPrefix(path, "//")
		if !isSocket || !strings.HasPrefix(path, "/") || hasControl(path) {
			return Address{}, fmt.Errorf("address %q: a Unix socket is unix:///path", text)
		}
		return Address{URL: &url.URL{Scheme: scheme, Host: "localhost"}, Socket: path}, nil
	}
	given, rest, has := strings.Cut(text, "://")
	switch {
	case !has:
		rest = text
		if _, err := netip.ParseAddr(text); err == nil && strings.Contains(text, ":") {
			rest = "[" + text + "]" // a bare IPv6 address
		}
	case strings.EqualFold(given, "https"):
		scheme = "https"
	case strings.EqualFold(given, "http"):
		if secure {
			return Address{}, fmt.Errorf("address %q is plaintext, and other flags ask for TLS: make it https://", text)
		}
	default:
		return Address{}, fmt.Errorf("address %q: the scheme is none of http, https and unix", text)
	}
	u, err := url.Parse(scheme + "://" + rest)
	if err != nil {
		if inner, ok := errors.AsType[*url.Error](err); ok {
			err = inner.Err
		}
		return Address{}, fmt.Errorf("address %q: %w", text, err)
	}
	if err := check(u); err != nil {
		return Address{}, fmt.Errorf("address %q: %w", text, err)
	}
	if u.Hostname() == "" {
		u.Host = net.JoinHostPort("localhost", u.Port())
	}
	u.Path = strings.TrimRight(u.Path, "/")
	u.RawPath = ""
	return Address{URL: u}, nil
}

// check refuses what is more than a host, a port and a path.
func check(u *url.URL) error {
	switch port := u.Port(); {
	case u.User != nil:
		return errors.New("a user name in an address is sent nowhere: use -H 'Authorization: ...'")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return errors.New("an address has no query")
	case port != "":
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return fmt.Errorf("no port is %s", port)
		}
	case u.Hostname() == "":
		return errors.New("it has no host")
	case strings.HasSuffix(u.Host, ":"):
		return errors.New("it has no port after the colon")
	}
	if strings.ContainsAny(u.Hostname(), " /\\@<>\"") || hasControl(u.Host) || hasControl(u.Path) {
		return errors.New("no host has such a name")
	}
	return nil
}

func hasControl(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r == 0x7f })
}

// HostPort returns what to dial: the port of the scheme when none was given.
func (a Address) HostPort() string {
	if a.Socket != "" {
		return a.Socket
	}
	port := a.URL.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[a.URL.Scheme]
	}
	return net.JoinHostPort(a.URL.Hostname(), port)
}

// Network returns "tcp" or "unix".
func (a Address) Network() string {
	if a.Socket != "" {
		return "unix"
	}
	return "tcp"
}

// Loopback reports whether the server is on this machine, going by its name: a
// socket, localhost, or an address of the loopback.
func (a Address) Loopback() bool {
	if a.Socket != "" {
		return true
	}
	host := strings.ToLower(strings.TrimSuffix(a.URL.Hostname(), "."))
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}

// String returns the address as one can give it again.
func (a Address) String() string {
	if a.Socket != "" {
		return "unix://" + a.Socket
	}
	return a.URL.String()
}
