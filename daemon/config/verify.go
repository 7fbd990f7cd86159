package config

import (
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// Verify tells whether every value is one the node can work with. The error has code CodeInvalidRequest and
// names the key at fault.
func (s *Settings) Verify() error {
	for _, r := range s.ranges() {
		if r.value < r.min || r.value > r.max {
			return invalid(r.key, "%s must be %d to %d", r.key, r.min, r.max)
		}
	}
	switch {
	case !slices.Contains([]Contribution{Minimal, Moderate, Maximum}, s.Contribution):
		return invalid("contribution", "contribution must be minimal, moderate or maximum")
	case !slices.Contains([]string{"debug", "info", "warn", "error"}, s.LogLevel):
		return invalid("log_level", "log_level must be debug, info, warn or error")
	case s.Region != "" && !regexp.MustCompile(`^[A-Z]{2}$`).MatchString(s.Region):
		return invalid("region", "region must be two capital letters such as DE, or empty")
	case len(s.DraftModel) > 256:
		return invalid("draft_model", "the name is too long")
	case len(s.DefaultModel) > 256 || len(s.RuntimeDir) > 4096 || len(s.WorkerPath) > 4096:
		return invalid("default_model", "a name or path is too long")
	}
	if err := verifyAnchors(s.Anchors); err != nil {
		return err
	}
	if len(s.Nickname) > 64 {
		return invalid("nickname", "nickname may have 64 bytes at most")
	}
	if _, err := s.Port(); err != nil {
		return err
	}
	if _, err := port("p2p_listen", s.P2PListen); err != nil {
		return err
	}
	return verifyOrigins(s.CORSAllow)
}

// Port is the port of Listen; 0 takes a free one.
func (s *Settings) Port() (int, error) { return port("listen", s.Listen) }

// port is the port of the setting key, an address HOST:PORT.
func port(key, address string) (int, error) {
	_, text, err := net.SplitHostPort(address)
	if err != nil {
		return 0, invalid(key, "%s must be HOST:PORT, for example 127.0.0.1:8800", key)
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return 0, invalid(key, "the port of %s must be 0 to 65535", key)
	}
	return int(n), nil
}

// MostRequests is the most that max_concurrent_requests may be: so many requests run at once, whatever is set.
const MostRequests = 256

type bounds struct {
	key             string
	value, min, max int64
}

func (s *Settings) ranges() []bounds {
	return []bounds{
		{"threads", int64(s.Threads), 0, 1024},
		{"gpu_layers", int64(s.GPULayers), -1, 10_000},
		{"context_size", int64(s.ContextSize), 0, 16 << 20},
		{"windows", int64(s.Windows), 1, 64},
		{"idle_unload_seconds", int64(s.IdleUnloadSeconds), 0, 30 * 86_400},
		{"max_concurrent_requests", int64(s.MaxConcurrentRequests), 1, MostRequests},
		{"request_queue", int64(s.RequestQueue), 0, 65_536},
		{"max_batch_size", int64(s.MaxBatchSize), 1, 64},
		{"max_upload_mbps", int64(s.MaxUploadMbps), 0, 100_000},
		{"max_download_mbps", int64(s.MaxDownloadMbps), 0, 100_000},
		{"max_disk_mb", s.MaxDiskMB, 100, 10_000_000},
		{"shard_size_mb", s.ShardSizeMB, 64, 2048},
		{"rate_limit_rpm", int64(s.RateLimitRPM), 1, 1_000_000},
		{"rate_limit_admin_rpm", int64(s.RateLimitAdminRPM), 1, 1_000_000},
	}
}

func verifyOrigins(origins []string) error {
	if len(origins) > 64 {
		return invalid("cors_allow", "cors_allow may hold 64 origins at most")
	}
	for _, o := range origins {
		u, err := url.Parse(o)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Scheme+"://"+u.Host != o {
			return invalid("cors_allow", "cors_allow holds %q, which is not an origin such as https://chat.example.org", o)
		}
	}
	return nil
}

// verifyAnchors looks at the form only; the swarm reads the addresses.
func verifyAnchors(anchors []string) error {
	if len(anchors) > 16 {
		return invalid("anchors", "anchors may hold 16 addresses at most")
	}
	for _, a := range anchors {
		if !strings.HasPrefix(a, "/") || !strings.Contains(a, "/p2p/") || len(a) > 512 {
			return invalid("anchors", "anchors holds %q, which is not an address such as /ip4/192.0.2.1/tcp/8810/p2p/12D3KooW…", a)
		}
	}
	return nil
}

func invalid(key, format string, args ...any) error {
	return core.Errorf(core.CodeInvalidRequest, format, args...).WithParam(key)
}
