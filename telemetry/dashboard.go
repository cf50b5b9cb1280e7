package telemetry

import (
	"encoding/json"

	"github.com/connectum-go/connectum"
)

// Dashboard returns a dashboard for Grafana, as JSON to import: calls, errors and
// durations of each registered service, and the state of the server. It asks the
// data source for what [Telemetry.Register] serves. title is its name; the
// default is "connectum".
func Dashboard(srv *connectum.Server, title string) ([]byte, error) {
	if title == "" {
		title = "connectum"
	}
	a := survey(srv)
	b := &board{}
	for _, s := range a.services {
		calls := of(s)
		b.row(s)
		b.panel("Calls by method", "reqps", line{`sum by (rpc_method) (rate(rpc_server_call_duration_seconds_count` + calls + `[$__rate_interval]))`, "{{rpc_method}}"})
		b.panel("Failures", "percentunit", line{`sum by (rpc_method) (rate(rpc_server_call_duration_seconds_count` + and(calls, `error_type!=""`) +
			`[$__rate_interval])) / sum by (rpc_method) (rate(rpc_server_call_duration_seconds_count` + calls + `[$__rate_interval]))`, "{{rpc_method}}"})
		b.panel("Codes", "reqps", line{`sum by (rpc_response_status_code) (rate(rpc_server_call_duration_seconds_count` + and(calls, `rpc_response_status_code!=""`) + `[$__rate_interval]))`,
			"{{rpc_response_status_code}}"})
		b.panel("Duration", "s",
			line{quantile("0.5", calls), "p50"}, line{quantile("0.95", calls), "p95"}, line{quantile("0.99", calls), "p99"})
		b.panel("Bytes", "Bps",
			line{`sum(rate(rpc_server_request_size_bytes_sum` + calls + `[$__rate_interval]))`, "received"},
			line{`sum(rate(rpc_server_response_size_bytes_sum` + calls + `[$__rate_interval]))`, "sent"})
	}
	b.row("Server")
	b.panel("Calls in flight", "short", line{`connectum_calls_in_flight`, "{{instance}}"})
	b.panel("Connections", "short", line{`connectum_connections`, "open"}, line{`connectum_connections_idle`, "idle"}, line{`connectum_connections_http2`, "HTTP/2"})
	b.panel("Ready and draining", "short", line{`connectum_server_ready`, "ready {{instance}}"}, line{`connectum_server_draining`, "draining {{instance}}"})
	b.panel("Refused, cut and broken", "cps",
		line{`rate(connectum_calls_refused_total[$__rate_interval])`, "refused"}, line{`rate(connectum_calls_overdue_total[$__rate_interval])`, "overdue"},
		line{`rate(connectum_calls_stalled_total[$__rate_interval])`, "stalled"}, line{`rate(connectum_panics_total[$__rate_interval])`, "panics"},
		line{`rate(connectum_errors_masked_total[$__rate_interval])`, "masked errors"})
	for _, m := range []struct{ metric, title, unit, expr, legend string }{
		{"connectum_tls_certificate_expiry_seconds", "Certificate expires in", "s", `connectum_tls_certificate_expiry_seconds`, "{{instance}}"},
		{"connectum_health_serving", "Health", "short", `connectum_health_serving`, "{{service}}"},
		{"connectum_breaker_state", "Breakers", "short", `connectum_breaker_state`, "{{target}} {{procedure}}"},
		{"connectum_bulkhead_running", "Bulkhead", "short", `connectum_bulkhead_running`, "{{procedure}}"},
		{"connectum_limiter_limit", "Limiter", "short", `connectum_limiter_limit`, "{{procedure}}"},
	} {
		if a.extra[m.metric] {
			b.panel(m.title, m.unit, line{m.expr, m.legend})
		}
	}
	b.row("Process")
	b.panel("CPU", "short", line{`rate(process_cpu_seconds_total[$__rate_interval])`, "{{instance}}"})
	b.panel("Memory", "bytes", line{`process_resident_memory_bytes`, "resident"}, line{`sum by (instance) (go_memory_used_bytes)`, "Go"})
	b.panel("Goroutines", "short", line{`go_goroutine_count`, "{{instance}}"})
	b.panel("Telemetry not exported", "cps", line{`rate(connectum_telemetry_export_failures_total[$__rate_interval])`, "{{signal}}"})
	return json.MarshalIndent(map[string]any{
		"title": title, "uid": "", "schemaVersion": 39, "editable": true, "refresh": "30s",
		"time":       map[string]string{"from": "now-1h", "to": "now"},
		"templating": map[string]any{"list": []any{map[string]any{"name": "datasource", "type": "datasource", "query": "prometheus"}}},
		"panels":     b.panels,
	}, "", "  ")
}

func quantile(q, calls string) string {
	return `histogram_quantile(` + q + `, sum by (le) (rate(rpc_server_call_duration_seconds_bucket` + calls + `[$__rate_interval])))`
}

// line is a series of a panel.
type line struct{ expr, legend string }

// board lays panels out, three in a row.
type board struct {
	panels []any
	x, y   int
}

func (b *board) row(title string) {
	if b.x > 0 {
		b.x, b.y = 0, b.y+8
	}
	b.panels = append(b.panels, map[string]any{"id": len(b.panels) + 1, "type": "row", "title": title, "collapsed": false, "panels": []any{},
		"gridPos": map[string]int{"x": 0, "y": b.y, "w": 24, "h": 1}})
	b.y++
}

func (b *board) panel(title, unit string, lines ...line) {
	source := map[string]string{"type": "prometheus", "uid": "${datasource}"}
	var targets []any
	for i, l := range lines {
		targets = append(targets, map[string]any{"refId": string(rune('A' + i)), "expr": l.expr, "legendFormat": l.legend, "datasource": source, "exemplar": true})
	}
	b.panels = append(b.panels, map[string]any{"id": len(b.panels) + 1, "type": "timeseries", "title": title, "datasource": source, "targets": targets,
		"fieldConfig": map[string]any{"defaults": map[string]any{"unit": unit, "min": 0}, "overrides": []any{}},
		"gridPos":     map[string]int{"x": b.x, "y": b.y, "w": 8, "h": 8}})
	if b.x += 8; b.x == 24 {
		b.x, b.y = 0, b.y+8
	}
}
