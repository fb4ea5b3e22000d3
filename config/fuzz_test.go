package config

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"
)

// FuzzLoad: whatever a file holds, it is taken or refused with reasons that name a setting and hold no secret.
func FuzzLoad(f *testing.F) {
	for _, r := range refusals {
		f.Add([]byte(r.text))
	}
	f.Add([]byte(wholeExample))
	var defaults bytes.Buffer
	_ = WriteDefault(&defaults)
	f.Add(defaults.Bytes())
	f.Add([]byte("a: &a [*a]\n"))
	f.Add([]byte("{\"listen\": \":1\"}"))
	f.Fuzz(func(t *testing.T, text []byte) {
		l, err := Load(Sources{File: "c.yaml", ReadFile: func(path string) ([]byte, error) {
			if path == "c.yaml" {
				return text, nil
			}
			if strings.HasSuffix(path, "s") {
				return []byte(canary(6)), nil
			}
			return nil, os.ErrNotExist
		}})
		var seen bytes.Buffer
		if err == nil {
			if _, err := l.Explain(&seen, ""); err != nil {
				t.Fatal(err)
			}
			if changes, refused := Diff(&l.Config, &l.Config); len(changes)+len(refused) > 0 {
				t.Fatalf("differs from itself: %v %v", changes, refused)
			}
			for name, n := range l.Config.Namespaces {
				if p := n.Policy(); p.MaxBody <= 0 || p.Ring.Records <= 0 || p.Ring.Bytes <= 0 {
					t.Fatalf("namespace %q promises %+v", name, p)
				}
			}
		} else {
			var ps Problems
			if !errors.As(err, &ps) || len(ps) == 0 {
				t.Fatalf("%T", err)
			}
			for _, p := range ps {
				if p.Key == "" || p.Text == "" || strings.ContainsAny(p.String(), "\n\r\x00\x1b") {
					t.Fatalf("%+v", p)
				}
			}
			seen.WriteString(err.Error())
		}
		if strings.Contains(seen.String(), "QzX8vT4mWk1rB7hJ2yPd5sLf9") && !bytes.Contains(text, []byte("QzX8")) {
			t.Fatal("a secret is shown")
		}
	})
}
