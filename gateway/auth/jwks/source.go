package jwks

import (
	"context"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"carillon/gateway/auth"
)

// source fetches the keys of one issuer.
type source struct {
	o       Options
	client  *http.Client
	issuer  string
	url     string
	cancel  context.CancelFunc
	deliver func([]auth.Key) error
	hint    chan struct{} // holds one where somebody wants a fetch before its time
	fetched chan struct{} // closed after the first one

	mu    sync.Mutex
	state State
	last  time.Time // end of the last fetch
}

// ask leaves a hint. It promises nothing for a fetch that worked a moment ago: the issuer does not have that key. That is
// judged before the hint is left: the fetch it brings about may be over before this returns.
func (s *source) ask() bool {
	s.mu.Lock()
	due := s.state.Problem != "" || s.last.IsZero() || time.Since(s.last) >= MinInterval
	s.mu.Unlock()
	select {
	case s.hint <- struct{}{}:
	default: // one waits already
	}
	return due
}

func (s *source) now() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

// run fetches at once, then every interval, sooner after a failure or a hint, but never before MinInterval is over.
func (s *source) run(ctx context.Context) {
	for first := true; ; first = false {
		pause := s.once(ctx)
		if first {
			close(s.fetched)
		}
		if !wait(ctx, MinInterval, nil) || !wait(ctx, pause-MinInterval, s.hint) {
			return
		}
	}
}

// wait returns after d or on a hint; false where ctx ended.
func wait(ctx context.Context, d time.Duration, hint <-chan struct{}) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
	case <-hint:
	}
	return ctx.Err() == nil
}

// once fetches and hands over, and says when to do it again.
func (s *source) once(ctx context.Context) (pause time.Duration) {
	keys, skipped, err := fetch(ctx, s.client, s.url)
	if err == nil {
		err = s.deliver(keys)
	}
	if ctx.Err() != nil {
		return s.o.Interval
	}
	s.mu.Lock()
	s.last = time.Now()
	st := &s.state
	st.Fetches++
	drop := false
	if err == nil {
		st.Keys, st.Skipped, st.Fetched, st.Problem = len(keys), skipped, s.last, ""
		st.Failures = 0
		pause = s.o.Interval
	} else {
		st.Problem = err.Error()
		st.Failures++
		pause = min(s.o.Interval, MinInterval<<min(st.Failures, 8))
		if drop = st.Keys > 0 && s.last.Sub(st.Fetched) > s.o.Stale; drop {
			st.Keys = 0
			st.Problem += "; the keys were too old and are dropped"
		}
	}
	told := *st
	s.mu.Unlock()
	if drop {
		_ = s.deliver(nil) // refused only where the issuer is gone, and its keys with it
	}
	if s.o.Report != nil {
		s.o.Report(told)
	}
	return pause - rand.N(pause/10+1) // so that many nodes do not ask at the same moment
}
