package channel

// Channels of the server itself.
const (
	All Name = "@all" // announcements to every connection
	Sys Name = "@sys" // what nodes tell each other, such as revocations; no client reads it
)
