package suite_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"

	conformancev1 "github.com/connectum-go/connectum/conformance/internal/gen/connectrpc/conformance/v1"
	"github.com/connectum-go/connectum/interceptor"
	"github.com/connectum-go/connectum/resilience"
	"github.com/connectum-go/connectum/validate"
)

// atOnce is how many calls are made at one time.
const atOnce = 16

// call is a client as the suite wants it: it makes the calls that it reads from
// in, and tells on out what came of each.
func call(in io.Reader, out io.Writer) error {
	var (
		transports pool
		running    sync.WaitGroup
		slots      = make(chan struct{}, atOnce)
		mu         sync.Mutex
		told       error
	)
	defer transports.close()
	for {
		req := new(conformancev1.ClientCompatRequest)
		if err := read(in, req); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return err
		}
		slots <- struct{}{}
		running.Go(func() {
			defer func() { <-slots }()
			res := &conformancev1.ClientCompatResponse{TestName: req.GetTestName()}
			if outcome, err := perform(&transports, req); err != nil {
				res.Result = &conformancev1.ClientCompatResponse_Error{Error: &conformancev1.ClientErrorResult{Message: err.Error()}}
			} else {
				res.Result = &conformancev1.ClientCompatResponse_Response{Response: outcome}
			}
			mu.Lock()
			defer mu.Unlock()
			if err := write(out, res); err != nil && told == nil {
				told = err
			}
		})
	}
	running.Wait()
	return told
}

// chain is around every call: the links that are on in most clients and leave
// the verdict of the server as it is.
func chain() []connect.ClientInterceptor {
	return interceptor.ClientDefaults(interceptor.ClientConfig{
		Propagate:  []string{"Traceparent", "Tracestate"},
		Validation: &validate.Config{},
		Retry:      resilience.NewRetry(resilience.RetryConfig{}),
	})
}

// options say how a call goes over the wire.
func options(req *conformancev1.ClientCompatRequest) ([]connecthttp.Option, error) {
	opts := []connecthttp.Option{connecthttp.WithReadMaxBytes(int(req.GetMessageReceiveLimit()))}
	switch req.GetProtocol() {
	case conformancev1.Protocol_PROTOCOL_CONNECT:
	case conformancev1.Protocol_PROTOCOL_GRPC:
		opts = append(opts, connecthttp.WithGRPC())
	case conformancev1.Protocol_PROTOCOL_GRPC_WEB:
		opts = append(opts, connecthttp.WithGRPCWeb())
	default:
		return nil, fmt.Errorf("protocol %v", req.GetProtocol())
	}
	switch req.GetCodec() {
	case conformancev1.Codec_CODEC_PROTO:
	case conformancev1.Codec_CODEC_JSON:
		opts = append(opts, connecthttp.WithProtoJSON())
	default:
		return nil, fmt.Errorf("codec %v", req.GetCodec())
	}
	switch req.GetCompression() {
	case conformancev1.Compression_COMPRESSION_IDENTITY, conformancev1.Compression_COMPRESSION_UNSPECIFIED:
	case conformancev1.Compression_COMPRESSION_GZIP:
		opts = append(opts, connecthttp.WithSendGzip())
	default:
		return nil, fmt.Errorf("compression %v", req.GetCompression())
	}
	if req.GetUseGetHttpMethod() {
		opts = append(opts, connecthttp.WithHTTPGet())
	}
	return opts, nil
}

// pool keeps a transport for each kind of connection.
type pool struct {
	mu   sync.Mutex
	held map[connection]*http.Transport
}

// connection is what calls must have in common to share one.
type connection struct {
	version          conformancev1.HTTPVersion
	trust, cert, key string
	addr             string
	alone            bool // for one call
}

func (p *pool) close() {
	for _, tr := range p.held {
		tr.CloseIdleConnections()
	}
}

// of returns the transport for a call and the URL of its server.
func (p *pool) of(req *conformancev1.ClientCompatRequest) (*http.Transport, string, error) {
	k := connection{
		version: req.GetHttpVersion(),
		trust:   string(req.GetServerTlsCert()), cert: string(req.GetClientTlsCreds().GetCert()), key: string(req.GetClientTlsCreds().GetKey()),
		addr: net.JoinHostPort(req.GetHost(), strconv.Itoa(int(req.GetPort()))),
		// A call over HTTP/1.1 that is cancelled may take with it the
		// connection that net/http has already given to the next.
		alone: req.GetHttpVersion() == conformancev1.HTTPVersion_HTTP_VERSION_1 && (req.GetCancel() != nil || req.TimeoutMs != nil),
	}
	base := "http://" + k.addr
	if k.trust != "" {
		base = "https://" + k.addr
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if tr := p.held[k]; tr != nil {
		return tr, base, nil
	}
	tr, err := k.transport()
	if err != nil {
		return nil, "", err
	}
	if p.held == nil {
		p.held = map[connection]*http.Transport{}
	}
	p.held[k] = tr
	return tr, base, nil
}

func (k connection) transport() (*http.Transport, error) {
	protocols := new(http.Protocols)
	switch {
	case k.version == conformancev1.HTTPVersion_HTTP_VERSION_1:
		protocols.SetHTTP1(true)
	case k.version == conformancev1.HTTPVersion_HTTP_VERSION_2 && k.trust != "":
		protocols.SetHTTP2(true)
	case k.version == conformancev1.HTTPVersion_HTTP_VERSION_2:
		protocols.SetUnencryptedHTTP2(true)
	default:
		return nil, fmt.Errorf("version %v", k.version)
	}
	tr := &http.Transport{Protocols: protocols, DisableKeepAlives: k.alone, DisableCompression: true}
	if k.trust != "" {
		tr.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: x509.NewCertPool()}
		if !tr.TLSClientConfig.RootCAs.AppendCertsFromPEM([]byte(k.trust)) {
			return nil, errors.New("the certificate of the server is not PEM")
		}
	}
	if k.cert != "" {
		pair, err := tls.X509KeyPair([]byte(k.cert), []byte(k.key))
		if err != nil {
			return nil, err
		}
		tr.TLSClientConfig.Certificates = []tls.Certificate{pair}
	}
	return tr, nil
}

// bounded is the context of a call.
func bounded(req *conformancev1.ClientCompatRequest) (context.Context, context.CancelFunc) {
	if req.TimeoutMs == nil {
		return context.WithCancel(context.Background())
	}
	return context.WithTimeout(context.Background(), time.Duration(req.GetTimeoutMs())*time.Millisecond)
}
