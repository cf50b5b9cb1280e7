package telemetry

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/contrib/instrumentation/runtime"

	"github.com/connectum-go/connectum"
)

// Register serves GET /metrics on AdminAddr: what the instruments of the
// service and of its RPCs record, the Go runtime, the process, and everything
// [connectum.Server.Metrics] yields, in the text formats of Prometheus and
// OpenMetrics. The latter has exemplars: the traces behind the figures. It needs
// no collector. With Metrics: [None] there is nothing of OpenTelemetry in it.
//
// It also serves /loglevel there: GET tells the level of [Telemetry.LogHandler],
// PUT sets it to what the body names ("debug").
//
// What the server yields also goes to the exporters of metrics. Without
// AdminAddr it is a start error of the server. Register must be called before
// srv runs, once for each server.
func (t *Telemetry) Register(srv *connectum.Server) {
	t.scraped.Store(true)
	t.mu.Lock()
	t.servers = append(t.servers, srv)
	t.mu.Unlock()
	t.watchRuntime()
	srv.AddMetrics(t.samples)
	own := prometheus.NewRegistry()
	own.MustRegister(samples{srv, t.log}, collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	srv.HandleAdmin("GET /metrics", promhttp.HandlerFor(prometheus.Gatherers{t.exposition, own}, promhttp.HandlerOpts{
		EnableOpenMetrics:   true,
		ErrorHandling:       promhttp.ContinueOnError, // one bad metric must not hide the others
		ErrorLog:            scrapeLog{t},
		MaxRequestsInFlight: 4,
	}))
	srv.HandleAdmin("/loglevel", http.HandlerFunc(t.serveLevel))
}

// watchRuntime measures the Go runtime, once.
func (t *Telemetry) watchRuntime() {
	if t.meterProvider == nil {
		return
	}
	t.runtime.Do(func() {
		if err := runtime.Start(runtime.WithMeterProvider(t.meterProvider)); err != nil {
			t.log().Error("telemetry: the runtime is not measured", "error", err)
		}
	})
}

type scrapeLog struct{ t *Telemetry }

func (l scrapeLog) Println(v ...any) {
	l.t.log().Warn("telemetry: scrape", "error", clip(strings.TrimSpace(fmt.Sprintln(v...))))
}

func (t *Telemetry) serveLevel(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodGet, http.MethodHead:
	case http.MethodPut:
		body, err := io.ReadAll(io.LimitReader(r.Body, 64))
		var level slog.Level
		if err == nil {
			err = level.UnmarshalText([]byte(strings.TrimSpace(string(body))))
		}
		if err != nil {
			http.Error(w, "want debug, info, warn or error, as in warn or info+2", http.StatusBadRequest)
			return
		}
		t.level.Set(level)
		t.log().Info("log level set", "level", level)
	default:
		w.Header().Set("Allow", "GET, HEAD, PUT")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = fmt.Fprintln(w, t.level.Level())
}
