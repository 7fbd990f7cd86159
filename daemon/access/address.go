package access

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/shoal-p2p/shoal/daemon/atomicfile"
	"github.com/shoal-p2p/shoal/daemon/core"
)

// addressFile holds the URL of the running node's API, for the other programs of its user.
const addressFile = "address"

// maxAddress bounds what is read of it.
const maxAddress = 4096

// Announce keeps the URL of the running node in its data folder until ctx ends.
func Announce(ctx context.Context, dataDir, url string) error {
	path := filepath.Join(dataDir, addressFile)
	if err := atomicfile.Write(path, []byte(url+"\n"), 0o600); err != nil {
		return fmt.Errorf("write the address: %w", err)
	}
	<-ctx.Done()
	return os.Remove(path)
}

// URL is where programs on this PC reach an API that listens at an address; "" for one that is not of TCP.
func URL(listening net.Addr) string {
	address, ok := listening.(*net.TCPAddr)
	if !ok {
		return ""
	}
	host := address.IP.String()
	if address.IP.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, strconv.Itoa(address.Port))
}

// Hosts are the names under which a server at listen may be called from other machines: its own address if that is
// one, or every address of this PC. Loopback names are always allowed.
func Hosts(listen string) []string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil || port == "0" {
		return nil
	}
	ip := net.ParseIP(host)
	if host != "" && (ip == nil || !ip.IsUnspecified()) {
		return []string{listen}
	}
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	var list []string
	for _, a := range addresses {
		if network, ok := a.(*net.IPNet); ok && !network.IP.IsLoopback() {
			list = append(list, net.JoinHostPort(network.IP.String(), port))
		}
	}
	return list
}

// Open tells whether an address that a server listens at can be reached from other machines.
func Open(listen string) bool {
	host, _, err := net.SplitHostPort(listen)
	if err != nil || host == "localhost" {
		return false
	}
	ip := net.ParseIP(host)
	return ip == nil || !ip.IsLoopback()
}

// Exposed is what a user must know of a server that listens at an address: "" unless other machines can reach it.
func Exposed(listen string) string {
	if !Open(listen) {
		return ""
	}
	return "The API is open to other machines at " + listen + ", without encryption: whoever reads the traffic has the key."
}

// CheckListen tells whether a server of this PC can listen at an address: not at a name, nor at an address of another.
// The error has code CodeInvalidRequest.
func CheckListen(listen string) error {
	refuse := func(what string) error {
		return core.Errorf(core.CodeInvalidRequest, "listen: %q is %s", listen[:min(len(listen), 128)], what).WithParam("listen").
			WithHint("Use 127.0.0.1:8800, or an address of this PC for other machines too.")
	}
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return refuse("no HOST:PORT")
	}
	if host == "" || host == "localhost" {
		return nil
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return refuse("a name, and must be an IP address")
	}
	if ip.IsLoopback() || ip.IsUnspecified() {
		return nil
	}
	own, err := net.InterfaceAddrs()
	if err != nil {
		return nil //nolint:nilerr // listening will tell
	}
	for _, a := range own {
		if network, ok := a.(*net.IPNet); ok && network.IP.Equal(net.IP(ip.WithZone("").AsSlice())) {
			return nil
		}
	}
	return refuse("no address of this PC")
}

func readAddress(dataDir string) (string, error) {
	text, err := atomicfile.Read(filepath.Join(dataDir, addressFile), maxAddress)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read the address: %w", err)
	}
	address := strings.TrimSpace(string(text))
	u, err := url.Parse(address)
	if err == nil && u.Scheme == "http" && u.Host != "" {
		return address, nil
	}
	return "", nil // nobody but a node writes it, whole: a broken one is as good as none
}
