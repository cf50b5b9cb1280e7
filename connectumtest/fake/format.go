package fake

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// formats make texts for the well_known rules of StringRules, by the name of
// the rule. n is the wanted length; 0 leaves it open. Formats with a fixed
// length take no notice of it.
var formats = map[protoreflect.Name]func(d draw, n int) string{
	"email":               email,
	"hostname":            hostname,
	"ip":                  func(d draw, _ int) string { return address(d, 0) },
	"ipv4":                func(d draw, _ int) string { return ipv4(d) },
	"ipv6":                func(d draw, n int) string { return ipv6(d, n) },
	"uri":                 uri,
	"uri_ref":             uriRef,
	"address":             hostOrIP,
	"uuid":                func(d draw, _ int) string { return uuid(d) },
	"tuuid":               func(d draw, _ int) string { return strings.ReplaceAll(uuid(d), "-", "") },
	"ip_with_prefixlen":   func(d draw, _ int) string { return prefix(d, 0, false) },
	"ipv4_with_prefixlen": func(d draw, _ int) string { return prefix(d, 4, false) },
	"ipv6_with_prefixlen": func(d draw, _ int) string { return prefix(d, 6, false) },
	"ip_prefix":           func(d draw, _ int) string { return prefix(d, 0, true) },
	"ipv4_prefix":         func(d draw, _ int) string { return prefix(d, 4, true) },
	"ipv6_prefix":         func(d draw, _ int) string { return prefix(d, 6, true) },
	"host_and_port":       hostAndPort,
	"ulid":                func(d draw, _ int) string { return ulid(d) },
	"protobuf_fqn":        qualified,
	"protobuf_dot_fqn":    func(d draw, n int) string { return "." + qualified(d, n-1) },
	"header_name":         headerName,
	"header_value":        headerValue,
}

// email makes an address at a domain that RFC 2606 reserves.
func email(d draw, n int) string {
	domain := pick(d, []string{"example.com", "example.org", "example.net"})
	if n > 0 && n < len(domain)+2 {
		// The shortest address the HTML standard allows is a@b.
		return d.letters(1, lower) + "@" + d.letters(max(n-2, 1), lower)
	}
	local := plain(d.words.FirstName()) + "." + plain(d.words.LastName())
	return sized(d, local, n-len(domain)-1, n > 0) + "@" + domain
}

func hostname(d draw, n int) string {
	domain := pick(d, []string{"example.com", "example.org", "example.net"})
	if n <= 0 {
		return plain(d.words.Noun()) + "." + domain
	}
	if n < len(domain)+2 {
		return d.letters(n, lower)
	}
	host := "." + domain
	for n-len(host) > 64 { // labels have at most 63 letters (RFC 1035 § 2.3.4)
		host = "." + d.letters(40, lower) + host
	}
	return d.letters(n-len(host), lower) + host
}

func uri(d draw, n int) string {
	base := "https://" + hostname(d, 0) + "/"
	if n <= 0 {
		return base + slug(d)
	}
	if n < len(base)+1 {
		base = "a:" // a scheme and a path: the shortest URI (RFC 3986 § 3)
	}
	return base + sized(d, slug(d), n-len(base), true)
}

func uriRef(d draw, n int) string {
	if d.chance(0.5) && n == 0 {
		return uri(d, n)
	}
	return "/" + sized(d, slug(d), n-1, n > 0)
}

func hostOrIP(d draw, n int) string {
	if n > 0 || d.chance(0.5) {
		return hostname(d, n)
	}
	return address(d, 0)
}

func hostAndPort(d draw, n int) string {
	port := fmt.Sprint(d.between(1024, 65535))
	switch {
	case n > 0 && n < 7:
		return hostname(d, max(n-2, 1)) + ":" + d.letters(1, digits)
	case n > 0:
		return hostname(d, n-len(port)-1) + ":" + port
	case d.chance(0.2):
		return "[" + ipv6(d, 0) + "]:" + port
	case d.chance(0.2):
		return ipv4(d) + ":" + port
	default:
		return hostname(d, 0) + ":" + port
	}
}

// ipv4 makes an address of the ranges RFC 5737 keeps for documentation.
func ipv4(d draw) string {
	net := pick(d, []string{"192.0.2.", "198.51.100.", "203.0.113."})
	return fmt.Sprint(net, d.between(1, 254))
}

// ipv6 makes an address of the range RFC 3849 keeps for documentation.
func ipv6(d draw, n int) string {
	if 0 < n && n < 10 {
		return "::" + d.letters(min(max(n-2, 1), 4), "123456789abcdef")
	}
	b := append([]byte{0x20, 0x01, 0x0d, 0xb8}, d.bytes(12)...)
	return netip.AddrFrom16([16]byte(b)).String()
}

func address(d draw, version int) string {
	if version == 4 || version == 0 && d.chance(0.5) {
		return ipv4(d)
	}
	return ipv6(d, 0)
}

func prefix(d draw, version int, masked bool) string {
	addr := netip.MustParseAddr(address(d, version))
	p := netip.PrefixFrom(addr, d.between(8, addr.BitLen()))
	if masked {
		p = p.Masked()
	}
	return p.String()
}

// uuid makes a version 4 UUID (RFC 9562 § 5.4).
func uuid(d draw) string {
	b := d.bytes(16)
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	s := hex.EncodeToString(b)
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}

// ulid makes 26 characters of Crockford's base 32, the first of them at most
// 7 so that they fit 128 bits (github.com/ulid/spec).
func ulid(d draw) string {
	return "01" + d.letters(24, "0123456789ABCDEFGHJKMNPQRSTVWXYZ")
}

func qualified(d draw, n int) string {
	if n > 0 {
		return d.letters(n, lower)
	}
	return plain(d.words.Noun()) + ".v1." + strings.ToUpper(d.letters(1, lower)) + d.letters(6, lower)
}

func headerName(d draw, n int) string {
	if n > 0 {
		return d.letters(n, lower)
	}
	return "x-" + plain(d.words.Noun())
}

func headerValue(d draw, n int) string { return sized(d, d.words.Noun(), n, n > 0) }

func phone(d draw) string {
	return fmt.Sprintf("+1%d55501%02d", d.between(201, 989), d.IntN(100))
}

func username(d draw) string {
	return plain(d.words.FirstName()) + d.letters(2, digits)
}

func slug(d draw) string { return plain(d.words.Adjective()) + "-" + plain(d.words.Noun()) }

func fileName(d draw) string { return slug(d) + pick(d, []string{".txt", ".pdf", ".png", ".csv"}) }

func mimeType(d draw) string {
	return pick(d, []string{"text/plain", "application/json", "image/png", "application/pdf"})
}

func version(d draw) string {
	return fmt.Sprintf("%d.%d.%d", d.IntN(5), d.IntN(20), d.IntN(20))
}

func amount(d draw) string { return fmt.Sprintf("%d.%02d", d.between(1, 999), d.IntN(100)) }

func day(d draw) string {
	return fmt.Sprintf("%d-%02d-%02d", d.between(2020, 2025), d.between(1, 12), d.between(1, 28))
}

func clock(d draw) string {
	return fmt.Sprintf("%02d:%02d:%02d", d.IntN(24), d.IntN(60), d.IntN(60))
}

func title(d draw) string {
	words := d.words.Adjective() + " " + d.words.Noun()
	return strings.ToUpper(words[:1]) + words[1:]
}

func sentence(d draw) string {
	words := []string{"The", d.words.Adjective(), d.words.Noun(), d.words.VerbAction(), "the", d.words.Adjective(), d.words.Noun()}
	return strings.Join(words, " ") + "."
}

// plain keeps the ASCII letters and digits of s, in lower case.
func plain(s string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(s) {
		if 'a' <= r && r <= 'z' || '0' <= r && r <= '9' {
			b.WriteRune(r)
		}
	}
	if b.Len() == 0 {
		return "x"
	}
	return b.String()
}

// sized cuts s, which is ASCII, or adds letters to it, to n characters.
func sized(d draw, s string, n int, want bool) string {
	switch {
	case !want:
		return s
	case n <= 0:
		return ""
	case len(s) >= n:
		return s[:n-1] + d.letters(1, lower)
	default:
		return s + d.letters(n-len(s), lower)
	}
}
