package worker_test

import (
	"fmt"
	"strings"
	"testing"

	"carillon/channel"
	"carillon/worker"

	"pgregory.net/rapid"
)

// TestDeterminism: whatever commands a channel gets, in whatever batches, with restarts in between, replay from the
// beginning and from every snapshot comes to the same bytes.
func TestDeterminism(t *testing.T) {
	bodies := []string{
		`{"op":"add","n":%d}`, `{"op":"get"}`, `{"op":"refuse"}`, `{"op":"send","to":"tally:sink","n":%d}`, `{"op":"grant","to":"u%d"}`,
		`{"op":"add","n":-%d,"pad":300}`, `"odd"`, `{"op":"add","n":%d,"wake":1}`, `{"op":"erase","n":1}`,
	}
	x := open(t, nil)
	run := 0
	rapid.Check(t, func(r *rapid.T) {
		run++
		n := channel.Name(fmt.Sprintf("tally:det%d", run))
		steps := rapid.SliceOfN(rapid.IntRange(0, len(bodies)*10), 1, 60).Draw(r, "steps")
		var open []<-chan answer
		settle := func() {
			for _, got := range open {
				if _, err := x.wait(got); err != nil {
					r.Fatal(err)
				}
			}
			open = nil
		}
		for i, s := range steps {
			switch {
			case s == len(bodies)*10:
				settle()
				x.restart()
			default:
				body := bodies[s%len(bodies)]
				if strings.Contains(body, "%d") {
					body = fmt.Sprintf(body, s+1)
				}
				open = append(open, x.post(channel.Command{ID: fmt.Sprint(i), Channel: n, User: "ann", Body: []byte(body)}))
			}
			if s%3 == 0 {
				settle()
			}
		}
		settle()
		proof, err := worker.Replay(t.Context(), x.o.Service, x.store, n)
		if err != nil {
			r.Fatalf("%v: %+v", err, proof)
		}
		st, err := x.store.Load(t.Context(), n)
		if err != nil || proof.To > st.Version {
			r.Fatalf("replay went to version %d, the channel is at %d, %v", proof.To, st.Version, err)
		}
	})
}
