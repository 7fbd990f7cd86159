package secret

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"time"

	"github.com/zalando/go-keyring"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// keyringVault is the keyring of the operating system.
type keyringVault struct {
	service string
	owner   string
	timeout time.Duration
}

// keyringPossible tells whether asking for the keyring is safe. Without the address of a session bus the D-Bus
// library would start a bus of its own, which nobody would ever stop.
func keyringPossible(getenv func(string) string) bool {
	if runtime.GOOS == "windows" || runtime.GOOS == "darwin" {
		return true
	}
	address := getenv("DBUS_SESSION_BUS_ADDRESS")
	return address != "" && !strings.HasPrefix(address, "autolaunch:")
}

// probe tells whether a secret can be stored, read and deleted.
func (k *keyringVault) probe(ctx context.Context) error {
	const name = "probe"
	want := Random()
	if err := k.Set(ctx, name, want); err != nil {
		return err
	}
	got, err := k.Get(ctx, name)
	if err != nil {
		return err
	}
	if !got.Equal(want.Reveal()) {
		return errors.New("keyring: the secret read is not the one stored")
	}
	return k.Delete(ctx, name)
}

func (k *keyringVault) user(name string) string { return name + "@" + k.owner }

// Get implements Vault.
func (k *keyringVault) Get(ctx context.Context, name string) (Text, error) {
	var value string
	err := k.call(ctx, func() (err error) {
		value, err = keyring.Get(k.service, k.user(name))
		return err
	})
	if err != nil {
		return Text{}, err
	}
	return NewText(value), nil
}

// Set implements Vault.
func (k *keyringVault) Set(ctx context.Context, name string, value Text) error {
	return k.call(ctx, func() error { return keyring.Set(k.service, k.user(name), value.Reveal()) })
}

// Delete implements Vault.
func (k *keyringVault) Delete(ctx context.Context, name string) error {
	err := k.call(ctx, func() error { return keyring.Delete(k.service, k.user(name)) })
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

// Place implements Vault.
func (k *keyringVault) Place() string { return "the keyring of this account" }

// call runs fn, which may wait for a person to unlock the keyring, for the timeout at most. The goroutine of a call
// given up ends when the keyring answers.
func (k *keyringVault) call(ctx context.Context, fn func() error) error {
	ctx, cancel := context.WithTimeout(ctx, k.timeout)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- fn() }()
	select {
	case err := <-done:
		if errors.Is(err, keyring.ErrNotFound) {
			return ErrNotFound
		}
		if err != nil {
			return fmt.Errorf("keyring: %w", err)
		}
		return nil
	case <-ctx.Done():
		return core.Errorf(core.CodeTimeout, "keyring: no answer: %w", ctx.Err())
	}
}
