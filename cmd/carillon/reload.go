package main

import (
	"slices"

	"carillon/config"
)

// reload reads the configuration again. It is taken up as a whole or not at all, and no connection ends for it but those
// whose key is no longer trusted.
func (s *server) reload() {
	next, err := s.load()
	if err != nil {
		for _, text := range problemsIn(err) {
			s.log.Error("reload refused", "why", text)
		}
		s.log.Error("the old configuration goes on", "reasons", len(problemsIn(err)))
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
		s.log.Error("reload refused", "why", err.Error())
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
			s.log.Warn(d.String())
		}
	}
}
