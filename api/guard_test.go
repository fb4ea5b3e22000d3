package api

import (
	"errors"
	"net/http"
	"sync"
	"testing"

	"carillon/gateway/auth"
)

// TestS20GuessesAtOnce: of many wrong tokens at the same moment no more are looked at than of as many in a row. The
// judge answers none before the rest are refused, so a check that is not the charge too would let all of them in.
func TestS20GuessesAtOnce(t *testing.T) {
	const guesses, allowed = 60, 10
	looked, answer := make(chan struct{}, guesses), make(chan struct{})
	s := newStage(t, func(o *PublicOptions, _ *ServerOptions) {
		o.Identify = func(string) (*auth.Identity, error) {
			looked <- struct{}{}
			<-answer
			return nil, errors.New("wrong")
		}
	})
	refused := make(chan int, guesses)
	var all sync.WaitGroup
	for range guesses {
		all.Go(func() {
			r, _ := http.NewRequestWithContext(t.Context(), "GET", s.public.URL+"/api/channels/c:a/history", nil)
			r.Header.Set("Authorization", "Bearer guess")
			resp, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Error(err)
				refused <- 0
				return
			}
			_ = resp.Body.Close()
			refused <- resp.StatusCode
		})
	}
	for n := range guesses {
		select {
		case <-looked:
			if n >= guesses-1 {
				t.Error("every guess was looked at")
			}
		case status := <-refused:
			if status != http.StatusTooManyRequests {
				t.Errorf("answered %d before the judge did", status)
			}
		}
	}
	close(answer)
	all.Wait()
	close(refused)
	wrong := 0
	for status := range refused {
		if status == http.StatusUnauthorized {
			wrong++
		}
	}
	if wrong != allowed {
		t.Errorf("%d guesses were looked at, want %d", wrong, allowed)
	}
}
