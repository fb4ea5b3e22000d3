package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"carillon/bus/redis"
	"carillon/channel"
)

// Settings that decide in which journal records of a channel become true. Nodes that differ in one would each write a log
// of their own, so they do not run side by side. The names stand in Redis and never get another meaning.
const (
	agreeDatabase = "postgres" // the epoch of the journal in it: addresses of one database may differ
	agreeDurable  = "durable"  // namespaces that last
	agreeServices = "services" // namespaces that are written by their service alone
)

// agreed is how people know them, and what they may do about it; in the order in which they are told.
var agreed = []struct{ name, known string }{
	{agreeDatabase, "database (postgres.url)"},
	{agreeServices, "services"},
	{agreeDurable, "durable namespaces (namespaces.NAME.durable)"},
}

// terms are the settings of a node that others must share, by name.
type terms map[string]string

// agreement is what this node and the others say of such settings. A build that knows a setting less says nothing of it,
// and one from before there was any of this says nothing at all: that is no difference.
type agreement struct {
	said *redis.Terms
	own  terms
	text string // own, as others read it

	mu     sync.Mutex
	differ error    // with nodes that live
	known  []string // texts of others, of which the log told
}

// agree compares the settings of this node with those of the others, and refuses what would write one channel into two
// journals. Who differs and said so just now may have ended since: that is waited for.
func (n *Node) agree(ctx context.Context) error {
	over := n.hints.redis
	if over == nil {
		return nil
	}
	a := &over.agreement
	a.said = redis.NewTerms(over.backbone)
	if err := n.terms(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, sharedTimeout)
	defer cancel()
	first := map[string]int64{} // by text: when it was said, as it was met first
	var known []string
	for {
		entered, others, err := a.said.Enter(ctx, n.o.Name, a.text, known)
		if entered {
			n.differs(others)
			return nil
		}
		known = known[:0]
		for _, other := range others {
			wrong := a.compare(other)
			switch at, met := first[other.Text]; {
			case wrong == nil || n.o.AllowMixed && !errors.Is(wrong, errDatabase):
				known = append(known, other.Text)
			case met && other.Said > at:
				return wrong
			case !met:
				first[other.Text] = other.Said
				n.log.Warn("another node has other settings, or had them before it ended: waiting to see whether it lives", "cause", wrong)
			}
		}
		if err == nil && len(known) == len(others) {
			continue // they are known now
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the settings of the other nodes cannot be read from Redis: %w", errors.Join(err, ctx.Err()))
		case <-time.After(sharedPause):
		}
	}
}

// terms writes down what this node says of itself.
func (n *Node) terms(ctx context.Context) error {
	a := &n.hints.redis.agreement
	services := slices.Sorted(slices.Values(n.o.Services))
	a.own = terms{agreeDatabase: "none", agreeServices: list(slices.Compact(services)), agreeDurable: n.o.lasting()}
	if n.o.Postgres != "" {
		heads, err := n.truth.lasting.Heads(ctx, []channel.Name{channel.Sys})
		if err != nil {
			return fmt.Errorf("postgres.url: %w", err)
		}
		a.own[agreeDatabase] = fmt.Sprintf("%016x", heads[0].Epoch)
	}
	text, err := json.Marshal(a.own) // its keys are in order
	a.text = string(text)
	return err
}

// lasting names the namespaces that are kept for good because somebody said so, always in the same words. Those of services
// are kept wherever anything is.
func (o *Options) lasting() string {
	durable, rest := slices.Clone(o.Durable), false
	if o.namespaces != nil {
		durable = nil
		all := *o.namespaces.byName.Load()
		rest = all[anyNamespace].Durable
		for name, p := range all {
			if name != anyNamespace && p.Durable != rest {
				durable = append(durable, name)
			}
		}
	}
	durable = slices.DeleteFunc(durable, func(name string) bool { return slices.Contains(o.Services, name) })
	slices.Sort(durable)
	if text := list(slices.Compact(durable)); !rest {
		return text
	} else if len(durable) > 0 {
		return "all but " + text
	}
	return "all"
}

func list(names []string) string { return "[" + strings.Join(names, " ") + "]" }

// errDatabase: nodes that share a Redis and no database never belong together.
var errDatabase = errors.New("they must share one database")

// compare tells what is wrong between this node and others that live on some terms; nil: they go together.
func (a *agreement) compare(other redis.Term) error {
	var theirs terms
	if json.Unmarshal([]byte(other.Text), &theirs) != nil {
		return nil // nothing that a build ever said
	}
	var wrong []string
	for _, s := range agreed {
		if mine, yours := a.own[s.name], theirs[s.name]; yours != "" && mine != yours {
			wrong = append(wrong, fmt.Sprintf("the same %s: this one has %s, node %q has %s", s.known, mine, other.Node, yours))
		}
	}
	if len(wrong) == 0 {
		return nil
	}
	err := errors.New("all nodes of a cluster need " + strings.Join(wrong, "; and ") + "; stop that one first, or change this one")
	if theirs[agreeDatabase] != "" && a.own[agreeDatabase] != theirs[agreeDatabase] {
		err = fmt.Errorf("%w (%w)", err, errDatabase)
	}
	return err
}

// keepTerms says on which terms this node lives, until stop, and hears of others.
func (n *Node) keepTerms(stop <-chan struct{}) {
	a := &n.hints.redis.agreement
	ticker := time.NewTicker(redis.TermsEvery)
	defer ticker.Stop()
	for {
		select {
		case <-stop:
			return
		case <-ticker.C:
		}
		if others, err := a.said.Say(context.Background(), n.o.Name, a.text); err == nil {
			n.differs(others)
		}
	}
}

// differs notes whether nodes with other settings live beside this one, and has the log tell of each once. They met because
// somebody allowed it, or because one of them was frozen while the other came.
func (n *Node) differs(others []redis.Term) {
	a := &n.hints.redis.agreement
	var wrong, news []error
	var known []string
	a.mu.Lock()
	for _, other := range others {
		err := a.compare(other)
		if err == nil {
			continue
		}
		wrong, known = append(wrong, err), append(known, other.Text)
		if !slices.Contains(a.known, other.Text) {
			news = append(news, err)
		}
	}
	a.differ, a.known = errors.Join(wrong...), known
	a.mu.Unlock()
	for _, err := range news {
		n.log.Error("a node with other settings runs beside this one", "cause", err)
	}
}

// check tells how the other nodes differ; nil: they do not.
func (a *agreement) check() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.differ
}
