package connectum

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"
)

// hooks are the shutdown hooks by name, in the order they were first named.
type hooks struct {
	mu     sync.Mutex
	list   []*hook
	closed bool
}

// hook is all that runs under one name.
type hook struct {
	name  string
	funcs []func(context.Context) error
	after []string
}

// OnShutdown registers f to run when calls have ended, after every hook named
// in after has finished, failed or run out of time. Hooks that do not wait for
// each other run together. Several functions under one name run together and
// count as one.
//
// f is a func(), func() error, func(context.Context) or
// func(context.Context) error; anything else panics here. Its context ends
// when its share of the shutdown budget is used up; a hook that goes on is
// left behind and named in the error of Run. Unknown names in after, and
// cycles, are start errors. All hooks run after every stop, also after a start
// that failed, for what they close was made before Run. A hook registered once
// they have begun to run is not run, and logged.
func (s *Server) OnShutdown(name string, f any, after ...string) {
	var run func(context.Context) error
	switch f := f.(type) {
	case func():
		run = func(context.Context) error { f(); return nil }
	case func() error:
		run = func(context.Context) error { return f() }
	case func(context.Context):
		run = func(ctx context.Context) error { f(ctx); return nil }
	case func(context.Context) error:
		run = f
	default:
		panic(fmt.Sprintf("connectum: OnShutdown(%q): a hook is a func with an optional context.Context and an optional error, not %T", name, f))
	}
	if name == "" {
		panic("connectum: OnShutdown: a hook needs a name")
	}
	if !s.hooks.add(name, run, after) {
		s.log().Error("shutdown hook registered too late, it does not run", "hook", name)
	}
}

func (h *hooks) add(name string, run func(context.Context) error, after []string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return false
	}
	k := h.find(name)
	if k == nil {
		k = &hook{name: name}
		h.list = append(h.list, k)
	}
	k.funcs = append(k.funcs, run)
	k.after = append(k.after, after...)
	return true
}

func (h *hooks) find(name string) *hook {
	if i := slices.IndexFunc(h.list, func(k *hook) bool { return k.name == name }); i >= 0 {
		return h.list[i]
	}
	return nil
}

func (h *hooks) empty() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.list) == 0
}

// check reports names that do not exist and the first cycle of each hook.
func (h *hooks) check() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	var faults []error
	for _, k := range h.list {
		for _, dep := range k.after {
			if h.find(dep) == nil {
				faults = append(faults, fmt.Errorf("connectum: shutdown hook %q runs after %q, which does not exist", k.name, dep))
			}
		}
	}
	const visiting, visited = 1, 2
	mark := map[string]int{}
	var path []string
	var visit func(k *hook) bool
	visit = func(k *hook) bool {
		switch mark[k.name] {
		case visited:
			return false
		case visiting:
			i := slices.Index(path, k.name)
			faults = append(faults, fmt.Errorf("connectum: shutdown hooks wait for each other: %s",
				strings.Join(append(path[i:len(path):len(path)], k.name), " → ")))
			return true
		}
		mark[k.name] = visiting
		path = append(path, k.name)
		defer func() { path = path[:len(path)-1]; mark[k.name] = visited }()
		return slices.ContainsFunc(k.after, func(dep string) bool { d := h.find(dep); return d != nil && visit(d) })
	}
	for _, k := range h.list {
		visit(k)
	}
	return errors.Join(faults...)
}

// run runs every hook by deadline and returns the errors of all.
//
// A hook may use the time that is left, shared with the longest chain of
// hooks that wait for it: one that hangs can't take the time of others.
func (h *hooks) run(deadline time.Time, log *slog.Logger) error {
	h.mu.Lock()
	h.closed = true
	list := slices.Clone(h.list)
	broken := false
	h.mu.Unlock()
	if h.check() != nil {
		broken = true // a start error already; everything still has to be closed
	}

	finished := make(map[string]chan struct{}, len(list))
	behind := make(map[string]int, len(list))
	for _, k := range list {
		finished[k.name] = make(chan struct{})
		waiting(list, k.name, behind)
	}
	var (
		mu   sync.Mutex
		errs []error
		wg   sync.WaitGroup
	)
	for _, k := range list {
		wg.Go(func() {
			defer close(finished[k.name])
			if !broken {
				for _, dep := range k.after {
					<-finished[dep]
				}
			}
			began := time.Now()
			share := max(time.Until(deadline), 0) / time.Duration(1+behind[k.name])
			left, err := k.run(share)
			level := slog.LevelInfo
			if err != nil {
				level = slog.LevelError
				mu.Lock()
				errs = append(errs, err)
				mu.Unlock()
			}
			attrs := []slog.Attr{slog.String("hook", k.name), slog.Duration("took", time.Since(began))}
			if err != nil {
				attrs = append(attrs, slog.Any("error", err))
			}
			if left != "" {
				attrs = append(attrs, slog.String("stacks", left))
			}
			log.LogAttrs(context.Background(), level, "shutdown hook", attrs...)
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// waiting is the length of the longest chain of hooks that wait for name; known
// are the lengths found so far.
func waiting(list []*hook, name string, known map[string]int) int {
	if n, ok := known[name]; ok {
		return n
	}
	known[name] = 0 // of a cycle, which has no length
	longest := 0
	for _, k := range list {
		if slices.Contains(k.after, name) {
			longest = max(longest, 1+waiting(list, k.name, known))
		}
	}
	known[name] = longest
	return longest
}

// run runs the functions of one hook together, for at most share. It tells where
// those are that it leaves behind.
func (k *hook) run(share time.Duration) (left string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), share)
	defer cancel()
	results := make(chan error, len(k.funcs))
	for _, f := range k.funcs {
		go func() {
			done := false
			defer func() {
				if r := recover(); r != nil {
					results <- fmt.Errorf("shutdown hook %q panicked: %v", k.name, r)
				} else if !done {
					results <- fmt.Errorf("shutdown hook %q called runtime.Goexit", k.name)
				}
			}()
			err := f(ctx)
			done = true
			if err != nil {
				err = fmt.Errorf("shutdown hook %q: %w", k.name, err)
			}
			results <- err
		}()
	}
	var errs []error
	for range k.funcs {
		select {
		case err := <-results:
			errs = append(errs, err)
			continue
		case <-ctx.Done():
		}
		// What came at the same moment still counts.
		select {
		case err := <-results:
			errs = append(errs, err)
			continue
		case <-time.After(grace):
		}
		errs = append(errs, fmt.Errorf("shutdown hook %q did not finish within %v and was left behind", k.name, share.Round(time.Millisecond)))
		left = stacksIn(runsHook)
		break
	}
	return left, errors.Join(errs...)
}

// grace is how long a hook that was told to end may take to say so.
const grace = 50 * time.Millisecond
