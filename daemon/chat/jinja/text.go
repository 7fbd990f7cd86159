package jinja

import (
	"sort"
	"strings"
)

// Text is a string that knows which of its bytes came from a user. The zero value is empty.
type Text struct {
	s    string
	user []Span // sorted, disjoint, not empty
}

// Span is a run of bytes of a Text: Start is in it, End is not.
type Span struct{ Start, End int }

// Plain is text written by the template or by this program.
func Plain(s string) Text { return Text{s: s} }

// User is text written by a user.
func User(s string) Text {
	if s == "" {
		return Text{}
	}
	return Text{s: s, user: []Span{{0, len(s)}}}
}

// String returns the bytes without their origin.
func (t Text) String() string { return t.s }

// UserSpans are the runs of bytes that came from a user, in order. The caller must not change them.
func (t Text) UserSpans() []Span { return t.user }

// Slice is the text of the bytes from start up to end.
func (t Text) Slice(start, end int) Text {
	out := Text{s: t.s[start:end]}
	first := sort.Search(len(t.user), func(i int) bool { return t.user[i].End > start })
	for _, u := range t.user[first:] {
		if u.Start >= end {
			break
		}
		out.user = append(out.user, Span{max(u.Start, start) - start, min(u.End, end) - start})
	}
	return out
}

// like gives s the origin of t: all of it is the user's if any of t was. It is for changes that move bytes about.
func (t Text) like(s string) Text {
	if len(t.user) > 0 {
		return User(s)
	}
	return Plain(s)
}

// Builder joins texts.
type Builder struct {
	s    strings.Builder
	user []Span
}

// Write appends t.
func (b *Builder) Write(t Text) {
	at := b.s.Len()
	b.s.WriteString(t.s)
	for _, u := range t.user {
		b.mark(u.Start+at, u.End+at)
	}
}

// WriteString appends text that is not a user's.
func (b *Builder) WriteString(s string) { b.s.WriteString(s) }

// Len is the number of bytes so far.
func (b *Builder) Len() int { return b.s.Len() }

// Text returns what was written.
func (b *Builder) Text() Text { return Text{s: b.s.String(), user: b.user} }

func (b *Builder) mark(start, end int) {
	if n := len(b.user); n > 0 && b.user[n-1].End == start {
		b.user[n-1].End = end
		return
	}
	b.user = append(b.user, Span{start, end})
}

func concat(a, b Text) Text {
	var out Builder
	out.s.Grow(len(a.s) + len(b.s))
	out.Write(a)
	out.Write(b)
	return out.Text()
}
