// Package guides has the code that the pages in docs show, and the tests that
// run their commands.
package guides
