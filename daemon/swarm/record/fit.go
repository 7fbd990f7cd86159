package record

import (
	"cmp"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// Fit leaves out of an announcement what does not fit a statement, and tells how many holdings those are. What is in
// memory comes first, then what is asked for most, here and elsewhere; the speed of a model goes with its holding, and
// demand takes the room that is left. An announcement that fits is not changed.
func Fit(a core.Announcement, asked map[core.ModelID]int) (fitting core.Announcement, left int) {
	if max(len(a.Holdings), len(a.Speeds), len(a.Demand)) <= maxModels && proto.Size(bodyOf(a)) <= MaxSize {
		return a, 0
	}
	all := a
	a.Holdings, a.Speeds, a.Demand = nil, nil, nil
	room := MaxSize - proto.Size(bodyOf(a))
	for _, h := range ranked(all.Holdings, asked) {
		told := add(&a.Holdings, h, &room, proto.Size(holdingBody(h)))
		if i := slices.IndexFunc(all.Speeds, func(s core.Speed) bool { return s.Model == h.Model }); told && i >= 0 {
			add(&a.Speeds, all.Speeds[i], &room, proto.Size(speedBody(all.Speeds[i])))
		}
	}
	for _, d := range slices.SortedStableFunc(slices.Values(all.Demand), func(x, y core.Demand) int { return cmp.Compare(y.Requests, x.Requests) }) {
		add(&a.Demand, d, &room, proto.Size(demandBody(d)))
	}
	return a, len(all.Holdings) - len(a.Holdings)
}

// ranked puts the holdings that matter most first.
func ranked(list []core.Holding, asked map[core.ModelID]int) []core.Holding {
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(x, y core.Holding) int {
		if lx, ly := len(trim(x.Loaded)) > 0, len(trim(y.Loaded)) > 0; lx != ly {
			if lx {
				return -1
			}
			return 1
		}
		return cmp.Or(cmp.Compare(asked[y.Model], asked[x.Model]), cmp.Compare(x.Model.String(), y.Model.String()))
	})
	return list
}

// add appends what still fits; bytes is its size without the tag and the length in front of it.
func add[T any](list *[]T, v T, room *int, bytes int) bool {
	bytes = 1 + protowire.SizeBytes(bytes)
	if len(*list) >= maxModels || bytes > *room {
		return false
	}
	*list, *room = append(*list, v), *room-bytes
	return true
}
