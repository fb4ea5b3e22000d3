package wire

// jsonCodec is JSON in text frames.
type jsonCodec struct{}

func (jsonCodec) AppendRequest(dst []byte, q *Request) []byte { return appendRequest(dst, q, true) }
func (jsonCodec) AppendMessage(dst []byte, m *Message) []byte { return appendMessage(dst, m, true) }
func (jsonCodec) AppendRecord(dst []byte, r *Record) []byte   { return appendRecord(dst, r, true) }

func (jsonCodec) DecodeRequests(b []byte, into []Request) ([]Request, error) {
	r := reader{b: b, json: true}
	return r.requests(into)
}

func (jsonCodec) DecodeMessages(b []byte, into []Message) ([]Message, error) {
	r := reader{b: b, json: true}
	return r.messages(into)
}

// packCodec is MessagePack in binary frames.
type packCodec struct{}

func (packCodec) AppendRequest(dst []byte, q *Request) []byte { return appendRequest(dst, q, false) }
func (packCodec) AppendMessage(dst []byte, m *Message) []byte { return appendMessage(dst, m, false) }
func (packCodec) AppendRecord(dst []byte, r *Record) []byte   { return appendRecord(dst, r, false) }

func (packCodec) DecodeRequests(b []byte, into []Request) ([]Request, error) {
	r := reader{b: b}
	return r.requests(into)
}

func (packCodec) DecodeMessages(b []byte, into []Message) ([]Message, error) {
	r := reader{b: b}
	return r.messages(into)
}
