package telemetry

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"
)

// checkOTLP checks how a collector is reached. Values of headers are not told:
// they are credentials.
func checkOTLP(cfg Config, env environment) error {
	faults := []error{checkEndpoint("Config.Endpoint", strings.TrimSpace(cfg.Endpoint))}
	if p := cfg.Protocol; p != "" && p != "grpc" && p != "http/protobuf" {
		faults = append(faults, fmt.Errorf("telemetry: Config.Protocol=%q is not one of grpc, http/protobuf", p))
	}
	for key, value := range cfg.Headers {
		if !isHeader(key, value) {
			faults = append(faults, fmt.Errorf("telemetry: Config.Headers has %q, which is not a header", key))
		}
	}
	for _, of := range []string{"", "TRACES_", "METRICS_", "LOGS_"} {
		prefix := "OTEL_EXPORTER_OTLP_" + of
		_, endpoint := env.first(prefix + "ENDPOINT")
		faults = append(faults, checkEndpoint(prefix+"ENDPOINT", endpoint), checkInsecure(prefix, env))
		if _, v := env.first(prefix + "HEADERS"); v != "" && !areHeaders(v) {
			faults = append(faults, fmt.Errorf("telemetry: %sHEADERS is not a list of key=value, percent-encoded, with commas between", prefix))
		}
		if name, file := env.first(prefix + "CERTIFICATE"); file != "" {
			pem, err := os.ReadFile(file)
			if err != nil {
				faults = append(faults, fmt.Errorf("telemetry: %s: %w", name, err))
			} else if !x509.NewCertPool().AppendCertsFromPEM(pem) {
				faults = append(faults, fmt.Errorf("telemetry: %s: no certificate in %s", name, file))
			}
		}
		_, cert := env.first(prefix + "CLIENT_CERTIFICATE")
		_, key := env.first(prefix + "CLIENT_KEY")
		switch {
		case cert == "" && key == "":
		case cert == "" || key == "":
			faults = append(faults, fmt.Errorf("telemetry: %sCLIENT_CERTIFICATE and %sCLIENT_KEY are files that go together, and one is not set", prefix, prefix))
		default:
			if _, err := tls.LoadX509KeyPair(cert, key); err != nil {
				faults = append(faults, fmt.Errorf("telemetry: %sCLIENT_CERTIFICATE and %sCLIENT_KEY: %w", prefix, prefix, err))
			}
		}
	}
	return errors.Join(faults...)
}

// checkEndpoint holds URLs to what all exporters understand, over both protocols.
func checkEndpoint(name, value string) error {
	if value == "" {
		return nil
	}
	u, err := url.Parse(value)
	if err != nil {
		return fmt.Errorf("telemetry: %s is not a URL, as http://collector:4318 is", name) // it may hold a password
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return fmt.Errorf("telemetry: %s=%q is not a URL with http or https, as in http://collector:4318", name, u.Redacted())
	}
	if n, err := strconv.Atoi(u.Port()); u.Port() != "" && (err != nil || n == 0 || n > 65535) {
		return fmt.Errorf("telemetry: %s=%q has no port from 1 to 65535", name, u.Redacted())
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" { // exporters drop them
		return fmt.Errorf("telemetry: %s has more than a host, a port and a path; credentials go into OTEL_EXPORTER_OTLP_HEADERS", name)
	}
	return nil
}

// checkInsecure finds an INSECURE that says otherwise than the scheme of its
// endpoint: some exporters follow the one, some the other.
func checkInsecure(prefix string, env environment) error {
	name, insecure := env.first(prefix + "INSECURE")
	of, endpoint := env.first(prefix+"ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
	scheme, _, _ := strings.Cut(strings.ToLower(endpoint), ":")
	if strings.EqualFold(insecure, "true") && scheme == "https" || strings.EqualFold(insecure, "false") && scheme == "http" {
		return fmt.Errorf("telemetry: %s=%s contradicts %s, which begins with %s", name, insecure, of, scheme)
	}
	return nil
}

// areHeaders reports whether a list is one that all exporters read alike.
func areHeaders(list string) bool {
	for pair := range strings.SplitSeq(list, ",") {
		key, value, ok := strings.Cut(pair, "=")
		text, err := url.PathUnescape(value)
		if !ok || err != nil || !isHeader(strings.TrimSpace(key), strings.TrimSpace(text)) {
			return false
		}
	}
	return true
}

// isHeader reports whether HTTP and gRPC can send a header: its name is a token
// (RFC 9110 section 5.6.2), its value is printable.
func isHeader(key, value string) bool {
	for _, c := range []byte(key) {
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`"(),/:;<=>?@[\]{}`, c) >= 0 {
			return false
		}
	}
	for _, c := range []byte(value) {
		if c < ' ' || c >= 0x7f {
			return false
		}
	}
	return key != ""
}
