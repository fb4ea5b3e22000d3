package node

import (
	"fmt"
	"slices"

	"carillon/app"
	"carillon/channel"
)

// services are the applications of this program. Each owns the namespace of its name where a node is told to run it.
func services() []app.Service {
	return []app.Service{}
}

// Services lists the names of all applications there are.
func Services() (names []string) {
	for _, s := range services() {
		names = append(names, s.Name)
	}
	return names
}

// find picks applications by name.
func find(names []string) (found []app.Service, err error) {
	all := services()
	for _, name := range names {
		i := slices.IndexFunc(all, func(s app.Service) bool { return s.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("there is no service %q; there are: %v", name, Services())
		}
		found = append(found, all[i])
	}
	return found, nil
}

// serviceBody is the largest command of a service, in bytes.
const serviceBody = 16 << 10

// withServices lays down what holds in the namespaces that services own: they write the log and say who reads it, and it
// lasts if anything does.
func withServices(plain func(channel.Name) channel.Policy, names []string, lasts bool) func(channel.Name) channel.Policy {
	if len(names) == 0 {
		return plain
	}
	return func(n channel.Name) channel.Policy {
		p := plain(n)
		base, part := n.Part()
		if !slices.Contains(names, base.Namespace()) {
			return p
		}
		p.Guarded = true
		if part == "" {
			p.Service, p.Durable, p.Presence = true, lasts, true
			p.Retention = channel.Keep{}
			p.MaxBody = serviceBody
		}
		return p
	}
}
