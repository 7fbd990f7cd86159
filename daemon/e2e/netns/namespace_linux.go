package netns

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// Namespace is a place with network interfaces, addresses and routes of its own, as a PC or a router has.
type Namespace struct{ name string }

// New makes a namespace without a link to anywhere. Interfaces in it have no IPv6, so that a test knows every path.
func New(name string) (*Namespace, error) {
	n := &Namespace{name}
	if err := run("ip", "netns", "add", name); err != nil {
		return nil, err
	}
	for _, setting := range []string{"ipv6/conf/all/disable_ipv6", "ipv6/conf/default/disable_ipv6"} {
		_ = n.set(setting) // a kernel without IPv6 has no such setting
	}
	return n, n.IP("link set lo up")
}

// Close takes the namespace down; what still runs in it loses its network.
func (n *Namespace) Close() error { return run("ip", "netns", "del", n.name) }

// Within is the command that runs another one in the namespace.
func (n *Namespace) Within() []string { return []string{"ip", "netns", "exec", n.name} }

// Run runs a command in the namespace.
func (n *Namespace) Run(command ...string) error { return run(append(n.Within(), command...)...) }

// IP runs commands of ip in the namespace, such as "link set eth0 up".
func (n *Namespace) IP(commands ...string) error {
	for _, c := range commands {
		if err := run(append([]string{"ip", "-n", n.name}, strings.Fields(c)...)...); err != nil {
			return err
		}
	}
	return nil
}

func run(command ...string) error {
	if text, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(command, " "), err, text)
	}
	return nil
}

// Join puts a cable between two namespaces.
func Join(a *Namespace, nameA string, b *Namespace, nameB string) error {
	return run("ip", "link", "add", nameA, "netns", a.name, "type", "veth", "peer", "name", nameB, "netns", b.name)
}

// Bridge makes a namespace a switch between the interfaces given.
func (n *Namespace) Bridge(interfaces ...string) error {
	commands := []string{"link add name bridge type bridge", "link set bridge up"}
	for _, name := range interfaces {
		commands = append(commands, "link set dev "+name+" master bridge", "link set dev "+name+" up")
	}
	return n.IP(commands...)
}

// Forward makes a namespace a router.
func (n *Namespace) Forward() error { return n.set("ipv4/ip_forward") }

// set switches on a setting of the kernel for the namespace.
func (n *Namespace) set(setting string) error {
	return n.Do(func() error { return os.WriteFile(filepath.Join("/proc/sys/net", setting), []byte("1"), 0) })
}

// NAT makes a namespace a router that hides what is behind it: packets that leave by the interface carry its address,
// and only answers come back in. The kernel keeps the port of the sender for all who are called, if it is free, so
// that the next one to be called sees the same port. A random router takes another port for each.
func (n *Namespace) NAT(wan string, random bool) error {
	masquerade := "masquerade"
	if random {
		masquerade += " fully-random"
	}
	if err := n.Forward(); err != nil {
		return err
	}
	return n.Run("nft", fmt.Sprintf(`
		table ip nat {
			chain out { type nat hook postrouting priority 100; oifname %[1]q %[2]s; }
		}
		table ip filter {
			chain in { type filter hook input priority 0; iifname %[1]q ct state new,invalid drop; }
			chain through { type filter hook forward priority 0; ct status dnat accept; iifname %[1]q ct state new,invalid drop; }
		}`, wan, masquerade))
}

// Open makes a router with NAT pass on what comes in for a port, as one does whose owner set that up.
func (n *Namespace) Open(wan, port, to string) error {
	return n.Run("nft", fmt.Sprintf(`table ip nat {
		chain in { type nat hook prerouting priority -100; iifname %[1]q meta l4proto { tcp, udp } th dport %[2]s dnat to %[3]s; }
	}`, wan, port, to))
}

// Do calls do on a thread that is in the namespace. Sockets that do opens itself stay in it.
func (n *Namespace) Do(do func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		done <- func() error {
			fd, err := unix.Open(filepath.Join("/run/netns", n.name), unix.O_RDONLY|unix.O_CLOEXEC, 0)
			if err != nil {
				return fmt.Errorf("enter %s: %w", n.name, err)
			}
			defer unix.Close(fd)
			if err := unix.Setns(fd, unix.CLONE_NEWNET); err != nil {
				return fmt.Errorf("enter %s: %w", n.name, err)
			}
			return do()
		}()
	}()
	return <-done
}

// Dial connects to an address in the namespace, which must be an IP address and a port.
func (n *Namespace) Dial(ctx context.Context, network, address string) (conn net.Conn, err error) {
	err = n.Do(func() (err error) {
		conn, err = (&net.Dialer{}).DialContext(ctx, network, address)
		return err
	})
	return conn, err
}
