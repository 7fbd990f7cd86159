package swarm

import (
	"math"
	"net/netip"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/protocol"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	"github.com/libp2p/go-libp2p/x/rate"
)

// Limits bound what one address of the network may cost. The zero value is made of the defaults.
type Limits struct {
	ConnsPerIP    int     // live connections from one IPv4 address or IPv6 /56; 0 is 8
	RatePerIP     float64 // new connections a second; 0 is 2
	BurstPerIP    int     // new connections at once; 0 is 16
	LimitLoopback bool    // bound this PC's own connections too
}

func (l Limits) withDefaults() Limits {
	if l.ConnsPerIP == 0 {
		l.ConnsPerIP = 8
	}
	if l.RatePerIP == 0 {
		l.RatePerIP = 2
	}
	if l.BurstPerIP == 0 {
		l.BurstPerIP = 16
	}
	return l
}

// The protocols of this package and of those that use it.
const (
	joinProtocol     = "/shoal/join/1"
	memberProtocol   = "/shoal/member/1"
	pipelineProtocol = "/shoal/pipeline/1"
	shardProtocol    = "/shoal/shard/1"
)

// The libp2p part of a node takes this much memory and this many sockets at most, on top of libp2p's own base.
const (
	hostMemory  = 512 << 20
	hostSockets = 1024
)

// resources bounds connections, streams and memory, in all and for each protocol and peer.
func resources(l Limits) (network.ResourceManager, error) {
	l = l.withDefaults()
	scaling := rcmgr.DefaultLimits
	libp2p.SetDefaultServiceLimits(&scaling)
	concrete := rcmgr.PartialLimitConfig{
		System: rcmgr.ResourceLimits{Conns: 2 * connsHigh, ConnsInbound: connsHigh, ConnsOutbound: connsHigh},
		Protocol: map[protocol.ID]rcmgr.ResourceLimits{
			pipelineProtocol: {Streams: 256, StreamsInbound: 128, StreamsOutbound: 128, Memory: 256 << 20},
			shardProtocol:    {Streams: 256, StreamsInbound: 128, StreamsOutbound: 128, Memory: 256 << 20},
			joinProtocol:     {Streams: 16, StreamsInbound: 8, StreamsOutbound: 8, Memory: 4 << 20},
			memberProtocol:   {Streams: 128, StreamsInbound: 64, StreamsOutbound: 64, Memory: 32 << 20},
		},
		ProtocolPeer: map[protocol.ID]rcmgr.ResourceLimits{
			pipelineProtocol: {Streams: 64, StreamsInbound: 32, StreamsOutbound: 32, Memory: 128 << 20},
			shardProtocol:    {Streams: 64, StreamsInbound: 32, StreamsOutbound: 32, Memory: 128 << 20},
			joinProtocol:     {Streams: 2, StreamsInbound: 1, StreamsOutbound: 1, Memory: 1 << 20},
			memberProtocol:   {Streams: 4, StreamsInbound: 2, StreamsOutbound: 2, Memory: 2 << 20},
		},
	}.Build(scaling.Scale(hostMemory, hostSockets))
	return rcmgr.NewResourceManager(rcmgr.NewFixedLimiter(concrete), perAddress(l)...)
}

// perAddress bounds the connections from one address. Those of this PC are exempt, if it is not said otherwise.
func perAddress(l Limits) []rcmgr.Option {
	v4 := []rcmgr.ConnLimitPerSubnet{{PrefixLength: 32, ConnCount: l.ConnsPerIP}}
	v6 := []rcmgr.ConnLimitPerSubnet{{PrefixLength: 56, ConnCount: l.ConnsPerIP}, {PrefixLength: 48, ConnCount: 8 * l.ConnsPerIP}}
	speed := rate.Limit{RPS: l.RatePerIP, Burst: l.BurstPerIP}
	limiter := &rate.Limiter{SubnetRateLimiter: rate.SubnetLimiter{
		IPv4SubnetLimits: []rate.SubnetLimit{{PrefixLength: 32, Limit: speed}},
		IPv6SubnetLimits: []rate.SubnetLimit{{PrefixLength: 56, Limit: speed}},
		GracePeriod:      time.Minute,
	}}
	options := []rcmgr.Option{rcmgr.WithMetricsDisabled(), rcmgr.WithLimitPerSubnet(v4, v6)}
	loopback4, loopback6 := netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")
	if l.LimitLoopback {
		return append(options, rcmgr.WithConnRateLimiters(limiter),
			rcmgr.WithNetworkPrefixLimit([]rcmgr.NetworkPrefixLimit{}, []rcmgr.NetworkPrefixLimit{}))
	}
	limiter.NetworkPrefixLimits = []rate.PrefixLimit{{Prefix: loopback4}, {Prefix: loopback6}}
	return append(options, rcmgr.WithConnRateLimiters(limiter), rcmgr.WithNetworkPrefixLimit(
		[]rcmgr.NetworkPrefixLimit{{Network: loopback4, ConnCount: math.MaxInt}},
		[]rcmgr.NetworkPrefixLimit{{Network: loopback6, ConnCount: math.MaxInt}}))
}
