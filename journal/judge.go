package journal

import (
	"errors"
	"fmt"

	"carillon/channel"
)

// ErrUnavailable: the store is known to be out of reach; nothing was appended. Retry later.
var ErrUnavailable = errors.New("the store of this channel cannot be reached now")

// Damage names the record that Read could not serve; errors.Is finds ErrDamaged in it. The records before it are
// served: only a page that would begin with it is answered with the error.
type Damage struct {
	Channel channel.Name
	Offset  uint64
	Why     string
}

func (d *Damage) Error() string {
	return fmt.Sprintf("channel %s, offset %d: %s: %v", d.Channel, d.Offset, d.Why, ErrDamaged)
}

// Unwrap makes errors.Is(err, ErrDamaged) true.
func (d *Damage) Unwrap() error { return ErrDamaged }

// Max is Limit brought into its bounds.
func (q Query) Max() int {
	if q.Limit <= 0 || q.Limit > MaxPage {
		return MaxPage
	}
	return q.Limit
}

// Judge says whether the log between oldest and head continues after without a break. tagAt gives the tag at an offset
// between the two and is asked at most once. Every implementation decides by it, so that all say the same.
func Judge(after, oldest, head channel.Position, tagAt func(offset uint64) (uint64, error)) (channel.Gap, error) {
	var tag uint64
	switch {
	case after.IsZero():
		return channel.GapNone, nil
	case after.Epoch != head.Epoch:
		return channel.GapEpoch, nil
	case after.Offset > head.Offset:
		return channel.GapAhead, nil
	case after.Offset < oldest.Offset:
		return channel.GapTrimmed, nil
	case after.Offset == head.Offset:
		tag = head.Tag
	case after.Offset == oldest.Offset:
		tag = oldest.Tag
	default:
		var err error
		if tag, err = tagAt(after.Offset); err != nil {
			return channel.GapNone, err
		}
	}
	if tag != after.Tag {
		return channel.GapDiverged, nil
	}
	return channel.GapNone, nil
}
