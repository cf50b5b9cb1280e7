package env

import (
	"encoding"
	"errors"
	"fmt"
	"net/url"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	envlib "github.com/caarlos0/env/v11"
)

// parse fills a copy of what dst points to, and dst itself once there is no
// mistake. The library tells mistakes by field, and with values in them; which
// variable it was is found by parsing each field once more on its own.
func parse(dst any, variables map[string]string) error {
	given := reflect.ValueOf(dst)
	if given.Kind() != reflect.Pointer || given.IsNil() || given.Elem().Kind() != reflect.Struct {
		return fmt.Errorf("env: want a pointer to a struct, not %T", dst)
	}
	if variables == nil {
		variables = map[string]string{} // the library takes nil for the process
	}
	parsed := clone(given.Elem())
	err := envlib.ParseWithOptions(parsed.Addr().Interface(), envlib.Options{Environment: variables})
	r := report{variables: variables}
	r.look(parsed, "")
	if err != nil && len(r.faults) == 0 {
		r.faults = anonymous(err)
	}
	if len(r.faults) > 0 {
		return errors.Join(r.faults...)
	}
	if err := envlib.ParseWithOptions(dst, envlib.Options{Environment: variables}); err != nil {
		return errors.Join(anonymous(err)...) // a file has changed meanwhile
	}
	return nil
}

// clone copies a struct and what the library would write to through it, and
// nothing else: a struct may point to what others use.
func clone(v reflect.Value) reflect.Value {
	out := reflect.New(v.Type()).Elem()
	out.Set(v)
	if v.Kind() != reflect.Struct {
		return out
	}
	for i := range v.NumField() {
		f, field := out.Field(i), v.Type().Field(i)
		if !f.CanSet() {
			continue
		}
		switch t := field.Type; {
		case t.Kind() == reflect.Struct:
			f.Set(clone(f))
		case t.Kind() == reflect.Pointer && !f.IsNil() && (field.Tag.Get("env") != "" || isFilled(t.Elem(), nil)):
			f.Set(clone(f.Elem()).Addr())
		case t.Kind() == reflect.Slice && isFilled(t.Elem(), nil):
			items := reflect.MakeSlice(t, f.Len(), f.Len())
			for i := range f.Len() {
				items.Index(i).Set(clone(f.Index(i)))
			}
			f.Set(items)
		}
	}
	return out
}

// isFilled reports whether t is a struct that has variables.
func isFilled(t reflect.Type, seen []reflect.Type) bool {
	if t.Kind() != reflect.Struct || slices.Contains(seen, t) {
		return false
	}
	seen = append(seen, t)
	for field := range t.Fields() {
		inner := field.Type
		if inner.Kind() == reflect.Pointer || inner.Kind() == reflect.Slice {
			inner = inner.Elem()
		}
		if field.Tag.Get("env") != "" || isFilled(inner, seen) {
			return true
		}
	}
	return false
}

// report collects mistakes in the order of the fields.
type report struct {
	variables map[string]string
	faults    []error
}

func (r *report) add(format string, args ...any) {
	err := fmt.Errorf("env: "+format, args...)
	if !slices.ContainsFunc(r.faults, func(e error) bool { return e.Error() == err.Error() }) {
		r.faults = append(r.faults, err)
	}
}

// look walks a struct as the library does.
func (r *report) look(v reflect.Value, prefix string) {
	own := v.Type() == reflect.TypeFor[Config]()
	for i := range v.NumField() {
		f, field := v.Field(i), v.Type().Field(i)
		if !f.CanSet() {
			continue
		}
		inner := prefix + field.Tag.Get("envPrefix")
		if f.Kind() == reflect.Pointer && !f.IsNil() && f.Elem().Kind() == reflect.Struct {
			r.look(f.Elem(), inner)
			continue
		}
		name, _, _ := strings.Cut(field.Tag.Get("env"), ",")
		switch {
		case name == "-":
			continue
		case name != "":
			r.try(prefix, field, own)
		}
		if f.Kind() == reflect.Struct {
			r.look(f, inner)
			continue
		}
		if f.Kind() == reflect.Pointer && f.Type().Elem().Kind() == reflect.Slice {
			if f = f.Elem(); !f.IsValid() {
				f = reflect.Zero(field.Type.Elem())
			}
		}
		if f.Kind() == reflect.Slice && f.Type().Elem().Kind() == reflect.Struct {
			r.lookEach(f, inner)
		}
	}
	if own {
		r.relations(v.Addr().Interface().(*Config), prefix)
	}
}

// lookEach walks a slice of structs, whose variables have an index. The library
// leaves it alone when there are none.
func (r *report) lookEach(v reflect.Value, prefix string) {
	if prefix != "" && !strings.HasSuffix(prefix, "_") {
		prefix += "_"
	}
	if !r.has(prefix) {
		return
	}
	for i := 0; ; i++ {
		inner := prefix + strconv.Itoa(i) + "_"
		switch {
		case i < v.Len():
			r.look(v.Index(i), inner)
		case r.has(inner): // the library gave up on the slice
			r.look(reflect.New(v.Type().Elem()).Elem(), inner)
		default:
			return
		}
	}
}

// has reports whether a variable begins with prefix.
func (r *report) has(prefix string) bool {
	for name := range r.variables {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// try parses one field alone, and reports what is wrong with its variable.
func (r *report) try(prefix string, field reflect.StructField, own bool) {
	name, _, _ := strings.Cut(field.Tag.Get("env"), ",")
	name = prefix + name
	field.Anonymous, field.Index, field.Offset = false, nil, 0
	v := reflect.New(reflect.StructOf([]reflect.StructField{field})).Elem()
	set := false
	err := envlib.ParseWithOptions(v.Addr().Interface(), envlib.Options{Environment: r.variables, Prefix: prefix,
		OnSet: func(_ string, value any, _ bool) { set = value != "" }})
	if err == nil {
		if c, ok := v.Field(0).Interface().(checker); ok && set {
			if err := c.check(field.Tag); err != nil {
				r.fault(name, field, own, err.Error())
			}
		}
		return
	}
	for _, err := range aggregate(err).Errors {
		switch e := err.(type) { //nolint:errorlint // the library does not wrap them
		case envlib.VarIsNotSetError:
			r.add("%s is not set: it is required%s", e.Key, help(field, own))
		case envlib.EmptyVarError:
			r.add("%s is empty: it is required%s", e.Key, help(field, own))
		case envlib.LoadFileContentError:
			r.add("%s: want the name of a file; one of this name can't be read%s", e.Key, help(field, own))
		case envlib.NoSupportedTagOptionError, envlib.NoParserError:
			r.add("%s: field %s: %w", name, field.Name, err)
		default:
			r.fault(name, field, own, want(field))
		}
	}
}

// fault reports a value that is not allowed. It is shown only where it can't be
// a secret: those of other structs may, and so may PEM.
func (r *report) fault(name string, field reflect.StructField, own bool, wanted string) {
	if _, secret := reflect.Zero(field.Type).Interface().(PEM); secret || !own {
		r.add("%s: %s%s", name, wanted, help(field, own))
		return
	}
	value := r.variables[name]
	if len(value) > 64 {
		value = value[:64] + "..."
	}
	r.add("%s is %q: %s", name, value, wanted)
}

// help is what the author of a struct says of a variable of his own.
func help(field reflect.StructField, own bool) string {
	if text := field.Tag.Get("help"); text != "" && !own {
		return " (" + text + ")"
	}
	return ""
}

// want says what a field takes, without a word of the value.
func want(field reflect.StructField) string {
	t := field.Type
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	zero := reflect.Zero(t).Interface()
	switch zero := zero.(type) {
	case interface {
		want(tag reflect.StructTag) string
	}:
		return zero.want(field.Tag)
	case time.Duration:
		return "want a duration, such as 25s"
	case time.Location:
		return "want a time zone, such as Europe/Paris"
	case url.URL:
		return "want a URL"
	}
	if _, ok := reflect.New(t).Interface().(encoding.TextUnmarshaler); ok {
		return "want a valid " + t.String()
	}
	switch t.Kind() {
	case reflect.Int, reflect.Uint: // the library's bounds for both
		return "want a whole number of 32 bits" + unsigned(t)
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return fmt.Sprintf("want a whole number of %d bits", t.Bits()) + unsigned(t)
	case reflect.Float32, reflect.Float64:
		return "want a number"
	case reflect.Bool:
		return "want true or false"
	case reflect.Slice:
		return "want a list of " + t.Elem().String()
	case reflect.Map:
		return "want a list of pairs, as for " + t.String()
	}
	return "want a valid " + t.String()
}

// relations reports variables that do not go together, whatever code adds.
func (r *report) relations(c *Config, prefix string) {
	set := func(name string) bool { return r.variables[prefix+name] != "" }
	switch {
	case set("TLS_CERT") && !set("TLS_KEY"):
		r.add("%sTLS_KEY is not set: %[1]sTLS_CERT needs it", prefix)
	case set("TLS_KEY") && !set("TLS_CERT"):
		r.add("%sTLS_CERT is not set: %[1]sTLS_KEY needs it", prefix)
	}
	if set("TLS_CLIENT_CA") && c.TLSClientAuth.String() == "none" {
		r.add("%sTLS_CLIENT_AUTH is \"none\": it goes with no %[1]sTLS_CLIENT_CA; want one of them", prefix)
	}
	if set("DRAIN_DELAY") && set("SHUTDOWN_TIMEOUT") && c.ShutdownTimeout > 0 && c.DrainDelay >= c.ShutdownTimeout && !bool(c.ShutdownNoForce) {
		r.add("%sDRAIN_DELAY is %v: want less than the %sSHUTDOWN_TIMEOUT of %v", prefix, c.DrainDelay, prefix, c.ShutdownTimeout)
	}
}

// anonymous tells the library's errors without values, and without names: no
// field failed on its own.
func anonymous(err error) (out []error) {
	for _, err := range aggregate(err).Errors {
		if e, ok := errors.AsType[envlib.ParseError](err); ok {
			err = fmt.Errorf("field %s: want a valid %s", e.Name, e.Type)
		} else if e, ok := errors.AsType[envlib.LoadFileContentError](err); ok {
			err = fmt.Errorf("%s: want the name of a file; one of this name can't be read", e.Key)
		}
		out = append(out, fmt.Errorf("env: %w", err))
	}
	return out
}

func aggregate(err error) envlib.AggregateError {
	if all, ok := errors.AsType[envlib.AggregateError](err); ok {
		return all
	}
	return envlib.AggregateError{Errors: []error{err}}
}

func unsigned(t reflect.Type) string {
	if strings.HasPrefix(t.Kind().String(), "u") {
		return " that is not negative"
	}
	return ""
}

func environ() map[string]string {
	out := map[string]string{}
	for _, line := range os.Environ() {
		if k, v, ok := strings.Cut(line, "="); ok {
			out[k] = v
		}
	}
	return out
}
