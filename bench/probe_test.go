package bench

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What others on the same hardware took is read as the kernel writes it, and who reads the figures is told.
func TestStolen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "stat")
	for text, want := range map[string]int64{
		"cpu  10 20 30 40 50 60 70 250 0 0\ncpu0 1 2 3 4 5 6 7 8 0 0\n": 2_500_000_000,
		"cpu  10 20 30 40\n": 0,
		"":                   0,
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := stolen(path); err != nil || got != want {
			t.Errorf("%q: %d ns, %v, want %d", text, got, err, want)
		}
	}
	for taken, told := range map[float64]bool{0: false, 0.01: false, 0.4: true} {
		var out bytes.Buffer
		r := Result{Phases: []*Phase{{Name: "chess", Machine: Machine{Stolen: taken}}}}
		if err := r.WriteText(&out); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(out.String(), "taken by others") != told {
			t.Errorf("%.2f cores: %s", taken, &out)
		}
	}
}
