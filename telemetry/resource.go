package telemetry

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"unicode/utf8"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/resource"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
)

// newResource describes the service: what can be found out, then what the
// environment says, then what Config says. The command line is left out: it may
// hold secrets.
func (t *Telemetry) newResource(ctx context.Context, s settings) *resource.Resource {
	found := []attribute.KeyValue{
		semconv.ServiceName("unknown_service:" + filepath.Base(os.Args[0])),
		semconv.ServiceInstanceID(newInstance()),
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		found = append(found, semconv.ServiceVersion(info.Main.Version))
	}
	var given []attribute.KeyValue
	if t.cfg.ServiceName != "" {
		given = append(given, semconv.ServiceName(t.cfg.ServiceName))
	}
	if t.cfg.ServiceVersion != "" {
		given = append(given, semconv.ServiceVersion(t.cfg.ServiceVersion))
	}
	given = append(given, t.cfg.Attributes...)
	r, err := resource.New(ctx,
		resource.WithSchemaURL(semconv.SchemaURL),
		resource.WithTelemetrySDK(), resource.WithHost(), resource.WithContainer(),
		resource.WithProcessPID(), resource.WithProcessExecutableName(),
		resource.WithProcessRuntimeName(), resource.WithProcessRuntimeVersion(),
		resource.WithAttributes(found...), resource.WithAttributes(s.attributes...), resource.WithAttributes(given...))
	if err != nil { // a part of it, such as the id of the container, is missing
		t.log().Warn("telemetry: not everything about the service is known", "error", err)
	}
	if r == nil {
		r = resource.NewWithAttributes(semconv.SchemaURL, slices.Concat(found, s.attributes, given)...)
	}
	return r
}

// described reads what the environment says of the service. The SDK reads it as
// well, and would tell of what is wrong by a line on a global handler.
func (s *settings) described(env environment) error {
	var faults []error
	if name, list := env.first("OTEL_RESOURCE_ATTRIBUTES"); list != "" {
		for pair := range strings.SplitSeq(list, ",") {
			key, value, ok := strings.Cut(pair, "=")
			key = strings.TrimSpace(key)
			text, err := url.PathUnescape(strings.TrimSpace(value))
			if !ok || key == "" || err != nil || !utf8.ValidString(key+text) {
				faults = append(faults, fmt.Errorf("telemetry: %s has %q, which is not key=value, percent-encoded UTF-8", name, pair))
				continue
			}
			s.attributes = append(s.attributes, attribute.String(key, text))
		}
	}
	if name, service := env.first("OTEL_SERVICE_NAME"); !utf8.ValidString(service) {
		faults = append(faults, fmt.Errorf("telemetry: %s=%q is not UTF-8", name, service))
	} else if service != "" {
		s.attributes = append(s.attributes, semconv.ServiceName(service))
	}
	return errors.Join(faults...)
}

// newInstance returns a random UUID, version 4 (RFC 9562 section 5.4).
func newInstance() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
