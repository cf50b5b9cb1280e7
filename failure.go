package connectum

// Failure is the local cause of an error whose text was not made for clients:
// they get a code and the id, the log has the id and the rest. Interceptors
// that keep an error from clients themselves give theirs such a cause, so that
// the server counts it and everything around them finds the id:
//
//	f := &connectum.Failure{ID: id, Err: err}
//	return connect.Errorf(connect.CodeInternal, "internal error, id %s", id).WithCause(f)
type Failure struct {
	ID    string // told to the client
	Err   error  // what the handler returned or threw
	Panic bool   // it was thrown
	Stack []byte // where it was thrown, if known
}

// Error implements error with the text of Err: it is for the log alone.
func (f *Failure) Error() string { return f.Err.Error() }

// Unwrap returns Err.
func (f *Failure) Unwrap() error { return f.Err }
