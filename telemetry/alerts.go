package telemetry

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/connectum-go/connectum"
)

// AlertConfig says when [Alerts] raise an alarm. The zero value has defaults to
// begin with.
type AlertConfig struct {
	// ErrorRatio is the share of a service's calls that may fail through its own
	// fault, over five minutes. The default is 0.01.
	ErrorRatio float64

	// Duration is how long 99 of 100 unary-like calls of a service may take.
	// Negative leaves that alert out, for services whose streams live long. The
	// default is 1 s.
	Duration time.Duration

	// CertificateExpiry is when before its end a certificate is pointed out. The
	// default is 14 days.
	CertificateExpiry time.Duration
}

// Alerts returns alerting rules for Prometheus, as YAML for its rule_files:
// failures and durations of each registered service, and what should not happen
// to a server. They are about what [Telemetry.Register] serves.
func Alerts(srv *connectum.Server, cfg AlertConfig) []byte {
	ratio := cmp.Or(cfg.ErrorRatio, 0.01)
	slow := cmp.Or(cfg.Duration, time.Second)
	expiry := cmp.Or(cfg.CertificateExpiry, 14*24*time.Hour)
	a := survey(srv)
	var r rules
	for _, s := range a.services {
		calls := of(s)
		r.group(s)
		r.alert("ServiceFails", `sum(rate(rpc_server_call_duration_seconds_count`+and(calls, `error_type!=""`)+`[5m])) / sum(rate(rpc_server_call_duration_seconds_count`+calls+`[5m])) > `+number(ratio),
			"5m", "critical", s+" fails {{ $value | humanizePercentage }} of its calls")
		if slow > 0 {
			r.alert("ServiceIsSlow", `histogram_quantile(0.99, sum by (le) (rate(rpc_server_call_duration_seconds_bucket`+calls+`[5m]))) > `+number(slow.Seconds()),
				"10m", "warning", "1 of 100 calls of "+s+" takes {{ $value | humanizeDuration }}")
		}
	}
	r.group("connectum")
	r.alert("ServerPanics", `increase(connectum_panics_total[10m]) > 0`, "0m", "critical", "handlers of {{ $labels.instance }} panic")
	r.alert("ServerRefusesCalls", `rate(connectum_calls_refused_total[5m]) > 0`, "5m", "warning", "{{ $labels.instance }} is at a limit and refuses calls")
	r.alert("ServerRefusesConnections", `rate(connectum_connections_refused_total[5m]) > 0`, "5m", "warning", "{{ $labels.instance }} has MaxConns connections")
	r.alert("ServerIsNotReady", `connectum_server_ready == 0 and connectum_server_draining == 0`, "5m", "critical", "{{ $labels.instance }} has started, and is not ready")
	r.alert("ServerIsFlooded", `increase(connectum_frame_floods_total[10m]) > 0`, "0m", "warning", "connections to {{ $labels.instance }} flood it with frames")
	r.alert("TelemetryIsLost", `increase(connectum_telemetry_export_failures_total[10m]) > 0`, "15m", "warning", "the {{ $labels.signal }} of {{ $labels.instance }} do not reach the collector")
	if a.extra["connectum_tls_certificate_expiry_seconds"] {
		r.alert("CertificateExpires", `connectum_tls_certificate_expiry_seconds < `+number(expiry.Seconds()), "1h", "warning", "the certificate of {{ $labels.instance }} expires in {{ $value | humanizeDuration }}")
		r.alert("CertificateIsNotReloaded", `increase(connectum_tls_reload_failures_total[1h]) > 0`, "0m", "warning", "{{ $labels.instance }} refuses its new certificate")
	}
	if a.extra["connectum_health_serving"] {
		r.alert("ServiceIsNotServing", `connectum_health_serving == 0 and on (instance) connectum_server_draining == 0`, "5m", "critical", "{{ $labels.service }} of {{ $labels.instance }} does not serve")
	}
	return []byte(r.String())
}

func number(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }

// rules writes YAML. Texts are in double quotes, whose escapes are those of JSON.
type rules struct{ strings.Builder }

func (r *rules) group(name string) {
	if r.Len() == 0 {
		r.WriteString("groups:\n")
	}
	fmt.Fprintf(&r.Builder, "  - name: %s\n    rules:\n", strconv.Quote(name))
}

func (r *rules) alert(name, expr, during, severity, summary string) {
	fmt.Fprintf(&r.Builder, "      - alert: %s\n        expr: %s\n        for: %s\n        labels: {severity: %s}\n        annotations: {summary: %s}\n",
		name, strconv.Quote(expr), during, severity, strconv.Quote(summary))
}
