package main

import (
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
)

type versionCommand struct {
	JSON bool `name:"json" help:"One JSON object."`
}

// Help is shown by --help.
func (versionCommand) Help() string {
	return `Examples:

	carillon version
	carillon version --json`
}

// build is what is known of this binary.
type build struct {
	Version  string `json:"version"`
	Commit   string `json:"commit,omitempty"`
	Modified bool   `json:"modified,omitempty"` // built from a tree with changes beside the commit
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func readBuild() build {
	b := build{Version: version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				b.Commit = s.Value
			case "vcs.modified":
				b.Modified = s.Value == "true"
			}
		}
	}
	return b
}

// Run is called by kong.
func (v *versionCommand) Run(c *console) error {
	b := readBuild()
	if v.JSON {
		return json.NewEncoder(c.out).Encode(b)
	}
	parts := []string{b.Go, b.Platform}
	if b.Commit != "" {
		commit := "commit " + b.Commit[:min(len(b.Commit), 12)]
		if b.Modified {
			commit += " and changes"
		}
		parts = append([]string{commit}, parts...)
	}
	fmt.Fprintf(c.out, "carillon %s (%s)\n", b.Version, strings.Join(parts, ", "))
	return nil
}
