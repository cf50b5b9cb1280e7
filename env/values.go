package env

import (
	"encoding"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/connectum-go/connectum"
)

// checker is a value that the tags of its field may bound. Its error says what
// is wanted.
type checker interface {
	check(tag reflect.StructTag) error
}

var (
	errNotAllowed = errors.New("not allowed")

	_ = []encoding.TextUnmarshaler{new(Duration), new(Count), new(Fraction), new(Bool), new(Level), new(Format), new(ClientAuth), new(PEM)}
	_ = []checker{Duration(0), Count(0), Listen(""), PEM{}}
)

// none is what the word none stands for in limits: the server takes every
// negative value for no limit.
const none = -1

// Duration is a Go duration that is not negative, such as 25s. A field with the
// tag none takes the word none, which is negative: no limit. The tags min and
// max bound it.
type Duration time.Duration

// UnmarshalText implements [encoding.TextUnmarshaler].
func (d *Duration) UnmarshalText(text []byte) error {
	if string(text) == "none" {
		*d = none
		return nil
	}
	v, err := time.ParseDuration(string(text))
	if err != nil || v < 0 {
		return errNotAllowed
	}
	*d = Duration(v)
	return nil
}

// MarshalText implements [encoding.TextMarshaler].
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// String returns what UnmarshalText reads.
func (d Duration) String() string {
	if d < 0 {
		return "none"
	}
	return time.Duration(d).String()
}

func (d Duration) check(tag reflect.StructTag) error {
	low, lowErr := time.ParseDuration(tag.Get("min"))
	high, highErr := time.ParseDuration(tag.Get("max"))
	v := time.Duration(d)
	if d < 0 && tag.Get("none") == "" || d >= 0 && (lowErr == nil && v < low || highErr == nil && v > high) {
		return errors.New(Duration(0).want(tag))
	}
	return nil
}

func (Duration) want(tag reflect.StructTag) string {
	return "want a duration" + bounds(tag) + ", such as 25s"
}

// Count is a whole number that is not negative. A field with the tag none takes
// the word none, which is negative: no limit. The tags min and max bound it.
type Count int

// UnmarshalText implements [encoding.TextUnmarshaler].
func (c *Count) UnmarshalText(text []byte) error {
	if string(text) == "none" {
		*c = none
		return nil
	}
	v, err := strconv.Atoi(string(text))
	if err != nil || v < 0 {
		return errNotAllowed
	}
	*c = Count(v)
	return nil
}

// MarshalText implements [encoding.TextMarshaler].
func (c Count) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// String returns what UnmarshalText reads.
func (c Count) String() string {
	if c < 0 {
		return "none"
	}
	return strconv.Itoa(int(c))
}

func (c Count) check(tag reflect.StructTag) error {
	low, lowErr := strconv.Atoi(tag.Get("min"))
	high, highErr := strconv.Atoi(tag.Get("max"))
	v := int(c)
	if c < 0 && tag.Get("none") == "" || c >= 0 && (lowErr == nil && v < low || highErr == nil && v > high) {
		return errors.New(Count(0).want(tag))
	}
	return nil
}

func (Count) want(tag reflect.StructTag) string { return "want a whole number" + bounds(tag) }

// bounds tells the tags of a field in words.
func bounds(tag reflect.StructTag) string {
	low, high := tag.Get("min"), tag.Get("max")
	var text string
	switch {
	case low != "" && high != "":
		text = fmt.Sprintf(" from %s to %s", low, high)
	case low != "":
		text = " of at least " + low
	case high != "":
		text = " of at most " + high
	}
	if tag.Get("none") != "" {
		text += ", or none"
	}
	return text
}

// Fraction is a number above 0 and at most 1.
type Fraction float64

// UnmarshalText implements [encoding.TextUnmarshaler].
func (f *Fraction) UnmarshalText(text []byte) error {
	v, err := strconv.ParseFloat(string(text), 64)
	if err != nil || !(v > 0 && v <= 1) { // not NaN either
		return errNotAllowed
	}
	*f = Fraction(v)
	return nil
}

func (Fraction) want(reflect.StructTag) string {
	return "want a number above 0 and at most 1, such as 0.1"
}

// Bool is true, false, 1, 0, yes or no, in either case.
type Bool bool

// UnmarshalText implements [encoding.TextUnmarshaler].
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

func (Bool) want(reflect.StructTag) string { return "want true or false" }

// Level is debug, info, warn or error. Empty means info.
type Level string

var levels = map[string]slog.Level{"": slog.LevelInfo, "debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}

// UnmarshalText implements [encoding.TextUnmarshaler].
func (l *Level) UnmarshalText(text []byte) error {
	if _, ok := levels[string(text)]; !ok {
		return errNotAllowed
	}
	*l = Level(text)
	return nil
}

// Level implements [slog.Leveler].
func (l Level) Level() slog.Level { return levels[string(l)] }

func (Level) want(reflect.StructTag) string { return "want debug, info, warn or error" }

// Format is json or text. Empty means json.
type Format string

// UnmarshalText implements [encoding.TextUnmarshaler].
func (f *Format) UnmarshalText(text []byte) error {
	if v := string(text); v != "json" && v != "text" {
		return errNotAllowed
	}
	*f = Format(text)
	return nil
}

func (Format) want(reflect.StructTag) string { return "want json or text" }

// ClientAuth is none, request or require. The zero value is the server's
// default.
type ClientAuth connectum.ClientAuth

var clientAuths = map[string]connectum.ClientAuth{
	"none": connectum.ClientAuthNone, "request": connectum.ClientAuthRequest, "require": connectum.ClientAuthRequire,
}

// UnmarshalText implements [encoding.TextUnmarshaler].
func (a *ClientAuth) UnmarshalText(text []byte) error {
	v, ok := clientAuths[string(text)]
	if !ok {
		return errNotAllowed
	}
	*a = ClientAuth(v)
	return nil
}

// MarshalText implements [encoding.TextMarshaler].
func (a ClientAuth) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// String returns what UnmarshalText reads.
func (a ClientAuth) String() string {
	for text, v := range clientAuths {
		if ClientAuth(v) == a {
			return text
		}
	}
	return ""
}

func (ClientAuth) want(reflect.StructTag) string { return "want none, request or require" }
