package wire

import "sync"

const (
	readBytes  = 16 << 10 // one read takes what 64 small calls send
	writeBytes = 32 << 10 // so many bytes wait while as many are under way
)

// Buffers are held only while there are bytes in them: an idle connection has none.
var (
	readPool  = sync.Pool{New: func() any { return new([readBytes]byte) }}
	writePool = sync.Pool{New: func() any { return new([writeBytes]byte) }}
)
