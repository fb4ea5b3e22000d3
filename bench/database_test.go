package bench

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

// TestStores: a Postgres that is started answers, what it computes is seen, its children's part too, and it leaves nothing behind.
func TestStores(t *testing.T) {
	bin, err := postgresBin()
	if err != nil || testing.Short() {
		t.Skip("it starts a Postgres: ", err)
	}
	p, err := startPostgres(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	all := &target{postgres: p}
	defer all.stop()
	sum := []string{"-h", "127.0.0.1", "-p", strconv.Itoa(p.port), "-U", "postgres", "-qAtc", "SELECT sum(i) FROM generate_series(1, 1000000) i"}
	if err := build(t.Context(), p.dir, filepath.Join(bin, "psql"), sum...); err != nil {
		t.Fatal(err)
	}
	own, err := probe(p.pid)
	if err != nil {
		t.Fatal(err)
	}
	if _, family := all.stores(); family <= own.CPU { // the sum is the work of a child
		t.Errorf("the processes of Postgres computed %d ns, the first alone %d", family, own.CPU)
	}
	all.stop()
	if _, err := os.Stat(p.dir); !os.IsNotExist(err) {
		t.Errorf("the folder of the database is still there: %v", err)
	}
}
