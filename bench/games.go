package bench

import (
	_ "embed" // games.txt
	"strings"
)

// gamesText holds a game a line, in UCI. It is made by its test, from a seed.
//
//go:embed games.txt
var gamesText string

// games takes the text apart.
func games() (all [][]string) {
	for line := range strings.Lines(gamesText) {
		all = append(all, strings.Fields(line))
	}
	return all
}
