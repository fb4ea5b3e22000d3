package api

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"

	"carillon/channel"
	"carillon/journal"
	"carillon/wire"
)

// oldest stands for a position before the oldest record kept.
const oldest = "oldest"

// pageQuery is which page is asked for. Back pages are told newest first.
type pageQuery struct {
	journal.Query
	cursor bool // it begins at a place that was named
}

// pageNames may stand in the query of a page.
const pageNames = "limit before after"

func (q query) page() (pq pageQuery, err error) {
	if pq.Limit, err = q.limit(wire.MaxPage, wire.PageLimit); err != nil {
		return pq, err
	}
	before, after := q.get("before"), q.get("after")
	switch {
	case before != "" && after != "":
		return pq, bad("before and after exclude each other.")
	case after == oldest:
		pq.cursor = true
	case after != "":
		pq.cursor = true
		pq.After, err = q.position("after")
	default:
		pq.Back, pq.cursor = true, before != ""
		pq.After, err = q.position("before")
	}
	return pq, err
}

// history answers with a page.
func (c *call) history(from Reader, n channel.Name) error {
	q, err := c.query.page()
	if err != nil {
		return err
	}
	p, err := from.Read(c.ctx(), n, q.Query)
	if err != nil {
		return err
	}
	body, size := appendPage(nil, n, q, &p)
	if !closed(q, &p) {
		c.answer(body)
		return nil
	}
	h := c.w.Header()
	tag := etag(body[:size])
	h.Set("ETag", tag)
	h.Set("Cache-Control", "private, max-age="+strconv.Itoa(closedMaxAge))
	h.Add("Vary", "Authorization")
	if matches(c.r.Header.Values("If-None-Match"), tag) {
		c.send(http.StatusNotModified, "", nil)
		return nil
	}
	c.answer(body)
	return nil
}

// closed tells pages that only an erasure, or the end of the log as a whole, can still change: neither end of them touches
// one that moves.
func closed(q pageQuery, p *journal.Page) bool {
	switch {
	case !q.cursor || p.Gap != channel.GapNone || len(p.Records) == 0:
		return false
	case q.Back:
		return p.More || p.Base.Offset == 0
	default: // a log without a named beginning begins elsewhere when it is trimmed
		return p.More && !q.After.IsZero()
	}
}

// appendPage writes a page. What stands in front of size is the same whenever the page is read; the head behind it moves.
func appendPage(dst []byte, n channel.Name, q pageQuery, p *journal.Page) (body []byte, size int) {
	first, last := p.Base, p.Base
	switch {
	case len(p.Records) > 0:
		last = p.Records[len(p.Records)-1].At
	case q.Back && q.cursor && p.Gap == channel.GapNone: // nothing is older: stay there
		first, last = q.After, q.After
	}
	dst = append(dst, `{"channel":"`...)
	dst = append(dst, n...)
	dst = append(dst, `","records":[`...)
	for i := range p.Records {
		if i > 0 {
			dst = append(dst, ',')
		}
		if q.Back {
			i = len(p.Records) - 1 - i
		}
		dst = appendRecord(dst, &p.Records[i])
	}
	dst = append(dst, `],"more":`...)
	dst = strconv.AppendBool(dst, p.More)
	if p.Gap != channel.GapNone {
		dst = appendGap(dst, q, p)
	}
	dst = appendPlace(dst, "before", first)
	dst = appendPlace(dst, "after", last)
	link := func(rel, cursor string, at channel.Position) {
		dst = append(dst, `,"`+rel+`":"/api/channels/`+string(n)+`/history?`+cursor+`=`...)
		dst = at.AppendText(dst)
		dst = append(dst, `&limit=`...)
		dst = append(strconv.AppendInt(dst, int64(q.Limit), 10), '"')
	}
	older, newer := "next", "prev"
	if !q.Back {
		older, newer = newer, older
	}
	if q.Back && p.More || !q.Back && first.Offset > 0 {
		link(older, "before", first)
	}
	if q.Back && q.cursor && p.Gap == channel.GapNone || !q.Back && p.More {
		link(newer, "after", last)
	}
	size = len(dst)
	dst = appendPlace(dst, "head", p.Head)
	dst = append(dst, `,"head_offset":`...)
	dst = strconv.AppendUint(dst, p.Head.Offset, 10)
	return append(dst, '}'), size
}

const recordHead = `{"type":"record",`

// appendRecord writes a record as the socket does, but for its type.
func appendRecord(dst []byte, r *channel.Record) []byte {
	start := len(dst)
	dst = wire.JSON.AppendRecord(dst, r)
	n := copy(dst[start+1:], dst[start+len(recordHead):])
	return dst[:start+1+n]
}

func appendPlace(dst []byte, name string, at channel.Position) []byte {
	if at.IsZero() {
		return dst
	}
	dst = append(dst, `,"`+name+`":"`...)
	return append(at.AppendText(dst), '"')
}

// appendGap says what is missing between the position asked for and the page, as on the socket.
func appendGap(dst []byte, q pageQuery, p *journal.Page) []byte {
	var from, to uint64
	if p.Gap == channel.GapTrimmed && !q.Back {
		from, to = q.After.Offset+1, p.Base.Offset
	}
	dst = append(dst, `,"gap":{"from":`...)
	dst = strconv.AppendUint(dst, min(from, wire.MaxInteger), 10)
	dst = append(dst, `,"to":`...)
	dst = strconv.AppendUint(dst, min(to, wire.MaxInteger), 10)
	return append(dst, `,"reason":"`+p.Gap.String()+`"}`...)
}

// etag is a weak one: pages with equal tags differ at most in the head they name, and any head that a page named
// is a good place to subscribe from.
func etag(content []byte) string {
	sum := sha256.Sum256(content)
	return `W/"` + base64.RawURLEncoding.EncodeToString(sum[:16]) + `"`
}

// matches compares weakly, as RFC 9110, section 13.1.2, has it for If-None-Match.
func matches(lists []string, tag string) bool {
	tag = strings.TrimPrefix(tag, "W/")
	for _, list := range lists {
		for item := range strings.SplitSeq(list, ",") {
			item = strings.Trim(item, " \t")
			if item == "*" || strings.TrimPrefix(item, "W/") == tag {
				return true
			}
		}
	}
	return false
}
