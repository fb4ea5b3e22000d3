package redis

import (
	"context"
	"time"

	"carillon/backbone"

	"github.com/redis/rueidis"
)

// Once keeps values that are good for one use on one of many nodes. Keys are the caller's, and random; a value that nobody
// takes ends by itself.
type Once struct{ b *backbone.Backbone }

// NewOnce makes one. It holds nothing of its own.
func NewOnce(b *backbone.Backbone) Once { return Once{b} }

// Put keeps a value for a time.
func (o Once) Put(ctx context.Context, key, value string, lives time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, backbone.CallTimeout)
	defer cancel()
	c := o.b.Client()
	return c.Do(ctx, c.B().Set().Key(o.b.NodeKey("once", key)).Value(value).Px(lives).Build()).Error()
}

// Take returns a value and forgets it in the same step: of any number of attempts one finds it.
func (o Once) Take(ctx context.Context, key string) (value string, found bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, backbone.CallTimeout)
	defer cancel()
	c := o.b.Client()
	value, err = c.Do(ctx, c.B().Getdel().Key(o.b.NodeKey("once", key)).Build()).ToString()
	if rueidis.IsRedisNil(err) {
		return "", false, nil
	}
	return value, err == nil, err
}
