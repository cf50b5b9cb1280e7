package wire

// Meter bounds the HTTP/2 frames of one connection by kind. A limit of zero or
// less is off.
type Meter struct {
	Resets        int // RST_STREAM a second, if they end over half of the streams
	Pings         int // PING a second; one after the server sent HEADERS or DATA is free
	Settings      int // SETTINGS a second
	Empty         int // frames a second that carry nothing: empty DATA, PRIORITY, unknown ones
	Continuations int // CONTINUATION frames of one header block
}

// DefaultMeter returns the limits no honest client was seen to reach.
func DefaultMeter() Meter {
	return Meter{Resets: 200, Pings: 20, Settings: 20, Empty: 200, Continuations: 8}
}
