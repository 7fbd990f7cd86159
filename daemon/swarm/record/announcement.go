package record

import (
	"math"
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/identity"
)

// The bounds of an announcement. What a node has beyond them it does not tell.
const (
	maxModels   = 256 // holdings, speeds and demands, each
	maxWords    = 64  // of a bitmap: 4,096 shards
	maxMB       = 1 << 40
	maxRequests = 1 << 30
)

// Announce signs what a node tells about itself. What does not fit is an error with code CodeTooLarge: see Fit.
func Announce(key *identity.Identity, net Network, a core.Announcement) (*Signed, error) {
	return sign(key, announcement, net, bodyOf(a))
}

func bodyOf(a core.Announcement) *AnnouncementBody {
	body := &AnnouncementBody{
		Sequence: a.Sequence, Time: a.Time.UnixMilli(), Nickname: Plain(a.Nickname), Version: Plain(a.Version),
		Engine: Plain(a.Engine), Region: Plain(a.Region), Gpu: Plain(a.GPU), VramMb: a.VRAMMB, RamMb: a.RAMMB,
		Anchor: a.Anchor, Paused: a.Paused, Addresses: pack(a.Addresses), Anchors: pack(a.Anchors),
	}
	for _, h := range a.Holdings[:min(len(a.Holdings), maxModels)] {
		body.Holdings = append(body.Holdings, holdingBody(h))
	}
	for _, s := range a.Speeds[:min(len(a.Speeds), maxModels)] {
		body.Speeds = append(body.Speeds, speedBody(s))
	}
	for _, d := range a.Demand[:min(len(a.Demand), maxModels)] {
		body.Demand = append(body.Demand, demandBody(d))
	}
	return body
}

func holdingBody(h core.Holding) *HoldingBody {
	return &HoldingBody{Model: h.Model.String(), Manifest: h.Manifest[:], Shards: trim(h.Shards), Loaded: trim(h.Loaded)}
}

func speedBody(s core.Speed) *SpeedBody {
	return &SpeedBody{Model: s.Model.String(), LayerTime: int64(s.LayerTime), PrefillRow: int64(s.PrefillRow)}
}

func demandBody(d core.Demand) *DemandBody {
	return &DemandBody{Model: d.Model.String(), Requests: int64(d.Requests)}
}

// trim drops the empty words at the end of a bitmap.
func trim(b core.Bitmap) core.Bitmap {
	for len(b) > 0 && b[len(b)-1] == 0 {
		b = b[:len(b)-1]
	}
	return b
}

// OpenAnnouncement checks the signature of an announcement and every number in it. The error has code CodeCorrupt.
func OpenAnnouncement(net Network, s *Signed) (core.Announcement, error) {
	var body AnnouncementBody
	from, err := verify(s, announcement, net, &body)
	if err != nil {
		return core.Announcement{}, err
	}
	if len(body.Holdings) > maxModels || len(body.Speeds) > maxModels || len(body.Demand) > maxModels {
		return core.Announcement{}, core.Errorf(core.CodeCorrupt, "announcement of %s names too many models", from)
	}
	if !within(body.VramMb, maxMB) || !within(body.RamMb, maxMB) || !within(body.Time, math.MaxInt64) {
		return core.Announcement{}, core.Errorf(core.CodeCorrupt, "announcement of %s has impossible numbers", from)
	}
	a := core.Announcement{
		Peer: from, Sequence: body.Sequence, Time: time.UnixMilli(body.Time), Nickname: Plain(body.Nickname),
		Version: Plain(body.Version), Engine: Plain(body.Engine), Region: Plain(body.Region), GPU: Plain(body.Gpu),
		VRAMMB: body.VramMb, RAMMB: body.RamMb, Anchor: body.Anchor, Paused: body.Paused,
	}
	if a.Holdings, err = each(body.Holdings, readHolding); err != nil {
		return core.Announcement{}, err
	}
	if a.Speeds, err = each(body.Speeds, readSpeed); err != nil {
		return core.Announcement{}, err
	}
	if a.Demand, err = each(body.Demand, readDemand); err != nil {
		return core.Announcement{}, err
	}
	if a.Addresses, err = unpack(body.Addresses); err != nil {
		return core.Announcement{}, err
	}
	if a.Anchors, err = unpack(body.Anchors); err != nil {
		return core.Announcement{}, err
	}
	return a, nil
}

func within(n, most int64) bool { return n >= 0 && n <= most }

func each[From, To any](list []From, read func(From) (To, error)) ([]To, error) {
	if len(list) == 0 {
		return nil, nil
	}
	out := make([]To, len(list))
	for i, v := range list {
		var err error
		if out[i], err = read(v); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func readHolding(h *HoldingBody) (core.Holding, error) {
	id, err := core.ParseModelID(h.Model)
	if err != nil || len(h.Manifest) != len(core.Digest{}) || len(h.Shards) > maxWords || len(h.Loaded) > maxWords {
		return core.Holding{}, core.Errorf(core.CodeCorrupt, "announcement has an impossible holding")
	}
	return core.Holding{Model: id, Manifest: core.Digest(h.Manifest), Shards: h.Shards, Loaded: h.Loaded}, nil
}

func readSpeed(s *SpeedBody) (core.Speed, error) {
	id, err := core.ParseModelID(s.Model)
	if err != nil || !within(s.LayerTime, int64(time.Hour)) || !within(s.PrefillRow, int64(time.Hour)) {
		return core.Speed{}, core.Errorf(core.CodeCorrupt, "announcement has an impossible speed")
	}
	return core.Speed{Model: id, LayerTime: time.Duration(s.LayerTime), PrefillRow: time.Duration(s.PrefillRow)}, nil
}

func readDemand(d *DemandBody) (core.Demand, error) {
	id, err := core.ParseModelID(d.Model)
	if err != nil || !within(d.Requests, maxRequests) {
		return core.Demand{}, core.Errorf(core.CodeCorrupt, "announcement has an impossible demand")
	}
	return core.Demand{Model: id, Requests: int(d.Requests)}, nil
}
