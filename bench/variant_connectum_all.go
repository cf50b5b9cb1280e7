//go:build !only || connectum_all

package main

import (
	"fmt"
	"log/slog"

	"github.com/connectum-go/connectum/interceptor"
)

func init() {
	for suffix, rate := range rates {
		c := contender{
			name:  "connectum-all" + suffix,
			about: fmt.Sprintf("connectum with everything on, on the default port: interceptor.Defaults, the access log to the null device, telemetry (SDK, %v %% sampled, exporters that drop).", rate*100),
		}
		if suffix == "" {
			c.tag, c.otlp = "connectum_all", true
		}
		contenders = append(contenders, chained(c, func(log *slog.Logger) interceptor.Config { return everythingOn(rate, log) }))
	}
}

// everythingOn is the chain with all that is measured.
func everythingOn(rate float64, log *slog.Logger) interceptor.Config {
	return interceptor.Config{Telemetry: telemetryLink(rate), Log: &interceptor.LogConfig{Logger: log}}
}
