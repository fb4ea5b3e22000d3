package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"carillon/config"
	"carillon/gateway/auth"
	"carillon/node"
)

// serverFlags are those of dev and serve alike. Each stands for a setting and wins over file and environment.
type serverFlags struct {
	InternalListen string   `placeholder:"HOST:PORT" help:"Where operators and servers connect: health, metrics, server API (default 127.0.0.1:8001)."`
	Data           string   `placeholder:"DIR" help:"Folder for what must last. Without it all is kept in memory and forgotten at the end."`
	Durable        []string `placeholder:"NS" help:"Namespace to keep in --data, unlimited: NS of channels NS:...; may be given several times. Short for --set namespaces.NS.durable=true."`
	Roles          []string `placeholder:"ROLE" help:"What this node does, of gateway, worker and api (default all); less than all takes redis.url, where the nodes meet."`
	LogLevel       string   `enum:",debug,info,warn,error" default:"" placeholder:"LEVEL" help:"Least level of log lines on standard error: debug, info, warn, error (default info)."`
	SecretFile     string   `placeholder:"FILE" help:"File with the secret that signs tokens; as CARILLON_SECRET_FILE."`
	config.Flags
}

// load reads the configuration with the flags over it. What nobody set is taken from ours, then from the defaults.
func (f *serverFlags) load(listen string, ours map[string]string) (*config.Loaded, error) {
	in := f.Sources()
	in.Judge = judge
	for path, value := range map[string]string{
		"listen": listen, "roles": strings.Join(f.Roles, " "), "internal_listen": f.InternalListen, "data": f.Data, "log.level": f.LogLevel,
	} {
		if value != "" {
			in.Flags[path] = value
		}
	}
	for _, ns := range f.Durable {
		in.Flags["namespaces."+ns+".durable"] = "true"
	}
	if f.SecretFile != "" {
		in.Env = append(in.Env, "CARILLON_SECRET_FILE="+f.SecretFile) // the last one counts
	}
	l, err := config.Load(in)
	if err != nil || len(ours) == 0 {
		return l, err
	}
	for path, value := range ours {
		if l.Source(path).Kind == config.FromDefault {
			in.Flags[path] = value
		}
	}
	return config.Load(in)
}

// judge finds what the parts of a node would refuse when they are made.
func judge(c *config.Config) (found []config.Problem) {
	if c.Secret.IsSet() {
		if _, err := auth.SecretKey("", c.Secret.Reveal()); err != nil {
			return []config.Problem{{Key: "secret", Text: "is refused: " + err.Error()}}
		}
	}
	o, err := node.FromConfig(c)
	if err == nil {
		_, err = keysOf(o)
	}
	if err != nil {
		found = append(found, config.Problem{Key: "config", Text: "is refused: " + err.Error()})
	}
	return found
}

// keysOf are the keys that a node with these options checks tokens with; nil if it has none.
func keysOf(o node.Options) (*auth.Keys, error) {
	issuers, err := o.TokenIssuers()
	if err != nil || len(issuers) == 0 {
		return nil, err
	}
	return auth.New(issuers, auth.Options{Now: time.Now})
}

// knowsTokens tells whether there is anybody whose tokens are good.
func knowsTokens(c *config.Config) bool { return c.Secret.IsSet() || len(c.Auth.Issuers) > 0 }

func needTokens(c *config.Config) error {
	if knowsTokens(c) {
		return nil
	}
	return &failure{exitFailed, "there is no secret for tokens: CARILLON_SECRET_FILE is not set, and auth.issuers is empty", makeSecret}
}

// durable lists the namespaces that are kept on disk.
func durable(c *config.Config) (all []string) {
	for _, ns := range slices.Sorted(maps.Keys(c.Namespaces)) {
		if c.Namespaces[ns].Durable {
			all = append(all, ns)
		}
	}
	return all
}

// wrongSettings is the sentence over the problems of a configuration. What is wrong with the command alone is a matter of
// usage.
func wrongSettings(ps config.Problems) *failure {
	f := &failure{exitUsage, "the configuration is refused:", "Every setting, its bound and where its value comes from: carillon config explain"}
	if len(ps) > 1 {
		f.say = fmt.Sprintf("the configuration is refused, for %d reasons:", len(ps))
	}
	for _, p := range ps {
		if p.Source.Kind != config.FromFlag {
			f.code = exitFailed
		}
		switch {
		case p.Key == "secret":
			f.next = makeSecret
		case strings.HasSuffix(p.Key, ".durable"):
			f.next = "Add --data DIR."
		}
	}
	return f
}
