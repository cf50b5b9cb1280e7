//go:build race

package fake_test

// The race detector makes validation about ten times as slow; the messages
// are the same, so fewer seeds lose only repetition.
const seeds = 50
