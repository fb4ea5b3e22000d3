package config

import (
	"fmt"
	"reflect"
	"strings"
)

// durableDefault is the source of what a durable namespace keeps when nobody said how much.
const durableDefault = "default of a durable namespace"

// inherit gives every namespace what its entry leaves out: from the default entry. What a durable namespace keeps is
// not inherited from one that is not durable: nobody loses a record to a bound that was meant for another kind of log.
func (l *loader) inherit() {
	table := part(tree, "namespaces")
	spaces := reflect.ValueOf(l.out.Config.Namespaces)
	common := reflect.New(spaces.Type().Elem()).Elem()
	common.Set(spaces.MapIndex(reflect.ValueOf(defaultEntry)))
	for _, name := range names(spaces) { // the default entry is the first
		entry := reflect.New(spaces.Type().Elem()).Elem()
		entry.Set(spaces.MapIndex(reflect.ValueOf(name)))
		l.complete(table, entry, common, name)
		spaces.SetMapIndex(reflect.ValueOf(name), entry)
		if name == defaultEntry {
			common.Set(entry)
		}
	}
}

func (l *loader) complete(table *spec, entry, common reflect.Value, name string) {
	durable := l.isDurable(name)
	alike := durable == l.isDurable(defaultEntry)
	for _, k := range table.leaves() {
		path, from := join("namespaces", name)+"."+k, "namespaces."+defaultEntry+"."+k
		if _, set := l.out.sources[path]; set {
			continue
		}
		source, inherited := l.out.sources[from]
		_, v := find(table.parts, entry, k)
		_, theirs := find(table.parts, common, k)
		switch {
		case durable && strings.HasPrefix(k, "retention.") && (!alike || !inherited):
			v.SetZero()
			l.out.sources[path] = Source{Name: durableDefault}
		case inherited && name != defaultEntry:
			v.Set(theirs)
			l.out.sources[path] = source
		}
	}
}

// isDurable is asked before entries are complete.
func (l *loader) isDurable(name string) bool {
	if _, set := l.out.sources["namespaces."+name+".durable"]; set {
		return l.out.Config.Namespaces[name].Durable
	}
	return l.out.Config.Namespaces[defaultEntry].Durable
}

// judge looks at settings together. What concerns a setting that is wrong by itself is left for the next time.
func (l *loader) judge() {
	c := &l.out.Config
	l.judgeListeners(c)
	l.judgeTLS(c)
	l.judgeNamespaces(c)
	l.judgeCluster(c)
	l.judgeAuth(c)
	l.judgeServerKeys(c)
	if c.Drain.Window > c.Drain.Timeout {
		l.refuse([]string{"drain.window", "drain.timeout"}, "is longer than drain.timeout, %s: clients would be cut before their turn", formatSpan(c.Drain.Timeout))
	}
	if len(c.Origins) > 1 && contains(c.Origins, "*") {
		l.refuse([]string{"origins"}, "holds * and others: * alone lets every page in")
	} else if contains(c.Origins, "*") {
		l.doubt("origins", "lets every web page in: name those that should")
	}
}

// refuse blames the first of some settings, unless one of them is blamed already. The others are those it fits badly
// with, or what it belongs to.
func (l *loader) refuse(keys []string, format string, args ...any) {
	for _, k := range keys {
		for _, p := range l.problems {
			if p.Key == k || strings.HasPrefix(p.Key, k+"[") {
				return
			}
		}
	}
	l.fail(keys[0], l.placeOf(keys), format, args...)
}

// placeOf is where the first of some settings was set that was set at all.
func (l *loader) placeOf(keys []string) Source {
	for _, k := range keys {
		if at := l.out.sources[k]; at.Kind != FromDefault {
			return at
		}
	}
	return Source{}
}

func (l *loader) judgeListeners(c *Config) {
	if _, port, _ := cutPort(c.Listen); c.Listen == c.InternalListen && port != "0" {
		l.refuse([]string{"internal_listen", "listen"}, "is the same as listen: choose another port")
	}
	if !isLoopback(c.InternalListen) {
		l.doubt("internal_listen", "can be reached from other machines, with profiles and metrics open to all of them: use 127.0.0.1, or a network that only operators reach")
	}
	if !isLoopback(c.Listen) && c.TLS.Cert == "" && len(c.TrustedProxies) == 0 {
		l.doubt("listen", "can be reached from other machines without encryption: set tls.cert and tls.key, or put a proxy in front that encrypts and name it in trusted_proxies")
	}
}

func (l *loader) judgeTLS(c *Config) {
	switch {
	case c.TLS.Cert != "" && c.TLS.Key == "":
		l.refuse([]string{"tls.key", "tls.cert"}, "is missing beside tls.cert: name the file with the private key")
	case c.TLS.Cert == "" && c.TLS.Key != "":
		l.refuse([]string{"tls.cert", "tls.key"}, "is missing beside tls.key: name the file with the certificate")
	}
}

func (l *loader) judgeNamespaces(c *Config) {
	for _, name := range names(reflect.ValueOf(c.Namespaces)) {
		n, path := c.Namespaces[name], "namespaces."+name
		if n.Durable && c.Data == "" && !c.Postgres.URL.IsSet() && c.Redis.URL == "" {
			l.refuse([]string{path + ".durable", "data"}, "needs a folder to keep records in: set data, or postgres.url")
		}
		if !n.Durable && n.Retention.Records == 0 && n.Retention.Bytes == 0 {
			l.refuse([]string{path + ".retention.records", path + ".retention.bytes", path + ".durable"}, "has no bound, and neither has retention.bytes: a log in memory needs one of them")
		}
		if n.MaxBody > c.Limits.Frame {
			l.refuse([]string{path + ".max_body", "limits.frame"}, "is more than limits.frame, %s: no such body could arrive", c.Limits.Frame)
		}
		if n.Ring.Bytes < n.MaxBody {
			l.doubt(path+".ring.bytes", "is less than max_body, %s: one large record could push all others out", n.MaxBody)
		}
		if n.Ring.Bytes > c.Limits.Memory {
			l.refuse([]string{path + ".ring.bytes", "limits.memory"}, "is more than limits.memory, %s, which all rings share", c.Limits.Memory)
		}
	}
}

func (l *loader) judgeServerKeys(c *Config) {
	seen := map[string]int{}
	for i, k := range c.ServerKeys {
		path := fmt.Sprintf("server_keys[%d]", i)
		if !k.Key.IsSet() {
			l.refuse([]string{path + ".key", path}, "is missing: write key_file: PATH")
		}
		if first, twice := seen[k.Name]; twice {
			l.refuse([]string{path + ".name"}, "is that of server_keys[%d] too: the log could not tell them apart", first)
		}
		seen[k.Name] = i
		for j := range i {
			if k.Key.IsSet() && k.Key.Equal(c.ServerKeys[j].Key) {
				l.refuse([]string{path + ".key"}, "is the same as that of server_keys[%d]: make one for each", j)
			}
		}
	}
}

// judgeFiles looks at the files that the configuration names, not into them.
func (l *loader) judgeFiles() {
	for _, f := range filesOf(&l.out.Config) {
		if f.Err != nil {
			l.refuse([]string{f.Key}, "cannot be read: %s: %s", f.Path, f.Err)
			continue
		}
		for _, found := range examineSecrets([]FileFact{f}) {
			if found.Verdict != OK {
				l.doubt(f.Key, "%s", strings.TrimPrefix(found.Text, f.Key+": "))
			}
		}
	}
}

func contains(all []string, one string) bool {
	for _, s := range all {
		if s == one {
			return true
		}
	}
	return false
}
