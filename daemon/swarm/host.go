package swarm

import (
	"context"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/libp2p/go-libp2p"
	connmanager "github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/transport"
	"github.com/libp2p/go-libp2p/p2p/host/autorelay"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"
	"github.com/libp2p/go-libp2p/p2p/net/connmgr"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/relay"
	quic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	"github.com/libp2p/go-libp2p/p2p/transport/quicreuse"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
	quicgo "github.com/quic-go/quic-go"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// The connection manager lets go of idle peers above connsHigh until connsLow are left.
const (
	connsLow  = 192
	connsHigh = 256
)

// relayAgain is the wait between attempts to get a place at an anchor.
const relayAgain = 2 * time.Second

// newHost makes the libp2p host of a session. Without addresses to listen at it can only call others.
func (s *session) newHost(listen []multiaddr.Multiaddr) (host.Host, error) {
	private, err := crypto.UnmarshalEd25519PrivateKey(s.cfg.Identity.Private())
	if err != nil {
		return nil, err
	}
	limits, err := resources(s.cfg.Limits)
	if err != nil {
		return nil, err
	}
	conns, err := connmgr.NewConnManager(connsLow, connsHigh, connmgr.WithGracePeriod(20*time.Second))
	if err != nil {
		return nil, err
	}
	// libp2p's guards against networks that lose UDP or IPv6 learn from a hundred dials, and until then AutoNAT refuses
	// to call anybody back over them. A private swarm may never make so many.
	noGuard := []libp2p.Option{libp2p.UDPBlackHoleSuccessCounter(nil), libp2p.IPv6BlackHoleSuccessCounter(nil)}
	options := []libp2p.Option{
		libp2p.Identity(private), libp2p.UserAgent("shoal/" + s.cfg.Version), libp2p.DisableMetrics(),
		libp2p.ResourceManager(limits), libp2p.ConnectionManager(conns), libp2p.ConnectionGater(s.guard),
		libp2p.Security(string(s.realm.noiseID(s.key)), secureTCP(s.key)), libp2p.Transport(tcp.NewTCPTransport), libp2p.Transport(s.sealedQUIC),
		libp2p.EnableRelay(), libp2p.SwarmOpts(swarm.WithDialRanker(rankDials)),
	}
	for _, former := range s.realm.formerKeys() { // for members that were away: see handover.go
		options = append(options, libp2p.Security(string(s.realm.noiseID(former)), secureTCP(former)))
	}
	if len(listen) == 0 {
		options = append(options, libp2p.NoListenAddrs)
	} else {
		options = append(options, s.reachable(listen)...)
	}
	h, err := libp2p.New(slices.Concat(options, noGuard, s.cfg.options)...)
	if err == nil && len(listen) > 0 && !s.cfg.Anchor && !s.cfg.behindNAT {
		err = relayAtOnce(h)
	}
	return h, err
}

// relayAtOnce makes the host look for a place at an anchor now. Without it libp2p first finds out for 15 s whether
// others reach this node, and until then two nodes behind routers cannot meet. The place is given back when they do.
func relayAtOnce(h host.Host) error {
	reachability, err := h.EventBus().Emitter(new(event.EvtLocalReachabilityChanged), eventbus.Stateful)
	if err != nil {
		return err
	}
	defer reachability.Close()
	return reachability.Emit(event.EvtLocalReachabilityChanged{Reachability: network.ReachabilityUnknown})
}

// reachable are the options of a host that others call.
func (s *session) reachable(listen []multiaddr.Multiaddr) []libp2p.Option {
	options := []libp2p.Option{
		libp2p.ListenAddrs(listen...), libp2p.EnableAutoNATv2(), libp2p.EnableHolePunching(),
		libp2p.EnableAutoRelayWithPeerSource(s.relays, autorelay.WithBootDelay(time.Second), autorelay.WithMinCandidates(1),
			autorelay.WithBackoff(relayAgain), autorelay.WithMinInterval(relayAgain)),
	}
	if s.cfg.behindNAT {
		options = append(options, libp2p.ForceReachabilityPrivate())
	} else {
		options = append(options, libp2p.EnableNATService())
	}
	if !s.cfg.NoPortMap {
		options = append(options, libp2p.NATPortMap())
	}
	if s.cfg.Anchor {
		options = append(options, libp2p.ForceReachabilityPublic(), libp2p.EnableRelayService(
			relay.WithInfiniteLimits(), relay.WithACL(s.guard),
			relay.WithReservationAddressFilter(func(multiaddr.Multiaddr) bool { return true })))
	}
	return options
}

// sealedQUIC makes the QUIC transport, which sends and takes datagrams that are sealed with the network key. It is a
// transport and not an option of libp2p's own one, for libp2p gives transports to the hosts that it probes NATs with.
func (s *session) sealedQUIC(private crypto.PrivKey, gater connmanager.ConnectionGater, limits network.ResourceManager,
	reset quicgo.StatelessResetKey, token quicgo.TokenGeneratorKey,
) (transport.Transport, error) {
	listen := func(network string, at *net.UDPAddr) (net.PacketConn, error) {
		inner, err := s.cfg.listenUDP(network, at)
		if err != nil {
			return nil, err
		}
		return sealPackets(s.key, inner)
	}
	options := []quicreuse.Option{
		quicreuse.OverrideListenUDP(listen), quicreuse.VerifySourceAddress(limits.VerifySourceAddress),
		quicreuse.ConnContext(func(ctx context.Context, from *quicgo.ClientInfo) (context.Context, error) {
			return countConn(ctx, limits, from.RemoteAddr)
		}),
	}
	conns, err := quicreuse.NewConnManager(reset, token, append(options, s.cfg.quicOptions...)...)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.sockets = append(s.sockets, conns) // closed after the host, which has to tell its peers that it goes
	s.mu.Unlock()
	return quic.NewTransport(private, conns, nil, gater, limits)
}

// countConn makes the resource manager count a QUIC connection before its handshake has cost anything.
func countConn(ctx context.Context, limits network.ResourceManager, from net.Addr) (context.Context, error) {
	at, err := quicreuse.ToQuicMultiaddr(from, quicgo.Version1)
	if err != nil {
		return ctx, err
	}
	scope, err := limits.OpenConnection(network.DirInbound, false, at)
	if err != nil {
		return ctx, err
	}
	ctx = network.WithConnManagementScope(ctx, scope)
	context.AfterFunc(ctx, scope.Done)
	return ctx, nil
}

// rankDials prefers TCP on the local network, where it moves more bytes for less work, and QUIC elsewhere, where it
// gets through more routers.
func rankDials(addrs []multiaddr.Multiaddr) []network.AddrDelay {
	ranked := swarm.DefaultDialRanker(addrs)
	near := slices.ContainsFunc(addrs, func(a multiaddr.Multiaddr) bool { return isTCP(a) && isNear(a) })
	if !near {
		return ranked
	}
	for i, r := range ranked {
		switch {
		case isTCP(r.Addr) && isNear(r.Addr):
			ranked[i].Delay = 0
		default:
			ranked[i].Delay += 100 * time.Millisecond
		}
	}
	return ranked
}

func isTCP(a multiaddr.Multiaddr) bool {
	_, err := a.ValueForProtocol(multiaddr.P_TCP)
	return err == nil && !isCircuit(a)
}

// isNear tells whether an address is of this PC or a private network.
func isNear(a multiaddr.Multiaddr) bool { return manet.IsPrivateAddr(a) }

// isCircuit tells whether an address leads through a relay.
func isCircuit(a multiaddr.Multiaddr) bool {
	_, err := a.ValueForProtocol(multiaddr.P_CIRCUIT)
	return err == nil
}

// listenAddresses turns host:port of the settings into multiaddrs for TCP and QUIC. A host that means every address
// means those of both versions of IP. The error has code CodeInvalidRequest.
func listenAddresses(listen string) ([]multiaddr.Multiaddr, error) {
	name, portText, err := net.SplitHostPort(listen)
	port, numErr := strconv.ParseUint(portText, 10, 16)
	if err != nil || numErr != nil {
		return nil, core.Errorf(core.CodeInvalidRequest, "p2p_listen must be an address and a port, not %q", listen)
	}
	ips := []net.IP{net.ParseIP(name)}
	switch {
	case name == "" || ips[0].IsUnspecified():
		ips = []net.IP{net.IPv4zero, net.IPv6unspecified}
	case ips[0] == nil:
		return nil, core.Errorf(core.CodeInvalidRequest, "p2p_listen must start with an IP address, not %q", name)
	}
	var out []multiaddr.Multiaddr
	for _, ip := range ips {
		tcp, err := manet.FromNetAddr(&net.TCPAddr{IP: ip, Port: int(port)})
		if err != nil {
			return nil, core.Errorf(core.CodeInvalidRequest, "p2p_listen: %w", err)
		}
		udp, err := manet.FromNetAddr(&net.UDPAddr{IP: ip, Port: int(port)})
		if err != nil {
			return nil, core.Errorf(core.CodeInvalidRequest, "p2p_listen: %w", err)
		}
		out = append(out, tcp, udp.Encapsulate(multiaddr.StringCast("/quic-v1")))
	}
	return out, nil
}

// relays offers the anchors to a host that cannot be reached from outside.
func (s *session) relays(ctx context.Context, most int) <-chan peer.AddrInfo {
	out := make(chan peer.AddrInfo, most)
	defer close(out)
	for _, a := range s.anchors() {
		if name, err := nameOf(a.ID); err == nil && name != s.self && len(out) < most {
			out <- a
		}
	}
	return out
}
