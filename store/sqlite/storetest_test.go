package sqlite

import (
	"context"
	"testing"

	"carillon/store/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, storetest.Dialect{
		Open: func(dir string, o storetest.Options) (storetest.Store, error) {
			return Open(context.Background(), dir, Options{Clock: o.Clock, Policies: o.Policies, Carry: o.Carry})
		},
		Exec: func(t testing.TB, dir, text string) int {
			changed, err := foreign(t, dir).Exec(text)
			if err != nil {
				t.Fatalf("%s: %v", text, err)
			}
			n, _ := changed.RowsAffected()
			return int(n)
		},
		Count: func(t testing.TB, dir, table string) int { return count(t, foreign(t, dir), table) },
		Bytes: func(hex string) string { return "X'" + hex + "'" },
	})
}
