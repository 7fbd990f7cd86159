package api

import (
	"crypto/sha256"
	"crypto/subtle"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// guard decides whether a request may reach a handler. Its checks run in a fixed order: where the request was
// sent to (Host), which page sent it (Origin), how often the sender asks, who it is (key), and what it carries.
type guard struct {
	node     Node
	limits   Limits
	port     string
	hosts    []string // exact Host values that are ours
	named    bool     // there are Hosts of the settings
	anyIP    bool     // listening on every address: the IP address a client dialled is a Host of ours too
	origins  []string
	openai   *rates
	admin    *rates
	penalty  chan struct{} // one per wrong key being delayed
	failures *slog.Logger
	bodies   atomic.Int64 // bytes of all bodies in memory
}

// maxPenalties is how many wrong keys are delayed at once; more are refused as too many requests.
const maxPenalties = 32

func newGuard(cfg Config, limits Limits, addr net.Addr, log *slog.Logger) *guard {
	listenHost, _, _ := net.SplitHostPort(cfg.Addr)
	_, port, _ := net.SplitHostPort(addr.String())
	g := &guard{
		node:     cfg.Node,
		limits:   limits,
		port:     port,
		origins:  cfg.Origins,
		openai:   newRates(limits.OpenAIPerMin),
		admin:    newRates(limits.AdminPerMinute),
		penalty:  make(chan struct{}, maxPenalties),
		failures: log,
	}
	for _, name := range []string{"127.0.0.1", "localhost", "::1"} {
		g.addHost(name)
	}
	ip, err := netip.ParseAddr(listenHost)
	g.anyIP = listenHost == "" || err == nil && ip.IsUnspecified()
	if !g.anyIP {
		g.addHost(listenHost)
	}
	g.hosts = append(g.hosts, cfg.Hosts...)
	g.named = len(cfg.Hosts) > 0
	return g
}

// addHost makes name with our port a Host of ours; on port 80 browsers leave the port out.
func (g *guard) addHost(name string) {
	g.hosts = append(g.hosts, net.JoinHostPort(name, g.port))
	if g.port == "80" {
		g.hosts = append(g.hosts, strings.TrimSuffix(net.JoinHostPort(name, ""), ":"))
	}
}

// admit checks a request for r before its body is read. It also sets the reply's security headers.
func (g *guard) admit(c *gin.Context, r route) (*call, error) {
	req := c.Request
	setSecurityHeaders(c.Writer.Header())
	if req.ContentLength != 0 { // also bounds what net/http reads of a body that is refused
		g.extendRead(c, g.limits.StallTimeout)
	}
	if len(req.TransferEncoding) > 0 {
		// net/http has dropped a Content-Length that came too. What a proxy in front took for the rest of another request
		// is not read as one.
		c.Header("Connection", "close")
	}
	if !g.ourHost(req) {
		return nil, core.Errorf(core.CodeForbidden, "the Host header does not name this node").
			WithHint("Use http://127.0.0.1:" + g.port + ", or add the name to the allowed hosts in the settings.")
	}
	if err := g.checkOrigin(c); err != nil {
		return nil, err
	}
	from, local := sender(req)
	if err := g.checkRate(from, local, req.URL.Path); err != nil {
		return nil, err
	}
	if err := g.checkKey(c, r.access, local); err != nil {
		return nil, err
	}
	return &call{Context: c, requester: requesterOf(from, req)}, nil
}

func setSecurityHeaders(h http.Header) {
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
}

// ourHost tells whether the request was sent to a name of this node. A page that had its own name resolve to
// 127.0.0.1 (DNS rebinding) is caught here. Requests in absolute form are for proxies, which we are not.
func (g *guard) ourHost(req *http.Request) bool {
	if req.URL.Host != "" || req.URL.User != nil || req.URL.Scheme != "" {
		return false
	}
	if slices.Contains(g.hosts, req.Host) {
		return true
	}
	local, ok := req.Context().Value(http.LocalAddrContextKey).(net.Addr)
	return g.anyIP && ok && req.Host == local.String()
}

// checkOrigin refuses requests that a foreign web page caused, and answers the allowed ones with CORS headers.
func (g *guard) checkOrigin(c *gin.Context) error {
	h := c.Request.Header
	origin, site := h.Values("Origin"), h.Values("Sec-Fetch-Site")
	foreign := core.Errorf(core.CodeForbidden, "requests from this web page are not allowed").
		WithHint("To let a web page use this node, add its origin to the allowed origins in the settings.")
	if len(origin) > 1 || len(site) > 1 || len(h.Values("Referer")) > 1 {
		return foreign
	}
	if len(origin) == 1 && slices.Contains(g.origins, origin[0]) {
		allowOrigin(c, origin[0])
		return nil
	}
	if len(origin) == 1 && !g.ourOrigin(origin[0]) {
		return foreign
	}
	if len(site) == 1 && site[0] != "same-origin" && site[0] != "none" {
		return foreign
	}
	if referer := h.Get("Referer"); len(origin) == 0 && referer != "" && !g.ourReferer(referer) {
		return foreign
	}
	return nil
}

// ourOrigin tells whether a page was served by this node.
func (g *guard) ourOrigin(origin string) bool {
	host, ok := strings.CutPrefix(origin, "http://")
	return ok && slices.Contains(g.hosts, host)
}

func (g *guard) ourReferer(referer string) bool {
	u, err := url.Parse(referer)
	if err != nil {
		return false
	}
	origin := u.Scheme + "://" + u.Host
	return g.ourOrigin(origin) || slices.Contains(g.origins, origin)
}

// allowOrigin lets the page of origin read the reply.
func allowOrigin(c *gin.Context, origin string) {
	h := c.Writer.Header()
	h.Set("Access-Control-Allow-Origin", origin)
	h.Add("Vary", "Origin")
	h.Set("Access-Control-Expose-Headers", "Retry-After, X-Shoal-Route, X-Shoal-Peers, X-Shoal-Ms")
	h.Set("Cross-Origin-Resource-Policy", "cross-origin")
	if !preflight(c.Request) {
		return
	}
	h.Set("Access-Control-Allow-Methods", "GET, POST, PUT, DELETE")
	h.Set("Access-Control-Allow-Headers", c.Request.Header.Get("Access-Control-Request-Headers"))
	h.Set("Access-Control-Max-Age", "600")
	if c.Request.Header.Get("Access-Control-Request-Private-Network") == "true" {
		h.Set("Access-Control-Allow-Private-Network", "true")
	}
}

// preflight tells whether a browser asks on behalf of a page if it may send a request.
func preflight(req *http.Request) bool {
	return req.Method == http.MethodOptions && req.Header.Get("Access-Control-Request-Method") != ""
}

// forwarded are headers that a proxy adds. Behind one, a request from loopback may come from anywhere. A proxy that adds
// none cannot be told from a program on this PC: see checkKey.
var forwarded = []string{
	"Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-Ip",
	"Cf-Connecting-Ip", "True-Client-Ip", "Tailscale-User-Login",
}

// sender is who sent the request, and whether that is a program on this PC.
func sender(req *http.Request) (netip.Addr, bool) {
	ap, err := netip.ParseAddrPort(req.RemoteAddr)
	if err != nil {
		return netip.Addr{}, false
	}
	from := ap.Addr().Unmap()
	proxied := slices.ContainsFunc(forwarded, func(name string) bool { return len(req.Header.Values(name)) > 0 })
	return from, from.IsLoopback() && !proxied
}

func (g *guard) checkRate(from netip.Addr, local bool, path string) error {
	if local {
		return nil
	}
	switch {
	case strings.HasPrefix(path, "/v1/"):
		return g.openai.take(from)
	case strings.HasPrefix(path, "/api/admin/"):
		return g.admin.take(from)
	}
	return nil
}

func (g *guard) checkKey(c *gin.Context, need access, local bool) error {
	// Who gave this node a further name has most likely put a proxy in front of it, and the world may look local.
	if need == accessAny || need == accessRead && local && !g.named {
		return nil
	}
	if need == accessHere && !local {
		return core.Errorf(core.CodeForbidden, "this can only be done on the PC that the node runs on")
	}
	scheme, given, _ := strings.Cut(c.Request.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") || given == "" {
		c.Header("WWW-Authenticate", "Bearer")
		return core.Errorf(core.CodeUnauthorized, "this needs the API key")
	}
	if sameKey(given, g.node.APIKey()) {
		return nil
	}
	return g.punish(c)
}

// sameKey compares in constant time; hashing first hides the length too. An empty key never fits.
func sameKey(given, want string) bool {
	a, b := sha256.Sum256([]byte(given)), sha256.Sum256([]byte(want))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1 && want != ""
}

// punish delays the answer to a wrong key, so that keys cannot be tried quickly. The right key is never delayed.
func (g *guard) punish(c *gin.Context) error {
	select {
	case g.penalty <- struct{}{}:
		defer func() { <-g.penalty }()
	default:
		return core.Errorf(core.CodeRateLimited, "too many wrong API keys")
	}
	g.failures.Warn("a wrong API key was sent", "from", c.Request.RemoteAddr)
	wait := time.NewTimer(g.limits.WrongKeyDelay)
	defer wait.Stop()
	select {
	case <-wait.C:
	case <-c.Request.Context().Done():
	}
	c.Header("WWW-Authenticate", "Bearer")
	return core.Errorf(core.CodeUnauthorized, "the API key is wrong")
}
