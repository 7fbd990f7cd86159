package secret

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"log/slog"
)

const redacted = "REDACTED"

// Text is a secret that does not show itself when it is printed, logged or encoded; Reveal does.
type Text struct{ s string }

// NewText hides s.
func NewText(s string) Text { return Text{s} }

// Random makes a secret of 256 random bits, as 64 hexadecimal digits.
func Random() Text {
	var b [32]byte
	rand.Read(b[:]) // never fails: the program ends if the system has no randomness
	return Text{hex.EncodeToString(b[:])}
}

// Reveal returns the secret itself.
func (t Text) Reveal() string { return t.s }

// IsZero tells whether there is no secret.
func (t Text) IsZero() bool { return t.s == "" }

// Equal compares in a time that does not depend on the contents.
func (t Text) Equal(other string) bool {
	return subtle.ConstantTimeCompare([]byte(t.s), []byte(other)) == 1
}

// String implements fmt.Stringer without the secret.
func (t Text) String() string { return redacted }

// GoString implements fmt.GoStringer without the secret.
func (t Text) GoString() string { return redacted }

// Format implements fmt.Formatter, so that no verb shows the secret.
func (t Text) Format(f fmt.State, _ rune) { fmt.Fprint(f, redacted) }

// LogValue implements slog.LogValuer without the secret.
func (t Text) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText implements encoding.TextMarshaler without the secret.
func (t Text) MarshalText() ([]byte, error) { return []byte(redacted), nil }
