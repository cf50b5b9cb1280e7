// Package cors lets scripts of other origins call the server from a browser.
//
//	srv := connectum.New(connectum.Config{
//		Middleware: []func(http.Handler) http.Handler{
//			cors.New(cors.Config{Origins: []string{"https://app.example.com"}}),
//		},
//	})
//
// Without it browsers neither preflight nor read anything across origins. With
// it the scripts of the listed origins may call by Connect and gRPC-Web (plain
// gRPC is out of a browser's reach), send the headers of those protocols and
// read the status, message and details of errors. Put it first among the
// middleware: a preflight carries no credentials, so anything that asks for
// some must come after.
//
// CORS opens a door, it closes none. A browser still sends a simple cross-origin
// request and merely hides the answer, so handlers that trust cookies need a
// defence of their own, such as [http.CrossOriginProtection].
package cors

import (
	"net/http"
	"slices"
	"time"

	protocol "connectrpc.com/cors"
	"github.com/rs/cors"
)

// Config says who may call from a browser. The zero value allows nobody.
type Config struct {
	// Origins are the origins whose scripts may call, written as browsers
	// send them: scheme, host, and the port unless it is the scheme's own, as
	// in "https://app.example.com" or "http://localhost:5173".
	// "https://*.example.com" is every subdomain at any depth. "*" alone is
	// everyone and goes without Credentials. "null" is refused, for any page
	// can take it on. The default is none.
	Origins []string

	// Headers are request headers that scripts may send beside those of the
	// protocols, for example "Authorization". The default is none.
	Headers []string

	// ExposedHeaders are response headers that scripts may read beside those
	// of the protocols. The default is none.
	ExposedHeaders []string

	// Trailers are response trailers that scripts may read. Connect sends
	// those of a unary call as headers that begin with "Trailer-", which
	// this exposes; in streams and gRPC-Web they are in the body and need
	// no mention. The default is none.
	Trailers []string

	// Methods are HTTP methods beside GET, HEAD and POST, for plain handlers
	// that stand beside the RPCs. The default is none.
	Methods []string

	// Credentials lets browsers send cookies, client certificates and their
	// stored HTTP authentication.
	Credentials bool

	// MaxAge is how long browsers may remember a preflight, in whole
	// seconds. Negative means not at all. The default is 2 hours, the most
	// that Chromium honours.
	MaxAge time.Duration
}

// New returns middleware that answers preflights and marks the responses that
// scripts of the allowed origins may read. It panics with the report of
// [Config.Check] if cfg is wrong; check first what comes from outside the
// program. The middleware is safe for concurrent use.
//
// A preflight that asks for what is not allowed is answered without the headers
// that allow it, which is how a browser learns. Requests for access to private
// networks are never granted; today's Chromium sends none and asks its user.
//
// See the Fetch standard, section 3.3 (CORS protocol).
func New(cfg Config) func(http.Handler) http.Handler {
	if err := cfg.Check(); err != nil {
		panic(err)
	}
	options := cors.Options{
		AllowedOrigins:   slices.Clone(cfg.Origins),
		AllowedMethods:   slices.Concat(protocol.AllowedMethods(), []string{http.MethodHead}, cfg.Methods),
		AllowedHeaders:   slices.Concat(protocol.AllowedHeaders(), compression(), cfg.Headers),
		ExposedHeaders:   slices.Concat(protocol.ExposedHeaders(), compression(), cfg.ExposedHeaders, prefixed(cfg.Trailers)),
		MaxAge:           seconds(cfg.MaxAge),
		AllowCredentials: cfg.Credentials,
	}
	if len(cfg.Origins) == 0 { // rs/cors takes an empty list for everyone
		options.AllowOriginFunc = func(string) bool { return false }
	}
	return cors.New(options).Handler
}

// compression returns the headers in which messages say how they are compressed
// and what is accepted back. The protocols' own list leaves them out, because
// its authors' client for browsers never compresses; other clients do.
//
// See https://connectrpc.com/docs/protocol and
// https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md.
func compression() []string {
	return []string{
		"Content-Encoding",                      // Connect, unary
		"Connect-Accept-Encoding",               // Connect, streams
		"Connect-Content-Encoding",              // Connect, streams
		"Grpc-Accept-Encoding", "Grpc-Encoding", // gRPC-Web
	}
}

func prefixed(trailers []string) []string {
	out := make([]string, len(trailers))
	for i, name := range trailers {
		out[i] = "Trailer-" + name
	}
	return out
}

// seconds translates to the seconds of rs/cors, in which negative is none.
func seconds(age time.Duration) int {
	switch {
	case age == 0:
		return int((2 * time.Hour).Seconds())
	case age < time.Second:
		return -1
	}
	return int(age.Seconds())
}
