package wire

import "carillon/channel"

// maxEpoch bounds Table.Epoch in bytes.
const maxEpoch = 64

// list takes an array of maps. It is walked twice: once to know how many there are, which room is told if there are any,
// since the count decides the one allocation; then take gets them one by one.
func (f *fields) list(k key, room func(count int), take func(i int, sub *fields)) {
	if !f.has(k) {
		return
	}
	v := &f.v[k]
	if v.kind != array {
		f.refuse(CodeBadRequest, "%s must be an array.", keyNames[k])
		return
	}
	for fill := range 2 {
		r := reader{b: f.raw(v), json: f.json}
		sub := fields{json: f.json, n: allKeys}
		count := 0
		for ok := r.begin(); ok && r.more(count); count++ {
			if ok = r.message(&sub, messageKey); ok && fill == 1 {
				take(count, &sub)
			}
		}
		if !r.end() {
			f.refuse(CodeBadRequest, "%s: %s", keyNames[k], r.err().Text)
			return
		}
		f.inherit(&sub)
		if count == 0 {
			return
		}
		if fill == 0 {
			room(count)
		}
	}
}

// texts takes an array of 1 to most strings of 1 to each bytes.
func (f *fields) texts(k key, most, each int) []string {
	v := &f.v[k]
	if v.kind != array {
		f.refuse(CodeBadRequest, "%s must be an array.", keyNames[k])
		return nil
	}
	// Every string is one field of its own, read under the name of the array.
	sub := fields{b: f.raw(v), json: f.json}
	r := reader{b: sub.b, json: f.json}
	out := make([]string, 0, min(most, len(r.b)/2)) // two bytes hold the least string
	n := 0
	for ok := r.begin(); ok && n <= most && r.more(n); n++ {
		sub.v[k] = value{}
		if ok = r.field(&sub.v[k], k); !ok {
			break
		}
		if s := sub.sized(k, each); s != "" && n < most {
			out = append(out, s)
		}
	}
	if n == 0 || len(out) != n {
		f.refuse(CodeBadRequest, "%s must be an array of 1 to %d strings of 1 to %d bytes.", keyNames[k], most, each)
		return nil
	}
	return out
}

// table takes the records of a `latest` message.
func (f *fields) table(n channel.Name) (out []Record) {
	f.list(keyRecords, func(count int) { out = make([]Record, count) }, func(i int, sub *fields) {
		r := &out[i]
		r.Channel, r.Class, r.Key, r.Rev = n, channel.Latest, string(sub.str(keyKey)), sub.number(keyRev)
		r.Time, r.From = sub.moment(keyTime), string(sub.str(keyUser))
		r.Body, r.Binary = sub.body()
	})
	return out
}

func (f *fields) presence() *Presence {
	p := new(Presence)
	if f.list(keySeen, func(count int) { p.Seen = make([]Seen, count) }, func(i int, sub *fields) {
		p.Seen[i] = Seen{User: string(sub.str(keyUser)), Online: sub.boolean(keyOnline, false), Last: sub.moment(keyLast)}
	}); p.Seen != nil {
		return p
	}
	p.Count, p.More = int(f.number(keyCount)), f.boolean(keyMore, false)
	f.list(keyMembers, func(count int) { p.Members = make([]Member, count) }, func(i int, sub *fields) {
		p.Members[i] = Member{User: string(sub.str(keyUser)), Since: sub.moment(keySince)}
	})
	return p
}
