package telemetry

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/resource"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
)

// newResource describes the service: what can be found out, then what the
// environment says, then what Config says. The command line is left out: it may
// hold secrets.
func (t *Telemetry) newResource(ctx context.Context, _ settings) *resource.Resource {
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
		resource.WithAttributes(found...), resource.WithFromEnv(), resource.WithAttributes(given...))
	if err != nil { // a part of it, such as a pair without "=", is missing
		t.log().Warn("telemetry: not everything about the service is known", "error", err)
	}
	if r == nil {
		r = resource.NewWithAttributes(semconv.SchemaURL, append(found, given...)...)
	}
	return r
}

// newInstance returns a random UUID, version 4 (RFC 9562 section 5.4).
func newInstance() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
