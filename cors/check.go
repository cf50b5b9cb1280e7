package cors

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// Check reports every mistake of c, each naming its field, or nil. A list of
// origins that the environment gives is checked with it before [New].
func (c Config) Check() error {
	var faults []error
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("cors: Config."+format, args...))
	}
	for i, origin := range c.Origins {
		switch {
		case origin == "*" && c.Credentials:
			fault(`Origins[%d]: "*" can't go with Credentials: list the origins`, i)
		case origin == "*" && len(c.Origins) > 1:
			fault(`Origins[%d]: "*" allows everyone: leave out the others`, i)
		case origin != "*":
			if err := checkOrigin(origin); err != nil {
				fault("Origins[%d]: %q %w", i, origin, err)
			}
		}
	}
	for _, list := range []struct {
		field string
		names []string
	}{
		{"Headers", c.Headers}, {"ExposedHeaders", c.ExposedHeaders}, {"Trailers", c.Trailers}, {"Methods", c.Methods},
	} {
		for i, name := range list.names {
			if !isToken(name) {
				fault("%s[%d]: %q is no name: list each one", list.field, i, name)
			} else if list.field == "Methods" && name != strings.ToUpper(name) {
				fault("%s[%d]: %q must be upper case", list.field, i, name)
			}
		}
	}
	return errors.Join(faults...)
}

// checkOrigin refuses what no browser sends as an origin (RFC 6454 section 6.2),
// because it would silently match nothing.
func checkOrigin(origin string) error {
	if origin == "null" {
		return errors.New("is the origin of any page that wants it")
	}
	u, err := url.Parse(origin)
	if err != nil || u.Scheme == "" || u.Hostname() == "" || strings.Contains(origin, " ") {
		return errors.New(`is no origin: want "scheme://host" or "scheme://host:port"`)
	}
	if !strings.EqualFold(origin, u.Scheme+"://"+u.Host) {
		return fmt.Errorf("is more than an origin: want %q", u.Scheme+"://"+u.Host)
	}
	if strings.HasSuffix(u.Host, ":") || u.Port() == defaultPorts[u.Scheme] && u.Port() != "" {
		return fmt.Errorf("names the port that browsers leave out: want %q", u.Scheme+"://"+strings.TrimSuffix(u.Host, ":"+u.Port()))
	}
	for _, r := range u.Host {
		if r > '~' {
			return errors.New("has letters that browsers send in punycode (xn--)")
		}
	}
	if !strings.Contains(u.Host, "*") {
		return nil
	}
	domain, subdomains := strings.CutPrefix(u.Host, "*.")
	if !subdomains || strings.Contains(domain, "*") || !strings.Contains(domain, ".") {
		return errors.New(`has a wildcard that is too wide: want "scheme://*.example.com"`)
	}
	return nil
}

var defaultPorts = map[string]string{"http": "80", "https": "443"}

// isToken reports whether name can be a field name or a method and is no
// wildcard, which browsers take literally when credentials are sent.
func isToken(name string) bool {
	for i := range len(name) {
		c := name[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("!#$%&'+-.^_`|~", c) >= 0) {
			return false
		}
	}
	return name != "" && name != http.MethodConnect && name != http.MethodTrace
}
