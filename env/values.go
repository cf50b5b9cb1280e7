package env

import (
	"errors"
	"log/slog"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/connectum-go/connectum"
)

var errNotAllowed = errors.New("not allowed")

// Duration is a Go duration that is not negative, such as "25s".
type Duration time.Duration

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil || v < 0 {
		return errNotAllowed
	}
	*d = Duration(v)
	return nil
}

// Count is a positive integer.
type Count int

// UnmarshalText implements encoding.TextUnmarshaler.
func (c *Count) UnmarshalText(text []byte) error {
	v, err := strconv.Atoi(string(text))
	if err != nil || v <= 0 {
		return errNotAllowed
	}
	*c = Count(v)
	return nil
}

// Bool is true, false, 1, 0, yes or no, in either case.
type Bool bool

// UnmarshalText implements encoding.TextUnmarshaler.
func (b *Bool) UnmarshalText(text []byte) error {
	switch strings.ToLower(string(text)) {
	case "true", "1", "yes":
		*b = true
	case "false", "0", "no":
		*b = false
	default:
		return errNotAllowed
	}
	return nil
}

// Level is debug, info, warn or error; the zero value is info.
type Level slog.Level

// UnmarshalText implements encoding.TextUnmarshaler.
func (l *Level) UnmarshalText(text []byte) error {
	levels := map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}
	v, ok := levels[string(text)]
	if !ok {
		return errNotAllowed
	}
	*l = Level(v)
	return nil
}

// Format is json or text; the zero value is json.
type Format string

// UnmarshalText implements encoding.TextUnmarshaler.
func (f *Format) UnmarshalText(text []byte) error {
	if !slices.Contains([]string{"json", "text"}, string(text)) {
		return errNotAllowed
	}
	*f = Format(text)
	return nil
}

// ClientAuth is none, request or require; the zero value is the server's
// default.
type ClientAuth connectum.ClientAuth

// UnmarshalText implements encoding.TextUnmarshaler.
func (a *ClientAuth) UnmarshalText(text []byte) error {
	kinds := map[string]connectum.ClientAuth{"none": connectum.ClientAuthNone, "request": connectum.ClientAuthRequest, "require": connectum.ClientAuthRequire}
	v, ok := kinds[string(text)]
	if !ok {
		return errNotAllowed
	}
	*a = ClientAuth(v)
	return nil
}

// Variable documents one variable of [Config].
type Variable struct {
	Name string
	Help string // what it is, what is allowed, the default

	field  string
	secret bool
}

// Variables lists the variables of [Config] in its order.
func Variables() []Variable {
	var out []Variable
	for f := range reflect.TypeFor[Config]().Fields() {
		out = append(out, Variable{Name: f.Tag.Get("env"), Help: f.Tag.Get("help"), field: f.Name, secret: f.Tag.Get("secret") != ""})
	}
	return out
}
