package sqlite

import (
	"encoding/binary"
	"sync/atomic"
	"time"

	"carillon/store"
)

const (
	layerIDs  = 1 << 18 // ids in a layer
	layerBits = 1 << 22 // bits of a layer: half a megabyte, one wrong yes in 2,000
	layerBit  = 7       // bits an id sets
	maxLayers = 48      // 24 MB for 12 million ids; with more in a day, the index is asked for each
)

// placeKey is what the index knows of an id: the beginning of its key.
type placeKey [8]byte

func placeOf(k store.IDKey) placeKey { return placeKey(k[:8]) }

// filter tells of most ids that the index has no place of them, without asking it. One goroutine adds to it, anybody asks.
type filter struct {
	begun   time.Time // what was there before is in loaded, and as old as that at least
	loaded  atomic.Pointer[[]*layer]
	layers  atomic.Pointer[[]*layer]
	partial atomic.Bool // not all is in it, for want of room
}

// layer is a Bloom filter of ids that came one after the other.
type layer struct {
	bits   []atomic.Uint64
	ids    int
	newest time.Time
}

func newLayer() *layer { return &layer{bits: make([]atomic.Uint64, layerBits/64)} }

// each calls f with the words and bits of an id until f says no. Keys are digests: their bits need no more mixing than this.
func (l *layer) each(k placeKey, f func(word *atomic.Uint64, bit uint64) bool) bool {
	h := binary.LittleEndian.Uint64(k[:])
	step := h*0x9e3779b97f4a7c15>>32 | 1
	for range layerBit {
		at := h % layerBits
		if !f(&l.bits[at/64], 1<<(at%64)) {
			return false
		}
		h += step
	}
	return true
}

func (l *layer) add(k placeKey) {
	l.each(k, func(word *atomic.Uint64, bit uint64) bool { word.Or(bit); return true })
	l.ids++
}

func (l *layer) has(k placeKey) bool {
	return l.each(k, func(word *atomic.Uint64, bit uint64) bool { return word.Load()&bit != 0 })
}

// may tells whether the index may have a place of an id. Until all that was there before is loaded, it may.
func (f *filter) may(k placeKey) bool {
	loaded, layers := f.loaded.Load(), f.layers.Load()
	if loaded == nil || f.partial.Load() {
		return true
	}
	for _, some := range [...]*[]*layer{layers, loaded} {
		if some == nil {
			continue
		}
		for _, l := range *some {
			if l.has(k) {
				return true
			}
		}
	}
	return false
}

// add takes ids that get their place, at now. Layers whose ids are all forgotten go.
func (f *filter) add(ks []place, now time.Time) {
	if len(ks) == 0 || f.partial.Load() {
		return
	}
	var layers []*layer
	if had := f.layers.Load(); had != nil {
		layers = *had
	}
	for i := range ks {
		if len(layers) == 0 || layers[len(layers)-1].ids >= layerIDs {
			layers = f.grow(layers, now)
			if layers == nil {
				return
			}
		}
		l := layers[len(layers)-1]
		l.add(ks[i].key)
		l.newest = now
	}
}

// grow adds a layer, and drops what is too old; nil: there is no room for it.
func (f *filter) grow(layers []*layer, now time.Time) []*layer {
	old := now.Add(-store.IDsKept - time.Hour)
	var kept []*layer
	for _, l := range layers {
		if l.newest.After(old) {
			kept = append(kept, l)
		}
	}
	loaded := f.loaded.Load()
	if loaded != nil && f.begun.Before(old) {
		loaded = &[]*layer{}
		f.loaded.Store(loaded)
	}
	count := len(kept)
	if loaded != nil {
		count += len(*loaded)
	}
	if count >= maxLayers {
		f.partial.Store(true)
		return nil
	}
	kept = append(kept, newLayer())
	f.layers.Store(&kept)
	return kept
}

// load takes what was in the index before, from page, which gives the keys after one in order, and at the end none. Nothing is told before the end.
func (f *filter) load(page func(after []byte) ([]placeKey, error)) error {
	var layers []*layer
	after := []byte{}
	for {
		ks, err := page(after)
		if err != nil {
			return err
		}
		if len(ks) == 0 {
			f.loaded.Store(&layers)
			return nil
		}
		for _, k := range ks {
			if len(layers) == 0 || layers[len(layers)-1].ids >= layerIDs {
				if len(layers) == maxLayers {
					return nil // the index is asked for each
				}
				layers = append(layers, newLayer())
			}
			layers[len(layers)-1].add(k)
		}
		after = ks[len(ks)-1][:]
	}
}
