package sqlite

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"

	"carillon/journal"
)

// present knows which file the store writes to. A database that is deleted or replaced under a running server goes on
// taking commits, into a file that nobody will find again: so each commit is held against what stands at its path.
type present struct {
	path  string
	log   string
	tell  func(error) // Options.Trouble
	mu    sync.Mutex
	file  syscall.Stat_t // of the database as it was opened
	wrong bool           // as told last
}

// errGone is wrapped by what is said of a database that is not where it was.
var errGone = errors.New("the database was deleted, moved or replaced while the server runs")

// note remembers which file was opened.
func (p *present) note(path string, tell func(error)) error {
	p.path, p.log, p.tell = path, path+"-wal", tell
	return stat(path, &p.file)
}

// check tells whether what is committed now will be found by the next server, and tells it on when that has changed.
// committed says that the log file must be there too.
func (p *present) check(committed bool) error {
	err := p.look(committed)
	p.mu.Lock()
	changed := p.wrong != (err != nil)
	p.wrong = err != nil
	p.mu.Unlock()
	if changed && p.tell != nil {
		p.tell(err)
	}
	return err
}

func (p *present) look(committed bool) error {
	if p.path == "" {
		return nil // in memory
	}
	var now, log syscall.Stat_t
	err := stat(p.path, &now)
	if err == nil && committed {
		err = stat(p.log, &log)
	}
	switch {
	case err == nil && now.Dev == p.file.Dev && now.Ino == p.file.Ino:
		return nil
	case err == nil:
		err = errors.New("there is another file in its place")
	}
	return fmt.Errorf("%w (%s): %w; stop the server, put the data folder back or restore it from a backup, and start again",
		errGone, p.path, err)
}

// stat is os.Stat without its garbage: it is asked three times a commit.
func stat(path string, into *syscall.Stat_t) error {
	err := syscall.Stat(path, into)
	for err == syscall.EINTR {
		err = syscall.Stat(path, into)
	}
	if err != nil {
		return &os.PathError{Op: "stat", Path: path, Err: err}
	}
	return nil
}

// Present is an error that says what to do if the database is not where it was opened.
func (s *Store) Present() error { return s.present.check(false) }

// withdrawn is what publishers are told of a database that is gone: certain tells that nothing was written to it.
func withdrawn(err error, certain bool) error {
	if certain {
		return fmt.Errorf("%w: %w", journal.ErrClosed, err)
	}
	return fmt.Errorf("%w: %w", journal.ErrUnconfirmed, err)
}
