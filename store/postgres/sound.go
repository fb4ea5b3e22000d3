package postgres

import (
	"sync"

	"carillon/channel"
	"carillon/journal"
)

// sound remembers logs whose head was held against their last record, in two generations so that the bound needs no search.
type sound struct {
	mu          sync.Mutex
	logs, older map[channel.Name]bool
}

func (s *sound) holds(n channel.Name) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.logs[n] || s.older[n]
}

func (s *sound) note(logs map[channel.Name]*logWork) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for n := range logs {
		if s.logs == nil || len(s.logs) >= maxTrusted {
			s.older, s.logs = s.logs, map[channel.Name]bool{}
		}
		s.logs[n] = true
	}
}

// doubt has the heads of changes that failed looked at again.
func (s *sound) doubt(cs []journal.Change) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range cs {
		delete(s.logs, cs[i].Channel)
		delete(s.older, cs[i].Channel)
	}
}
