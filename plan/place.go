package plan

import (
	"hash/fnv"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"

	"carillon/backbone"
	"carillon/channel"
)

// Spread tells how unevenly work falls on places: the most loaded one over the mean, and the part of all work that the
// hottest single channel is.
type Spread struct {
	Peak    float64
	Hottest float64
}

// Channels draws lots for a number of channels whose shares of the work fall as 1 / rank^skew, as those of real rooms do
// (skew 0: all alike), and puts them on Redis masters as a cluster does.
func Channels(n, masters int, skew float64, seed uint64) Spread {
	r := rand.New(rand.NewPCG(seed, 0))
	load := make([]float64, masters)
	var sum, hottest float64
	for i := range n {
		share := math.Pow(float64(i+1), -skew)
		name := channel.Name("room:" + strconv.FormatUint(r.Uint64(), 36))
		load[master(backbone.Partition(name), masters)] += share
		sum += share
		hottest = max(hottest, share)
	}
	return Spread{Peak: slices.Max(load) / (sum / float64(masters)), Hottest: hottest / sum}
}

// master is where a partition lies: slots are dealt out in even ranges, and partitions lie evenly among the slots.
func master(partition, masters int) int { return partition * masters / backbone.Partitions } // 0 to masters-1

// Reached draws lots for the gateways that one record reaches, on average: a number of subscribers, each of whom is on any
// of the gateways. It is what Copies reckons.
func Reached(gateways, audience, records int, seed uint64) float64 {
	r := rand.New(rand.NewPCG(seed, 1))
	seen := make([]int, gateways)
	total := 0
	for record := range records {
		for range audience {
			if g := r.IntN(gateways); seen[g] != record+1 {
				seen[g] = record + 1
				total++
			}
		}
	}
	return float64(total) / float64(records)
}

// Devices draws lots for the gateways that a record for one user reaches who has so many connections: each anywhere, and
// where the proxy hashes by user, with one gateway in so many away. Then a user of a gateway that is away is spread over
// what is left by the next hash.
func Devices(gateways, devices, away, users int, seed uint64) (anywhere, hashed float64) {
	r := rand.New(rand.NewPCG(seed, 2))
	var sum float64
	for u := range users {
		seen := map[int]bool{}
		for range devices {
			seen[r.IntN(gateways)] = true
		}
		anywhere += float64(len(seen))
		// The connections that were made before and after a gateway went away lie on two.
		first := at(u, 0, gateways)
		if away > 0 && first%away == 0 {
			sum += 1 + float64(min(devices-1, 1))/2
		} else {
			sum++
		}
	}
	return anywhere / float64(users), sum / float64(users)
}

func at(user, try, gateways int) int {
	h := fnv.New64a()
	_, _ = h.Write([]byte(strconv.Itoa(user) + "/" + strconv.Itoa(try)))
	return int(h.Sum64() % uint64(gateways))
}
