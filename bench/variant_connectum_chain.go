//go:build !only || connectum_default

package main

import (
	"log/slog"

	"github.com/connectum-go/connectum/interceptor"
)

func init() {
	contenders = append(contenders, chained(contender{
		name: "connectum-default", tag: "connectum_default",
		about: "connectum with interceptor.Defaults: errors and validation. This is everything on with telemetry and access log off.",
	}, func(*slog.Logger) interceptor.Config { return interceptor.Config{} }),
		chained(contender{
			name:  "connectum-log",
			about: "connectum with interceptor.Defaults and the access log, a line of slog to the null device.",
		}, func(log *slog.Logger) interceptor.Config {
			return interceptor.Config{Log: &interceptor.LogConfig{Logger: log}}
		}))
}
