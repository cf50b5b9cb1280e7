package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/connectum-go/connectum/cmd/connectum/internal/exit"
	"github.com/connectum-go/connectum/cmd/connectum/internal/invoke"
	"github.com/connectum-go/connectum/cmd/connectum/internal/probe"
	"github.com/connectum-go/connectum/cmd/connectum/internal/schema"
	"github.com/connectum-go/connectum/cmd/connectum/internal/target"

	"connectrpc.com/connect/v2"
)

// patient is a server that runs. What several checks ask is asked once.
type patient struct {
	ctx    context.Context // of the examination; checks have no argument for it
	target *target.Target
	// trust is what the server showed, and why it is not trusted.
	peer     []*x509.Certificate
	untrusty error
	services []string
	schema   *schema.Schema // nil without reflection
	health   probe.Status   // empty when it is not offered
}

// Examine runs the checks of servers on t, but for those whose names are
// ignored. The error is that of a server that is not reached.
func Examine(ctx context.Context, t *target.Target, ignore []string) ([]Finding, error) {
	v := &patient{ctx: ctx, target: t}
	if err := v.connect(); err != nil {
		return nil, err
	}
	r, err := schema.FromServer(v.target)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	s := schema.New(r)
	if v.services, err = s.Services(ctx); err == nil {
		v.schema = s
	}
	p := probe.Prober{Target: v.target}
	if status, err := p.Check(ctx); err == nil {
		v.health = status
	}
	var out []Finding
	for _, c := range Checks() {
		if c.live != nil && !slices.Contains(ignore, c.Name) {
			out = append(out, findings(c, c.live(v))...)
		}
		if ctx.Err() != nil {
			return nil, exit.With(exit.Unreachable, fmt.Errorf("%s has not answered in time: --timeout gives it more", t))
		}
	}
	return sorted(out), nil
}

// connect reaches the server. From here on a certificate that nobody trusts is
// no obstacle, but a finding.
func (v *patient) connect() error {
	conn, err := v.target.Dial(v.ctx)
	if err != nil {
		return v.target.Explain(v.ctx, err)
	}
	defer conn.Close()
	if v.target.Trust == nil {
		return nil
	}
	config := v.target.Trust.Clone()
	name := config.ServerName
	if name == "" {
		name = v.target.URL.Hostname()
	}
	config.ServerName, config.InsecureSkipVerify = name, true // verified below, to go on after it
	secure := tls.Client(conn, config)
	if err := secure.HandshakeContext(v.ctx); err != nil {
		return v.target.Explain(v.ctx, err)
	}
	v.peer = secure.ConnectionState().PeerCertificates
	if len(v.peer) > 0 {
		between := x509.NewCertPool()
		for _, c := range v.peer[1:] {
			between.AddCert(c)
		}
		_, v.untrusty = v.peer[0].Verify(x509.VerifyOptions{Roots: config.RootCAs, Intermediates: between, DNSName: name})
	}
	open := *v.target
	open.Trust = config
	v.target = &open
	return nil
}

var liveChecks = []Check{
	{
		Name: "live-plaintext", Severity: Error, Finds: "a server without TLS at an address of the network",
		Reason: "Tokens and messages cross networks in the clear, for whoever is on the way to read and change.",
		Cure:   "Turn on TLS, in the server or in a proxy in front of it.",
		live:   livePlaintext,
	},
	{
		Name: "live-certificate", Severity: Error, Finds: "a certificate that is not trusted, or about to expire",
		Reason: "Clients refuse the connection.",
		Cure:   "Install a certificate for this name with all its intermediates, and renew it by a machine.",
		live:   liveCertificate,
	},
	{
		Name: "live-old-tls", Severity: Error, Finds: "TLS 1.0 or 1.1",
		Reason: "Both are broken, and forbidden by RFC 8996.",
		Cure:   "Leave tls.Config.MinVersion at its default.",
		live:   liveOldTLS,
	},
	{
		Name: "live-reflection", Severity: Warning, Finds: "reflection that answers strangers",
		Reason: "It tells strangers of every method there is, and how to call it.",
		Cure:   "Leave it out, name what may be known (reflection.WithServices), or authenticate its callers.",
		live:   liveReflection,
	},
	{
		Name: "live-health", Severity: Warning, Finds: "a server that does not tell how it is, or is not well",
		Reason: "Balancers and orchestrators send calls to servers that can't take them.",
		Cure:   "Register package health, and look at its reasons on the admin address.",
		live:   liveHealth,
	},
	{
		Name: "live-debug", Severity: Error, Finds: "profiles or metrics where strangers reach them",
		Reason: "Profiles hold what is in memory, and taking them costs the server.",
		Cure:   "Serve them on AdminAddr (package debug).",
		live:   liveDebug,
	},
	{
		Name: "live-cors", Severity: Error, Finds: "calls that any web page may make",
		Reason: "A page that a user visits calls the service as that user.",
		Cure:   "Name the origins that may (package cors).",
		live:   liveCORS,
	},
	{
		Name: "live-headers", Severity: Warning, Finds: "header blocks without a bound",
		Reason: "Headers are held in memory before anybody has been authenticated: a few connections can take all of it.",
		Cure:   "Set Limits.MaxHeaderBytes, 32 KiB by default, here and in the proxies in front.",
		live:   liveHeaders,
	},
	{
		Name: "live-get", Severity: Warning, Finds: "Connect's GET",
		Reason: "Any web page can send such requests with the cookies of its visitor, and caches on the way keep the answers.",
		Cure:   "Leave AllowGET off unless a cache needs it, and then do without cookies.",
		live:   liveGet,
	},
}

// here is the hit of a live check.
func (v *patient) here(severity Severity, format string, args ...any) []hit {
	return []hit{{where: v.target.Address.String(), problem: fmt.Sprintf(format, args...), severity: severity}}
}

func livePlaintext(v *patient) []hit {
	if v.target.Trust != nil || v.target.Loopback() {
		return nil
	}
	if ip, err := netip.ParseAddr(v.target.URL.Hostname()); err == nil && ip.Unmap().IsPrivate() {
		return v.here(Warning, "the server speaks plaintext at a private address")
	}
	return v.here("", "the server speaks plaintext")
}

func liveCertificate(v *patient) []hit {
	if v.target.Trust == nil || len(v.peer) == 0 {
		return nil
	}
	if h := expiry(v.peer[0], time.Now()); h != nil {
		return v.here(h.severity, "%s", h.problem)
	}
	if v.untrusty != nil {
		return v.here("", "%s", strings.TrimPrefix(v.untrusty.Error(), "x509: "))
	}
	return nil
}

func liveOldTLS(v *patient) []hit {
	if v.target.Trust == nil {
		return nil
	}
	conn, err := v.target.Dial(v.ctx)
	if err != nil {
		return nil
	}
	defer conn.Close()
	config := v.target.Trust.Clone()
	config.MinVersion, config.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 // to be refused
	if err := tls.Client(conn, config).HandshakeContext(v.ctx); err != nil {
		return nil
	}
	return v.here("", "the server agrees to TLS 1.1 or older")
}

func liveReflection(v *patient) []hit {
	if v.schema == nil || len(v.target.Headers) > 0 {
		return nil
	}
	return v.here("", "reflection tells of %d services", len(v.services))
}

func liveHealth(v *patient) []hit {
	switch v.health {
	case probe.Serving:
		return nil
	case "":
		return v.here("", "the server does not offer grpc.health.v1")
	}
	return v.here(Error, "the server is %s", v.health)
}

// answer is what a server says to a plain request.
type answer struct {
	code   int
	status string
	header http.Header
	body   string // the beginning of it
}

// do asks for a path.
func (v *patient) do(method, path string, header http.Header) (answer, error) {
	ctx, cancel := context.WithTimeout(v.ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, v.target.URL.String()+path, nil)
	if err != nil {
		return answer{}, err
	}
	for name, values := range header {
		req.Header[name] = values
	}
	for _, h := range v.target.Headers {
		req.Header.Add(h.Name, h.Value)
	}
	client := v.target.HTTP(target.HTTP1)
	defer client.CloseIdleConnections()
	res, err := client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 4096))
	return answer{res.StatusCode, res.Status, res.Header, string(body)}, err
}

func liveDebug(v *patient) []hit {
	var out []hit
	for _, path := range []string{"/debug/pprof/", "/debug/vars"} {
		if res, err := v.do(http.MethodGet, path, nil); err == nil && res.code == http.StatusOK {
			out = append(out, v.here("", "%s is answered", path)...)
		}
	}
	if res, err := v.do(http.MethodGet, "/metrics", nil); err == nil && res.code == http.StatusOK {
		out = append(out, v.here(Warning, "/metrics is answered")...)
	}
	return out
}

func liveCORS(v *patient) []hit {
	const origin = "https://connectum-doctor.invalid"
	res, err := v.do(http.MethodOptions, "/connectum.doctor.v1.DoctorService/Examine", http.Header{
		"Origin": {origin}, "Access-Control-Request-Method": {"POST"}, "Access-Control-Request-Headers": {"content-type"},
	})
	if err != nil {
		return nil
	}
	switch allowed := res.header.Get("Access-Control-Allow-Origin"); {
	case allowed == origin && res.header.Get("Access-Control-Allow-Credentials") == "true":
		return v.here("", "any web page may call, with the cookies of its visitor")
	case allowed == origin, allowed == "*":
		return v.here(Warning, "any web page may call")
	}
	return nil
}

func liveHeaders(v *patient) []hit {
	const size = 256 << 10
	res, err := v.do(http.MethodGet, "/", http.Header{"X-Connectum-Doctor": {strings.Repeat("a", size)}})
	if err != nil || res.code == http.StatusRequestHeaderFieldsTooLarge || res.code == http.StatusBadRequest {
		return nil
	}
	return v.here("", "a request with %d KiB of headers is answered %s", size>>10, res.status)
}

func liveGet(v *patient) []hit {
	if v.schema == nil {
		return nil
	}
	for _, name := range v.services {
		d, err := v.schema.Find(v.ctx, name)
		if err != nil {
			continue
		}
		sd, ok := d.(protoreflect.ServiceDescriptor)
		if !ok {
			continue
		}
		for i := range sd.Methods().Len() {
			m := sd.Methods().Get(i)
			spec := invoke.SpecOf(m)
			if spec.IdempotencyLevel != connect.IdempotencyNoSideEffects || spec.StreamType != connect.StreamTypeUnary {
				continue
			}
			res, err := v.do(http.MethodGet, spec.Procedure+"?connect=v1&encoding=json&message=%7B%7D", nil)
			if err != nil {
				continue
			}
			if res.code == http.StatusMethodNotAllowed || res.code == http.StatusNotFound && !strings.HasPrefix(res.body, "{") {
				return nil
			}
			return v.here("", "GET %s is answered %s", spec.Procedure, res.status)
		}
	}
	return nil
}
