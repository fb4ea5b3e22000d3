package backbone

import (
	"errors"
	"hash/fnv"
	"strconv"

	"carillon/channel"
)

const (
	// Partitions is into how many parts keys fall; one part lies on one node of a Cluster. It can never change: the names of
	// all keys hang on it.
	Partitions = 128
	// DefaultPrefix is what keys begin with unless told otherwise.
	DefaultPrefix = "carillon"

	maxPrefix = 64
	slots     = 16384 // of a Redis Cluster
)

// tags has a short text for each partition. Redis Cluster places a key by the CRC16 of what stands between its braces: the
// tag of partition p falls into the p-th of 128 equal parts of the slots, so nodes with equal shares of slots get equal
// shares of partitions.
var tags = func() (t [Partitions]string) {
	for n, found := 0, 0; found < Partitions; n++ {
		tag := strconv.FormatInt(int64(n), 36)
		if p := slot(tag) / (slots / Partitions); t[p] == "" {
			t[p] = tag
			found++
		}
	}
	return t
}()

// slot is CRC16 (XMODEM) modulo the slots, as the Redis Cluster specification has it.
func slot(tag string) int {
	var crc uint16
	for i := range len(tag) {
		crc ^= uint16(tag[i]) << 8
		for range 8 {
			if crc&0x8000 != 0 {
				crc = crc<<1 ^ 0x1021
			} else {
				crc <<= 1
			}
		}
	}
	return int(crc) % slots
}

// Partition is the partition of a channel, from 0: a pure function of its name.
func Partition(n channel.Name) int { return partition(string(n)) }

func partition(s string) int {
	h := fnv.New64a()
	_, _ = h.Write([]byte(s))
	sum := h.Sum64()
	return int((sum ^ sum>>32) % Partitions)
}

// Key names what is kept of a kind about a channel: PREFIX:{TAG}:KIND:NAME. A kind is a word of the program, never of a client.
func (b *Backbone) Key(kind string, n channel.Name) string {
	return b.begin(Partition(n)) + kind + ":" + escape(string(n))
}

// Subject is where the records of a channel are published: with PUBLISH, on a Cluster with SPUBLISH.
func (b *Backbone) Subject(n channel.Name) string { return b.Key("on", n) }

// ShardKey names what is kept of a kind about a shard of a service: PREFIX:{TAG}:KIND/SERVICE/SHARD. All kinds of one shard
// have one tag.
func (b *Backbone) ShardKey(kind, service string, shard int) string {
	number := strconv.Itoa(shard)
	return b.begin(partition(service+"/"+number)) + kind + "/" + escape(service) + "/" + number
}

// PartitionKey names what is kept of a kind about a whole partition: PREFIX:{TAG}:KIND/PARTITION.
func (b *Backbone) PartitionKey(kind string, partition int) string {
	return b.begin(partition) + kind + "/" + strconv.Itoa(partition)
}

// EntryKey names what is kept of a kind about a Latest record, for other programs to find: PREFIX:KIND:{NAME}:KEY. All kinds
// of one record, and all keys of one channel, have one tag.
func (b *Backbone) EntryKey(kind string, n channel.Name, key string) string {
	return b.prefix + ":" + kind + ":{" + string(n) + "}:" + escape(key)
}

// NodeKey names what is kept of a kind about a node, such as its inbox: PREFIX:{TAG}:KIND//NODE.
func (b *Backbone) NodeKey(kind, node string) string {
	return b.begin(partition(node)) + kind + "//" + escape(node)
}

func (b *Backbone) begin(partition int) string { return b.prefix + ":{" + tags[partition] + "}:" }

// checkPrefix keeps out what would make another tag of a key, or read badly.
func checkPrefix(prefix string) error {
	if len(prefix) > maxPrefix || escape(prefix) != prefix {
		return errors.New("the prefix of keys has 1 to 64 of A-Z a-z 0-9 _ . : @ -")
	}
	return nil
}

// escape writes every byte that no channel name has as %XX. Names of channels stay as they are.
func escape(s string) string {
	clean := true
	for i := range len(s) {
		clean = clean && plain(s[i])
	}
	if clean {
		return s
	}
	const digits = "0123456789ABCDEF"
	out := make([]byte, 0, 3*len(s))
	for i := range len(s) {
		if c := s[i]; plain(c) {
			out = append(out, c)
		} else {
			out = append(out, '%', digits[c>>4], digits[c&15])
		}
	}
	return string(out)
}

func plain(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return true
	}
	return c == '_' || c == '.' || c == ':' || c == '@' || c == '-'
}
