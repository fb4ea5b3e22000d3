package wire

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"
)

func seed(f *testing.F, which int, files ...string) {
	for _, file := range files {
		for _, v := range readVectors(f, file) {
			if frame := v.frames(f)[which]; len(frame) < 2048 {
				f.Add(frame)
			}
		}
	}
}

func FuzzDecodeRequestsJSON(f *testing.F) {
	seed(f, 0, "requests.json", "refused.json")
	f.Fuzz(func(t *testing.T, frame []byte) {
		fuzzRequests(t, Protocols()[0], frame)
		// What we read, the standard library reads too; it is less strict, so not the reverse.
		if _, err := JSON.DecodeRequests(frame, nil); err == nil && !json.Valid(frame) {
			t.Fatal("this is no JSON, and was read")
		}
	})
}

func FuzzDecodeRequestsMsgpack(f *testing.F) {
	seed(f, 1, "requests.json", "refused.json")
	f.Fuzz(func(t *testing.T, frame []byte) { fuzzRequests(t, Protocols()[1], frame) })
}

// fuzzRequests: nothing panics or allocates too much; what is read can be written in both formats and read back as the
// same, and then the bytes stay the same.
func fuzzRequests(t *testing.T, p Protocol, frame []byte) {
	before := bytes.Clone(frame)
	into := make([]Request, 0, MaxBatch)
	// An id of presence takes two bytes in a frame, and a string's head in memory.
	most := allowance(len(frame))
	if bytes.Contains(frame, []byte("users")) {
		most += 8 * uint64(len(frame))
	}
	if got := allocated(func() { _, _ = p.Codec.DecodeRequests(frame, into) }); got > most {
		t.Fatalf("%d bytes allocated for %d", got, len(frame))
	}
	rs, err := p.Codec.DecodeRequests(frame, into)
	if !bytes.Equal(frame, before) {
		t.Fatal("the frame was changed")
	}
	if err != nil {
		if e := AsError(err); e.Code == CodeInternal || e.Text == "" {
			t.Fatalf("%#v", e)
		}
		return
	}
	for _, other := range Protocols() {
		once := other.AppendRequests(nil, rs)
		again, err := other.Codec.DecodeRequests(once, nil)
		if err != nil {
			t.Fatalf("%s: %q: %v", other.Name, once, err)
		}
		if !reflect.DeepEqual(rs, again) {
			t.Fatalf("%s: %+v became %+v", other.Name, rs, again)
		}
		if twice := other.AppendRequests(nil, again); !bytes.Equal(once, twice) {
			t.Fatalf("%s: %q became %q", other.Name, once, twice)
		}
	}
}

func FuzzDecodeMessagesJSON(f *testing.F) {
	seed(f, 0, "messages.json")
	f.Fuzz(func(t *testing.T, frame []byte) { fuzzMessages(t, Protocols()[0], frame) })
}

func FuzzDecodeMessagesMsgpack(f *testing.F) {
	seed(f, 1, "messages.json")
	f.Fuzz(func(t *testing.T, frame []byte) { fuzzMessages(t, Protocols()[1], frame) })
}

func fuzzMessages(t *testing.T, p Protocol, frame []byte) {
	into := make([]Message, 0, MaxBatch)
	// A record in a page may be an empty map: the records are counted apart, and so is who is present.
	if got := allocated(func() { _, _ = p.Codec.DecodeMessages(frame, into) }); got > allowance(len(frame))+itemBytes(p, frame) {
		t.Fatalf("%d bytes allocated for %d", got, len(frame))
	}
	ms, err := p.Codec.DecodeMessages(frame, into)
	if err != nil {
		return
	}
	for _, other := range Protocols() {
		once := other.AppendMessages(nil, ms)
		again, err := other.Codec.DecodeMessages(once, nil)
		if err != nil {
			t.Fatalf("%s: %q: %v", other.Name, once, err)
		}
		if !reflect.DeepEqual(ms, again) {
			t.Fatalf("%s: %+v became %+v", other.Name, ms, again)
		}
		if twice := other.AppendMessages(nil, again); !bytes.Equal(once, twice) {
			t.Fatalf("%s: %q became %q", other.Name, once, twice)
		}
	}
}

func itemBytes(p Protocol, frame []byte) (bytes uint64) {
	ms, _ := p.Codec.DecodeMessages(frame, nil)
	size := func(n int, t reflect.Type) { bytes += uint64(n) * uint64(t.Size()) }
	for i := range ms {
		size(len(ms[i].Page.Records)+len(ms[i].Table.Records), reflect.TypeFor[Record]())
		if p := ms[i].Presence; p != nil {
			size(1, reflect.TypeFor[Presence]())
			size(len(p.Members), reflect.TypeFor[Member]())
			size(len(p.Seen), reflect.TypeFor[Seen]())
		}
	}
	return bytes
}
