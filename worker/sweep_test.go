package worker_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"carillon/bus/local"
	"carillon/channel"
	"carillon/internal/fault"
	"carillon/worker"

	"github.com/anishathalye/porcupine"
)

// crashPoints are the places at which TestCrashPoints ends the process.
var crashPoints = []string{
	"worker.taken", "worker.applied", "worker.committed", "worker.answered", "worker.timer", "worker.sent", "worker.drain",
	"store.taken", "store.filled", "store.committed", "store.carried",
}

const childVar = "CARILLON_WORKER_CHILD" // the data folder

func isChild() bool { return os.Getenv(childVar) != "" }

// question and result are the lines between the test and its child.
type question struct {
	N       int
	ID      string
	Channel channel.Name
	User    string
	Body    string
}

type result struct {
	N    int
	Err  string
	Code int
	At   string
	Body string
}

// child is the process that is killed: a store in a folder, a desk and a worker, asked through its standard input. An
// empty line has it end in good manners.
func child() {
	store, err := openTruth(os.Getenv(childVar))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	desk := local.NewDesk()
	var s script
	w, err := worker.New(worker.Options{Service: s.service("tally"), Stage: store, Agenda: store, Desk: desk, Log: slog.New(slog.NewTextHandler(os.Stderr, nil))})
	if err != nil {
		panic(err)
	}
	var ran sync.WaitGroup
	ran.Go(func() { _ = w.Run(context.Background()) })
	var mu sync.Mutex
	out := json.NewEncoder(os.Stdout)
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() && in.Text() != "" {
		var q question
		if err := json.Unmarshal(in.Bytes(), &q); err != nil {
			panic(err)
		}
		desk.Ask(channel.Command{ID: q.ID, Channel: q.Channel, User: q.User, Body: []byte(q.Body)}, func(r channel.Reply, err error) {
			got := result{N: q.N, Code: r.Code, At: r.At.String(), Body: string(r.Body)}
			if err != nil {
				got.Err = err.Error()
			}
			mu.Lock()
			defer mu.Unlock()
			_ = out.Encode(got)
		})
	}
	w.Close()
	ran.Wait()
	desk.Close()
	_ = store.Close()
}

// process is a child from outside.
type process struct {
	cmd  *exec.Cmd
	in   io.WriteCloser
	gone chan struct{}

	mu      sync.Mutex
	n       int
	waiting map[int]chan result
}

func spawn(t *testing.T, dir, crash string) *process {
	p := &process{cmd: exec.Command(os.Args[0], "-test.run=^$"), gone: make(chan struct{}), waiting: make(map[int]chan result)}
	p.cmd.Env = append(os.Environ(), childVar+"="+dir, fault.CrashVar+"="+crash)
	p.cmd.Stderr = os.Stderr
	in, err := p.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.in = in
	go p.read(out)
	return p
}

func (p *process) read(out io.Reader) {
	lines := json.NewDecoder(out)
	for {
		var r result
		if lines.Decode(&r) != nil {
			_ = p.cmd.Wait()
			close(p.gone)
			return
		}
		p.mu.Lock()
		got := p.waiting[r.N]
		delete(p.waiting, r.N)
		p.mu.Unlock()
		if got != nil {
			got <- r
		}
	}
}

// ask asks once; false: the process is gone.
func (p *process) ask(q question) (result, bool) {
	got := make(chan result, 1)
	p.mu.Lock()
	p.n++
	q.N = p.n
	p.waiting[q.N] = got
	line, _ := json.Marshal(q)
	_, err := p.in.Write(append(line, '\n'))
	p.mu.Unlock()
	if err != nil {
		<-p.gone
		return result{}, false
	}
	select {
	case r := <-got:
		return r, true
	case <-p.gone:
		select {
		case r := <-got: // its last word
			return r, true
		default:
			return result{}, false
		}
	}
}

// killed tells whether it ended by the crash point.
func (p *process) killed() bool {
	<-p.gone
	status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}

// sweep is one run: clients that ask until they are answered, whatever becomes of the process.
type sweep struct {
	*testing.T
	dir   string
	began time.Time

	mu    sync.Mutex
	p     *process
	kills int
	done  []asked
}

// asked is a question with its answer, and between which moments it was open.
type asked struct {
	client    int
	q         question
	r         result
	call, ret int64
}

// process gives the one that lives.
func (s *sweep) process() *process {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.p.gone:
		if !s.p.killed() {
			s.Errorf("the process ended by itself: %v", s.p.cmd.ProcessState)
		}
		s.kills++
		s.p = spawn(s.T, s.dir, "")
	default:
	}
	return s.p
}

// settle asks until there is an answer that stays.
func (s *sweep) settle(q question) result {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		if r, ok := s.process().ask(q); ok && r.Err == "" {
			return r
		}
	}
	s.Errorf("%+v was not answered within %v", q, patience)
	return result{}
}

const sweepClients, sweepOps, sweepChannels = 5, 24, 3

func (s *sweep) client(c int) {
	for i := range sweepOps {
		n := channel.Name(fmt.Sprintf("tally:s%d", (c+i)%sweepChannels))
		body := `{"op":"add","n":1}`
		switch (c + i) % 8 {
		case 1, 4:
			body = `{"op":"get"}`
		case 2, 5:
			body = fmt.Sprintf(`{"op":"send","to":"tally:sink%d","n":1}`, (c+i)%sweepChannels)
		case 3:
			body = `{"op":"add","n":1,"wake":1}`
		case 7:
			body = `{"op":"refuse"}`
		}
		a := asked{client: c, q: question{ID: fmt.Sprintf("c%d.%d", c, i), Channel: n, User: "ann", Body: body}, call: int64(time.Since(s.began))}
		a.r = s.settle(a.q)
		a.ret = int64(time.Since(s.began))
		s.mu.Lock()
		s.done = append(s.done, a)
		s.mu.Unlock()
	}
}

// TestCrashPoints kills the process at every point, at its first, second and third time, while clients retry: what was
// acknowledged stays, nothing is done twice, replies stay the same, and all of it could have been one after the other.
func TestCrashPoints(t *testing.T) {
	points, hits := crashPoints, 3
	if strings.HasPrefix(t.Name(), overPostgres) && os.Getenv("CARILLON_LONG") == "" {
		points, hits = slices.DeleteFunc(slices.Clone(points), func(p string) bool { return !strings.HasPrefix(p, "store.") }), 1
	}
	for _, point := range points {
		for hit := 1; hit <= hits; hit++ {
			t.Run(fmt.Sprintf("%s:%d", point, hit), func(t *testing.T) {
				s := &sweep{T: t, dir: database(t), began: time.Now()}
				if s.dir == "" {
					s.dir = t.TempDir()
				}
				s.p = spawn(t, s.dir, fmt.Sprintf("%s:%d", point, hit))
				var clients sync.WaitGroup
				for c := range sweepClients {
					clients.Go(func() { s.client(c) })
				}
				clients.Wait()
				if point == "worker.drain" {
					s.end()
					s.process()
				}
				s.check()
				s.end()
				if s.kills != 1 {
					t.Errorf("the process was killed %d times: the point was not reached", s.kills)
				}
				s.proof()
			})
		}
	}
}

// end has the process end in good manners.
func (s *sweep) end() {
	_, _ = io.WriteString(s.p.in, "\n")
	<-s.p.gone
}

// check holds what clients saw against what is there.
func (s *sweep) check() {
	sums, sinks := make(map[channel.Name]int64), make(map[channel.Name]int64)
	for _, a := range s.done {
		if !strings.Contains(a.q.Body, "get") {
			if again := s.settle(a.q); again.At != a.r.At || again.Body != a.r.Body || again.Code != a.r.Code {
				s.Errorf("%+v was answered %+v, and now %+v", a.q, a.r, again)
			}
		}
		if strings.Contains(a.q.Body, "add") {
			sums[a.q.Channel]++
		}
		if strings.Contains(a.q.Body, "send") {
			sinks["tally:sink"+a.q.Channel[len("tally:s"):]]++
		}
	}
	for n, want := range sums {
		if got := s.sum(n); got != want {
			s.Errorf("%s has %d, and %d were acknowledged", n, got, want)
		}
	}
	for n, want := range sinks {
		for deadline := time.Now().Add(patience); s.sum(n) < want && time.Now().Before(deadline); {
		}
		if got := s.sum(n); got != want {
			s.Errorf("%s has %d, and %d were sent", n, got, want)
		}
	}
	var ops []porcupine.Operation
	for _, a := range s.done {
		ops = append(ops, porcupine.Operation{ClientId: a.client, Input: a.q, Call: a.call, Output: a.r, Return: a.ret})
	}
	if !porcupine.CheckOperations(counterModel(), ops) {
		s.Error("the answers fit no order in which the commands could have been done")
	}
}

func (s *sweep) sum(n channel.Name) int64 {
	return sumOf(s.settle(question{ID: "look", Channel: n, User: "ann", Body: `{"op":"get"}`}))
}

func sumOf(r result) int64 {
	var v struct{ Sum int64 }
	_ = json.Unmarshal([]byte(r.Body), &v)
	return v.Sum
}

// counterModel is what one channel of the service is to its clients: a sum.
func counterModel() porcupine.Model {
	return porcupine.Model{
		Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
			parts := make(map[channel.Name][]porcupine.Operation)
			for _, o := range history {
				n := o.Input.(question).Channel
				parts[n] = append(parts[n], o)
			}
			var all [][]porcupine.Operation
			for _, p := range parts {
				all = append(all, p)
			}
			return all
		},
		Init: func() any { return int64(0) },
		Step: func(state, input, output any) (bool, any) {
			sum, q, r := state.(int64), input.(question), output.(result)
			if strings.Contains(q.Body, "refuse") {
				return r.Code == 7, sum
			}
			if strings.Contains(q.Body, "add") {
				sum++
			}
			return sumOf(r) == sum, sum
		},
	}
}

// proof replays all channels after the end.
func (s *sweep) proof() {
	store, err := openTruth(s.dir)
	if err != nil {
		s.Fatal(err)
	}
	var rules script
	for i := range sweepChannels {
		for _, n := range []string{"tally:s%d", "tally:sink%d"} {
			_, err = worker.Replay(s.Context(), rules.service("tally"), store, channel.Name(fmt.Sprintf(n, i)))
			if err != nil && !errors.Is(err, context.Canceled) {
				s.Error(err)
			}
		}
	}
	_ = store.Close()
}
