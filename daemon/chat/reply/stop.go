package reply

import (
	"strings"
	"unicode/utf8"
)

// decoder turns bytes into whole characters; bytes that can be none become U+FFFD.
type decoder struct{ tail []byte }

func (d *decoder) write(piece []byte) string {
	d.tail = append(d.tail, piece...)
	var out strings.Builder
	for utf8.FullRune(d.tail) {
		c, n := utf8.DecodeRune(d.tail)
		out.WriteRune(c)
		d.tail = d.tail[n:]
	}
	return out.String()
}

// flush gives what is left as U+FFFD, one for each byte.
func (d *decoder) flush() string {
	n := len(d.tail)
	d.tail = nil
	return strings.Repeat("\uFFFD", n)
}

// stopper finds stop strings. Of several it takes the one that is complete first, the longest if two are.
type stopper struct {
	stops   []string
	held    string // may become a stop string
	stopped bool
	at      int // where the stop string began
}

// write returns the text that is certainly in front of any stop string; start is its place in the reply.
func (s *stopper) write(text string, start int) string {
	if s.stopped {
		return ""
	}
	if len(s.stops) == 0 {
		return text
	}
	start -= len(s.held)
	all := s.held + text
	for end := len(s.held) + 1; end <= len(all); end++ {
		if n := s.match(all[:end]); n > 0 {
			s.stopped, s.held, s.at = true, "", start+end-n
			return all[:end-n]
		}
	}
	keep := held(all, s.stops...)
	s.held = all[len(all)-keep:]
	return all[:len(all)-keep]
}

// match is the length of the longest stop string at the end of text, or 0.
func (s *stopper) match(text string) (n int) {
	for _, stop := range s.stops {
		if len(stop) > n && strings.HasSuffix(text, stop) {
			n = len(stop)
		}
	}
	return n
}

func (s *stopper) flush() string {
	text := s.held
	s.held = ""
	return text
}

// held is the length of the longest end of text with which one of the marks may begin.
func held(text string, marks ...string) (n int) {
	for _, m := range marks {
		for k := min(len(m)-1, len(text)); k > n; k-- {
			if strings.HasSuffix(text, m[:k]) {
				n = k
				break
			}
		}
	}
	return n
}
