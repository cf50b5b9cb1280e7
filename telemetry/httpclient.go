//go:build !connectum_nootlp

package telemetry

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"time"
)

// httpClient returns the client of an exporter over HTTP. The exporters would
// make their own, and leave its connections, with two goroutines each, open for
// a minute and a half after their shutdown. Certificates and the time limit are
// where the specification has them.
func (t *Telemetry) httpClient(s signal, env environment) (*http.Client, error) {
	variable := func(suffix string) string {
		_, v := env.first(s.variable(suffix), "OTEL_EXPORTER_OTLP_"+suffix)
		return v
	}
	secure := &tls.Config{MinVersion: tls.VersionTLS12}
	if file := variable("CERTIFICATE"); file != "" {
		pem, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		secure.RootCAs = x509.NewCertPool()
		if !secure.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("no certificate in %s", file)
		}
	}
	if cert, key := variable("CLIENT_CERTIFICATE"), variable("CLIENT_KEY"); cert != "" {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return nil, err
		}
		secure.Certificates = []tls.Certificate{pair}
	}
	limit := 10 * time.Second
	if ms, err := strconv.Atoi(variable("TIMEOUT")); err == nil {
		limit = time.Duration(ms) * time.Millisecond // checked before
	}
	client := &http.Client{Timeout: limit, Transport: &http.Transport{
		Proxy: http.ProxyFromEnvironment, TLSClientConfig: secure, ForceAttemptHTTP2: true,
		TLSHandshakeTimeout: limit, IdleConnTimeout: 90 * time.Second, MaxIdleConnsPerHost: 1,
	}}
	t.clients = append(t.clients, client)
	return client, nil
}
