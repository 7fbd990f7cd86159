package model

import (
	"strings"
	"unicode/utf8"
)

// parseSpans splits a paragraph into styled runs. A mark without its partner is text.
func parseSpans(s string) []Span {
	p := spanParser{rest: s}
	for p.rest != "" {
		p.step()
	}
	p.flush()
	return p.spans
}

// lookAhead bounds how far a mark is from its partner, in bytes. It keeps a text full of marks from taking a time that
// grows with its square.
const lookAhead = 2000

func ahead(s string) string { return s[:min(len(s), lookAhead)] }

type spanParser struct {
	rest  string
	text  strings.Builder
	style Span // Bold and Italic of the text being gathered
	spans []Span
}

func (p *spanParser) flush() {
	if p.text.Len() == 0 {
		return
	}
	span := p.style
	span.Text = p.text.String()
	p.spans = append(p.spans, span)
	p.text.Reset()
}

// step reads one mark, or the text up to the next one.
func (p *spanParser) step() {
	switch {
	case p.rest[0] == '\\' && len(p.rest) > 1 && strings.IndexByte("\\`*_[]()#!|~", p.rest[1]) >= 0:
		p.text.WriteByte(p.rest[1])
		p.rest = p.rest[2:]
	case p.rest[0] == '`' && p.code():
	case strings.HasPrefix(p.rest, "**"):
		if !p.toggle("**", &p.style.Bold) {
			p.text.WriteString("**")
			p.rest = p.rest[2:]
		}
	case strings.HasPrefix(p.rest, "__") && p.wordEdge() && p.toggle("__", &p.style.Bold):
	case p.rest[0] == '*' && p.toggle("*", &p.style.Italic):
	case p.rest[0] == '_' && p.wordEdge() && p.toggle("_", &p.style.Italic):
	case (p.rest[0] == '[' || p.rest[0] == '!') && p.link():
	default:
		p.plain()
	}
}

func (p *spanParser) plain() {
	n := strings.IndexAny(p.rest[1:], "\\`*_[!")
	if n < 0 {
		n = len(p.rest) - 1
	}
	p.text.WriteString(p.rest[:n+1])
	p.rest = p.rest[n+1:]
}

func (p *spanParser) code() bool {
	run := len(p.rest) - len(strings.TrimLeft(p.rest, "`"))
	mark := p.rest[:run]
	end := strings.Index(ahead(p.rest[run:]), mark)
	if end <= 0 {
		return false
	}
	p.flush()
	p.spans = append(p.spans, Span{Text: strings.TrimSpace(p.rest[run : run+end]), Code: true})
	p.rest = p.rest[run+end+run:]
	return true
}

// toggle turns a style on where its closing mark follows, and off where it is on.
func (p *spanParser) toggle(mark string, on *bool) bool {
	after := p.rest[len(mark):]
	if !*on && (strings.HasPrefix(after, " ") || !strings.Contains(ahead(after), mark)) {
		return false
	}
	p.flush()
	*on = !*on
	p.rest = after
	return true
}

// wordEdge tells whether an underscore stands at the edge of a word; inside snake_case it is a letter.
func (p *spanParser) wordEdge() bool {
	if p.style.Italic || p.style.Bold {
		return true
	}
	before, _ := utf8.DecodeLastRuneInString(p.text.String())
	return p.text.Len() == 0 || before == ' ' || before == '\n' || before == '('
}

// link turns [label](address) and ![label](address) into text that shows both.
func (p *spanParser) link() bool {
	s := strings.TrimPrefix(p.rest, "!")
	if !strings.HasPrefix(s, "[") {
		return false
	}
	mid := strings.Index(ahead(s), "](")
	if mid < 0 || strings.ContainsAny(s[1:mid], "[]\n") {
		return false
	}
	end := strings.IndexByte(ahead(s[mid:]), ')')
	if end < 0 {
		return false
	}
	label, address := s[1:mid], s[mid+2:mid+end]
	if label != "" && label != address {
		p.text.WriteString(label + " (" + address + ")")
	} else {
		p.text.WriteString(address)
	}
	p.rest = s[mid+end+1:]
	return true
}

// alignTable pads the cells of a Markdown table so that its columns line up in a monospaced font.
func alignTable(rows []string) string {
	var cells [][]string
	var width []int
	for _, row := range rows {
		columns := strings.Split(strings.Trim(row, "|"), "|")
		for i := range columns {
			columns[i] = strings.TrimSpace(columns[i])
			if i == len(width) {
				width = append(width, 0)
			}
			if strings.Trim(columns[i], "-: ") != "" {
				width[i] = max(width[i], utf8.RuneCountInString(columns[i]))
			}
		}
		cells = append(cells, columns)
	}
	var b strings.Builder
	for r, columns := range cells {
		if r > 0 {
			b.WriteByte('\n')
		}
		for i, cell := range columns {
			fill := " "
			if cell != "" && strings.Trim(cell, "-: ") == "" {
				cell, fill = "", "─"
			}
			b.WriteString(cell + strings.Repeat(fill, max(0, width[i]-utf8.RuneCountInString(cell))))
			if i < len(columns)-1 {
				b.WriteString("  ")
			}
		}
	}
	return b.String()
}
