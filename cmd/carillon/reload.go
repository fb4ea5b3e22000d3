package main

import (
	"errors"
	"slices"
	"strings"

	"carillon/config"
)

// reload reads the configuration again. It is taken up as a whole or not at all, and no connection ends for it but those
// whose key is no longer trusted.
func (s *server) reload() {
	next, err := s.load()
	if err != nil {
		s.refuse(err)
		return
	}
	changes, refused := s.differences(next)
	for _, c := range refused {
		s.log.Error("reload refused: "+c.Key+" needs a restart", "from", c.From, "to", c.To, "why", c.Note)
	}
	if len(refused) > 0 {
		s.log.Error("the old configuration goes on", "reasons", len(refused))
		return
	}
	if err := s.node.Reconfigure(&next.Config); err != nil {
		s.refuse(err)
		return
	}
	old := s.loaded
	s.loaded = next
	s.level.Set(levelOf(&next.Config))
	for _, c := range changes {
		s.log.Info("reload: "+c.Key, "from", c.From, "to", c.To, "shows", c.Note)
	}
	s.tellDoubts(old)
	s.log.Info("reloaded", "changes", len(changes))
}

// refuse says why the old configuration goes on.
func (s *server) refuse(err error) {
	var problems config.Problems
	if !errors.As(err, &problems) {
		problems = config.Problems{{Key: "config", Text: err.Error()}}
	}
	for _, p := range problems {
		s.log.Error("reload refused", "setting", p.Key, "at", p.Source.String(), "why", p.Text)
	}
	s.log.Error("the old configuration goes on", "reasons", len(problems))
}

// differences are those of config.Diff, and what this process cannot take up.
func (s *server) differences(next *config.Loaded) (changes, refused []config.Change) {
	changes, refused = config.Diff(&s.loaded.Config, &next.Config)
	if s.dev && !knowsTokens(&s.loaded.Config) && knowsTokens(&next.Config) {
		refused = append(refused, config.Change{Key: "secret", From: "not set", To: "set", Note: "dev was started without keys, and so checks no tokens"})
	}
	return changes, refused
}

// tellDoubts says what is doubtful about the configuration in force and was not about an earlier one.
func (s *server) tellDoubts(before *config.Loaded) {
	for _, d := range s.loaded.Doubts {
		known := before != nil && slices.ContainsFunc(before.Doubts, func(p config.Problem) bool { return p.Key == d.Key && p.Text == d.Text })
		switch {
		case known || s.dev && d.Key == "secret" && !s.loaded.Config.Secret.IsSet():
		case s.dev && before == nil:
			s.console.note("warning: %s", d)
		default:
			text, advice, _ := strings.Cut(d.Text, ": ") // apart, or a path that ends in "secret" would seem to tell one
			s.log.Warn("doubtful: "+d.Key+" "+text, "at", d.Source.String(), "advice", advice)
		}
	}
}
