package load

import (
	"context"
	"sync"
	"time"

	hdr "github.com/HdrHistogram/hdrhistogram-go"
)

// Progress is how far a run is.
type Progress struct {
	Elapsed, Duration time.Duration
	Sent, Total       int
	Answered, Failed  int
	P99               time.Duration
}

// Result is what came of a run. Its JSON is stable.
type Result struct {
	// Calls were due, and NotSent of them never sent: the server was too slow
	// for the rate, or the run was interrupted.
	Calls   int `json:"calls"`
	NotSent int `json:"notSent"`
	// OK were answered; Errors are the others by class.
	OK     int            `json:"ok"`
	Errors map[string]int `json:"errors"`
	// Cut were still under way when an interrupt ended them.
	Cut int `json:"cut"`
	// Seconds is from the first arrival to the last answer, and PerSecond the
	// calls that ended in it.
	Seconds   float64 `json:"seconds"`
	PerSecond float64 `json:"perSecond"`
	// Latency is of the calls that were answered, ErrorLatency of the others,
	// both from when they were due. Lag is how late timers were.
	Latency      Latency `json:"latencySeconds"`
	ErrorLatency Latency `json:"errorLatencySeconds"`
	Lag          Latency `json:"timerLagSeconds"`
	Interrupted  bool    `json:"interrupted"`

	// Bars is the distribution of Latency.
	Bars []Bar `json:"distribution"`
}

// Latency sums up a histogram, in seconds.
type Latency struct {
	Min  float64 `json:"min"`
	Mean float64 `json:"mean"`
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P95  float64 `json:"p95"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
	Max  float64 `json:"max"`
}

// Bar is a part of the distribution: the calls that took up to UpTo seconds, and
// longer than the bar before.
type Bar struct {
	UpTo  float64 `json:"upTo"`
	Count int     `json:"count"`
}

// Failed returns the number of calls that failed.
func (r *Result) Failed() int {
	n := r.Cut
	for _, count := range r.Errors {
		n += count
	}
	return n
}

// recorder takes what calls measure. The loop of arrivals owns what stands
// above the lock.
type recorder struct {
	cfg      Config
	next     int
	woke     time.Time
	start    time.Time
	total    int
	duration time.Duration
	took     time.Duration

	mu             sync.Mutex
	sent, cut      int
	errors         map[string]int
	failed         int
	ok, bad, lates *hdr.Histogram // of microseconds
}

func newRecorder(cfg Config) *recorder {
	histogram := func() *hdr.Histogram { return hdr.New(1, (2 * MaxDuration).Microseconds(), 3) }
	return &recorder{cfg: cfg, errors: map[string]int{}, ok: histogram(), bad: histogram(), lates: histogram()}
}

func (r *recorder) begin(total int, duration time.Duration) {
	r.start, r.total, r.duration = time.Now(), total, duration
}

func (r *recorder) end() { r.took = time.Since(r.start) }

func (r *recorder) late(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	set(r.lates, d)
}

// set records d; what is beyond two hours, which no run is, would be the top.
func set(h *hdr.Histogram, d time.Duration) {
	_ = h.RecordValue(min(max(d.Microseconds(), 1), h.HighestTrackableValue())) // in range, so it can't fail
}

func (r *recorder) sentOne() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sent++
}

func (r *recorder) record(took time.Duration, err error, wasCut bool) {
	class := ""
	if err != nil && !wasCut {
		class = r.cfg.Class(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case wasCut:
		r.cut++
	case err != nil:
		r.failed++
		r.errors[class]++
		set(r.bad, took)
	default:
		set(r.ok, took)
	}
}

// tell calls progress every interval until the function that it returns has
// been called.
func (r *recorder) tell(progress func(Progress), interval time.Duration) (stop func()) {
	if progress == nil {
		return func() {}
	}
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(interval)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				progress(r.progress())
			case <-done:
				return
			}
		}
	}()
	return func() { close(done); <-ended }
}

func (r *recorder) progress() Progress {
	r.mu.Lock()
	defer r.mu.Unlock()
	return Progress{
		Elapsed: time.Since(r.start), Duration: r.duration, Sent: r.sent, Total: r.total,
		Answered: int(r.ok.TotalCount()), Failed: r.failed, P99: micro(r.ok.ValueAtPercentile(99)),
	}
}

func micro(n int64) time.Duration { return time.Duration(n) * time.Microsecond }

func (r *recorder) result(ctx context.Context) *Result {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := &Result{
		Calls: r.total, NotSent: r.total - r.sent, OK: int(r.ok.TotalCount()), Errors: r.errors, Cut: r.cut,
		Seconds: r.took.Seconds(), Latency: latency(r.ok), ErrorLatency: latency(r.bad), Lag: latency(r.lates),
		Interrupted: ctx.Err() != nil, Bars: bars(r.ok),
	}
	if s := r.took.Seconds(); s > 0 {
		out.PerSecond = float64(out.OK+r.failed) / s
	}
	return out
}

func latency(h *hdr.Histogram) Latency {
	if h.TotalCount() == 0 {
		return Latency{}
	}
	at := func(p float64) float64 { return micro(h.ValueAtPercentile(p)).Seconds() }
	return Latency{
		Min: micro(h.Min()).Seconds(), Mean: h.Mean() / 1e6, P50: at(50), P90: at(90), P95: at(95), P99: at(99), P999: at(99.9), Max: micro(h.Max()).Seconds(),
	}
}

// bars sorts a histogram into steps of 1, 2 and 5, from the first to the last
// that has any.
func bars(h *hdr.Histogram) []Bar {
	out := []Bar{}
	step, digit := int64(1), 0
	bar := 0
	flush := func(top int64) {
		if bar > 0 || len(out) > 0 {
			out = append(out, Bar{UpTo: micro(top).Seconds(), Count: bar})
		}
		bar = 0
	}
	advance := func() {
		step = step * []int64{20, 25, 20}[digit] / 10
		digit = (digit + 1) % 3
	}
	left := h.TotalCount()
	for _, b := range h.Distribution() {
		if b.Count == 0 {
			continue
		}
		for b.From > step {
			flush(step)
			advance()
		}
		bar += int(b.Count)
		left -= b.Count
		if left == 0 {
			flush(step)
			break
		}
	}
	return out
}
