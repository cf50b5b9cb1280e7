package telemetry

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
)

// environment reads the variables of the OpenTelemetry specification. An empty
// value is as good as none.
type environment struct{ get func(string) string }

func (e environment) first(names ...string) (name, value string) {
	for _, name := range names {
		if v := strings.TrimSpace(e.get(name)); v != "" {
			return name, v
		}
	}
	return "", ""
}

// signal is what is exported apart from others.
type signal int

const (
	traces signal = iota
	metrics
	logs
)

var signals = [...]string{"traces", "metrics", "logs"}

func (s signal) String() string { return signals[s] }

func (s signal) variable(suffix string) string {
	return "OTEL_EXPORTER_OTLP_" + strings.ToUpper(s.String()) + "_" + suffix
}

// settings is what Config and the environment come to.
type settings struct {
	disabled   bool
	exporters  [len(signals)][]Exporter
	protocol   [len(signals)]string
	propagator propagation.TextMapPropagator
	w3c        w3c
	env        environment
	capped     bool                 // no variable says how long attributes may be
	attributes []attribute.KeyValue // of OTEL_RESOURCE_ATTRIBUTES and OTEL_SERVICE_NAME
}

// resolve finds every mistake of cfg and of the environment.
func resolve(cfg Config, env environment) (settings, error) {
	s := settings{env: env}
	var faults []error
	fault := func(name, value, want string) {
		faults = append(faults, fmt.Errorf("telemetry: %s=%q is not %s", name, value, want))
	}
	if name, v := env.first("OTEL_SDK_DISABLED"); name != "" {
		switch strings.ToLower(v) {
		case "true":
			s.disabled = true
		case "false":
		default:
			fault(name, v, "true or false")
		}
	}
	for i := range signals {
		faults = append(faults, s.choose(signal(i), cfg, env))
	}
	faults = append(faults, s.propagation(cfg, env), checkSpaces(env), checkNumbers(env), checkChoices(env), checkSampler(env),
		checkOTLP(cfg, env), s.described(env))
	_, limit := env.first("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT")
	s.capped = limit == ""
	return s, errors.Join(faults...)
}

// choose settles where a signal goes.
func (s *settings) choose(which signal, cfg Config, env environment) error {
	field := [...]Exporter{cfg.Traces, cfg.Metrics, cfg.Logs}[which]
	given := [...]bool{cfg.TracerProvider != nil, cfg.MeterProvider != nil, cfg.LoggerProvider != nil}[which]
	name, value := [...]string{"Config.Traces", "Config.Metrics", "Config.Logs"}[which], string(field)
	if given && field != "" {
		return fmt.Errorf("telemetry: %s and a provider of one's own exclude each other", name)
	}
	if value == "" {
		name, value = env.first("OTEL_" + strings.ToUpper(which.String()) + "_EXPORTER")
	}
	if value == "" {
		if _, endpoint := env.first(which.variable("ENDPOINT"), "OTEL_EXPORTER_OTLP_ENDPOINT"); cfg.Endpoint != "" || endpoint != "" {
			value = string(OTLP)
		}
	}
	var faults []error
	for one := range strings.SplitSeq(value, ",") {
		switch e := Exporter(strings.TrimSpace(one)); {
		case e == "" && value == "":
		case e == OTLP, e == Console, e == None, e == Prometheus && which == metrics:
			if !slices.Contains(s.exporters[which], e) {
				s.exporters[which] = append(s.exporters[which], e)
			}
		default:
			allowed := "otlp, console or none"
			if which == metrics {
				allowed = "otlp, console, prometheus or none"
			}
			faults = append(faults, fmt.Errorf("telemetry: %s=%q is not %s", name, one, allowed))
		}
	}
	if len(s.exporters[which]) > 1 && slices.Contains(s.exporters[which], None) {
		faults = append(faults, fmt.Errorf("telemetry: %s=%q: none excludes all others", name, value))
	}
	_, protocol := env.first(which.variable("PROTOCOL"), "OTEL_EXPORTER_OTLP_PROTOCOL")
	s.protocol[which] = cmp.Or(cfg.Protocol, protocol, "http/protobuf")
	return errors.Join(faults...)
}

func (s *settings) propagation(cfg Config, env environment) error {
	if cfg.Propagator != nil {
		s.propagator = cfg.Propagator
		return nil
	}
	name, value := env.first("OTEL_PROPAGATORS")
	if value == "" {
		value = "tracecontext,baggage"
	}
	var all []propagation.TextMapPropagator
	none := false
	s.w3c.known = true
	for one := range strings.SplitSeq(value, ",") {
		switch strings.TrimSpace(one) {
		case "tracecontext":
			all = append(all, propagation.TraceContext{})
			s.w3c.traceContext = true
		case "baggage":
			all = append(all, propagation.Baggage{})
			s.w3c.baggage = true
		case "none":
			none = true
		default:
			return fmt.Errorf("telemetry: %s=%q is not tracecontext, baggage or none; others go into Config.Propagator", name, one)
		}
	}
	if none && len(all) > 0 {
		return fmt.Errorf("telemetry: %s=%q: none excludes all others", name, value)
	}
	s.propagator = propagation.NewCompositeTextMapPropagator(all...)
	return nil
}

// numbers are the variables that hold one, and their lowest value. Times are in
// milliseconds.
var numbers = map[string]int{
	"OTEL_BSP_SCHEDULE_DELAY": 0, "OTEL_BSP_EXPORT_TIMEOUT": 0, "OTEL_BSP_MAX_QUEUE_SIZE": 1, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": 1,
	"OTEL_BLRP_SCHEDULE_DELAY": 0, "OTEL_BLRP_EXPORT_TIMEOUT": 0, "OTEL_BLRP_MAX_QUEUE_SIZE": 1, "OTEL_BLRP_MAX_EXPORT_BATCH_SIZE": 1,
	"OTEL_METRIC_EXPORT_INTERVAL": 1, "OTEL_METRIC_EXPORT_TIMEOUT": 1,
	"OTEL_EXPORTER_OTLP_TIMEOUT": 0, "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT": 0, "OTEL_EXPORTER_OTLP_METRICS_TIMEOUT": 0, "OTEL_EXPORTER_OTLP_LOGS_TIMEOUT": 0,
	"OTEL_ATTRIBUTE_COUNT_LIMIT": -1, "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": -1,
	"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": -1, "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT": -1, "OTEL_SPAN_EVENT_COUNT_LIMIT": -1, "OTEL_SPAN_LINK_COUNT_LIMIT": -1,
	"OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT": -1, "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT": -1,
	"OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT": -1, "OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT": -1,
	"OTEL_SPAN_ATTRIBUTE_VALUE_DEPTH_LIMIT": -1, "OTEL_LOGRECORD_ATTRIBUTE_VALUE_DEPTH_LIMIT": -1,
	"OTEL_GO_X_CARDINALITY_LIMIT": 0,
}

func checkNumbers(env environment) error {
	var faults []error
	read := map[string]int{}
	for name, least := range numbers {
		_, v := env.first(name)
		if v == "" {
			continue
		}
		n, err := strconv.Atoi(v)
		if err != nil || n < least || n > math.MaxInt32 {
			faults = append(faults, fmt.Errorf("telemetry: %s=%q is not a whole number from %d to %d", name, v, least, math.MaxInt32))
			continue
		}
		read[name] = n
	}
	for _, of := range []string{"BSP", "BLRP"} {
		const unset = 2048 // the SDK's default
		queue, batch := cmp.Or(read["OTEL_"+of+"_MAX_QUEUE_SIZE"], unset), read["OTEL_"+of+"_MAX_EXPORT_BATCH_SIZE"]
		if batch > queue {
			faults = append(faults, fmt.Errorf("telemetry: OTEL_%s_MAX_EXPORT_BATCH_SIZE=%d is more than OTEL_%s_MAX_QUEUE_SIZE=%d", of, batch, of, queue))
		}
	}
	slices.SortFunc(faults, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(faults...)
}

// checkSpaces finds values with spaces around them, which some of those who read
// variables remove and others do not understand.
func checkSpaces(env environment) error {
	names := slices.Collect(maps.Keys(numbers))
	for _, suffix := range []string{"ENDPOINT", "PROTOCOL", "HEADERS", "TIMEOUT", "COMPRESSION", "INSECURE", "CERTIFICATE", "CLIENT_CERTIFICATE", "CLIENT_KEY"} {
		names = append(names, "OTEL_EXPORTER_OTLP_"+suffix, traces.variable(suffix), metrics.variable(suffix), logs.variable(suffix))
	}
	slices.Sort(names)
	var faults []error
	for _, name := range slices.Compact(names) {
		if v := env.get(name); v != strings.TrimSpace(v) {
			faults = append(faults, fmt.Errorf("telemetry: %s has spaces around its value", name))
		}
	}
	return errors.Join(faults...)
}

func checkChoices(env environment) error {
	var faults []error
	choices := func(allowed string, fold func(string) string, names ...string) {
		for _, name := range names {
			if _, v := env.first(name); v != "" && !slices.Contains(strings.Split(allowed, ", "), fold(v)) {
				faults = append(faults, fmt.Errorf("telemetry: %s=%q is not one of %s", name, v, allowed))
			}
		}
	}
	each := func(suffix string) []string {
		return []string{"OTEL_EXPORTER_OTLP_" + suffix, traces.variable(suffix), metrics.variable(suffix), logs.variable(suffix)}
	}
	exact := func(v string) string { return v } // the exporters take these as they stand
	choices("gzip, none", exact, each("COMPRESSION")...)
	choices("grpc, http/protobuf", exact, each("PROTOCOL")...)
	choices("true, false", strings.ToLower, each("INSECURE")...)
	choices("cumulative, delta, lowmemory", strings.ToLower, "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE")
	choices("explicit_bucket_histogram, base2_exponential_bucket_histogram", strings.ToLower, "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION")
	choices("always_on, always_off, trace_based", strings.ToLower, "OTEL_METRICS_EXEMPLAR_FILTER")
	return errors.Join(faults...)
}

func checkSampler(env environment) error {
	name, v := env.first("OTEL_TRACES_SAMPLER")
	if v == "" {
		return nil
	}
	sampler := strings.ToLower(v)
	known := []string{"always_on", "always_off", "traceidratio", "parentbased_always_on", "parentbased_always_off", "parentbased_traceidratio"}
	if !slices.Contains(known, sampler) {
		return fmt.Errorf("telemetry: %s=%q is not one of %s", name, v, strings.Join(known, ", "))
	}
	if !strings.HasSuffix(sampler, "traceidratio") {
		return nil
	}
	if name, v := env.first("OTEL_TRACES_SAMPLER_ARG"); v != "" {
		if ratio, err := strconv.ParseFloat(v, 64); err != nil || !(ratio >= 0 && ratio <= 1) {
			return fmt.Errorf("telemetry: %s=%q is not a ratio from 0 to 1", name, v)
		}
	}
	return nil
}
