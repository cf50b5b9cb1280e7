package health

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// grace is how long a probe that was told to end may take to do so.
const grace = 50 * time.Millisecond

// probe begins to probe every dependency. The caller holds mu.
func (c *Checker) probe() {
	if len(c.dependencies) == 0 {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	c.cancel = cancel
	for _, d := range c.dependencies {
		c.probes.Go(func() { c.follow(ctx, d) })
	}
}

// end tells the probes to end.
func (c *Checker) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cancel != nil {
		c.cancel()
	}
}

// wait is the shutdown hook: it ends the probes and waits for them.
func (c *Checker) wait() {
	c.end()
	c.probes.Wait()
}

// follow probes d until ctx ends.
func (c *Checker) follow(ctx context.Context, d *dependency) {
	for {
		began := time.Now()
		err := d.try(ctx)
		if ctx.Err() != nil { // the result of a probe that was called off says nothing
			break
		}
		c.record(d, err, time.Since(began))
		pause := time.NewTimer(d.schedule.pause())
		select {
		case <-pause.C:
			continue
		case <-ctx.Done():
			pause.Stop()
		}
		break
	}
	if d.hanging == nil {
		return
	}
	select {
	case <-d.hanging:
	default:
		c.server.Logger().Warn("a probe did not end with the server and was left behind", "dependency", d.name)
	}
}

func (c *Checker) record(d *dependency, err error, took time.Duration) {
	c.mu.Lock()
	tell := d.record(err, took)
	if tell {
		c.publish()
	}
	up, bad := d.up, d.bad
	c.mu.Unlock()
	if !tell {
		return
	}
	attrs := []slog.Attr{slog.String("dependency", d.name), slog.Bool("critical", d.critical)}
	if up {
		c.server.Logger().LogAttrs(context.Background(), slog.LevelInfo, "dependency is up", attrs...)
		return
	}
	if err != nil {
		attrs = append(attrs, slog.String("reason", clip(err.Error())), slog.Int("failures", bad))
	}
	c.server.Logger().LogAttrs(context.Background(), slog.LevelWarn, "dependency is down", attrs...)
}

// outcome is what a probe came to.
type outcome struct{ err error }

// try probes once, within the timeout whatever the probe does.
func (d *dependency) try(ctx context.Context) error {
	if d.hanging != nil {
		select {
		case <-d.hanging:
			d.hanging = nil
		default:
			return errors.New("the probe has not returned since its timeout")
		}
	}
	ctx, cancel := context.WithTimeout(ctx, d.schedule.Timeout)
	defer cancel()
	result := make(chan outcome, 1)
	go d.call(ctx, result)
	late := fmt.Errorf("the probe took longer than %v", d.schedule.Timeout)
	verdict := func(r outcome) error {
		if ctx.Err() != nil && (r.err == nil || errors.Is(r.err, context.DeadlineExceeded)) {
			return late
		}
		return r.err
	}
	select {
	case r := <-result:
		return verdict(r)
	case <-ctx.Done():
	}
	end := time.NewTimer(grace)
	defer end.Stop()
	select {
	case r := <-result:
		return verdict(r)
	case <-end.C:
		d.hanging = result
		return late
	}
}

// call calls the probe and sends exactly one result, whatever it does.
func (d *dependency) call(ctx context.Context, result chan<- outcome) {
	returned := false
	defer func() {
		if returned {
			return
		}
		if thrown := recover(); thrown != nil {
			result <- outcome{fmt.Errorf("the probe panicked: %v", thrown)}
		} else {
			result <- outcome{errors.New("the probe called runtime.Goexit")}
		}
	}()
	err := d.probe(ctx)
	returned = true
	result <- outcome{err}
}
