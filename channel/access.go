package channel

// Rights are what a service lets a user do in one of its channels. Commands need none: the service itself refuses them.
type Rights uint8

// The rights that can be granted one by one.
const (
	Read   Rights = 1 << iota // subscribe, history, presence
	Signal                    // fleeting records, such as typing
)

// Has tells whether all rights of want are among r.
func (r Rights) Has(want Rights) bool { return r&want == want }

// Access is what a service decided about a user in one of its channels. The entry of User "" holds for everybody whom no
// other names; where there is none, nothing is granted. Version is that of the channel when it was decided: an older entry
// never replaces a newer.
type Access struct {
	Channel Name
	User    string
	Rights  Rights
	Version uint64
}
