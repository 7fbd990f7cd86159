package model

import "strings"

// BlockKind is a kind of Block.
type BlockKind int

// The kinds of Block.
const (
	BlockParagraph BlockKind = iota
	BlockHeading             // Level 1 to 6
	BlockCode                // Code, Language
	BlockItem                // Level 0 and deeper; Marker "•" or "1."
	BlockQuote
	BlockRule
)

// Block is a piece of an answer that is drawn on its own.
type Block struct {
	Kind     BlockKind
	Level    int
	Marker   string
	Spans    []Span
	Code     string
	Language string
}

// Span is a run of text in one style. Links are shown with their address, never followed.
type Span struct {
	Text   string
	Bold   bool
	Italic bool
	Code   bool
}

// maxBlocks bounds what one answer can make the screen lay out; the rest is one plain paragraph.
const maxBlocks = 2000

// ParseMarkup reads the Markdown that models write: headings, lists, quotes, rules, code, tables (as code), bold,
// italic and links. Nothing in it is fetched or opened: pictures and links become text. Text that is not finished
// yet, such as an open code fence, is drawn as far as it goes.
func ParseMarkup(text string) []Block {
	p := markupParser{lines: strings.Split(Clean(text), "\n")}
	for p.next < len(p.lines) {
		if len(p.blocks) >= maxBlocks {
			rest := strings.Join(p.lines[p.next:], "\n")
			return append(p.blocks, Block{Kind: BlockParagraph, Spans: []Span{{Text: rest}}})
		}
		p.block()
	}
	return p.blocks
}

type markupParser struct {
	lines  []string
	next   int
	blocks []Block
}

func (p *markupParser) add(b Block) { p.blocks = append(p.blocks, b) }

func (p *markupParser) block() {
	line := p.lines[p.next]
	trimmed := strings.TrimSpace(line)
	switch {
	case trimmed == "":
		p.next++
	case isFence(trimmed):
		p.fence(trimmed)
	case isTable(trimmed):
		p.table()
	case headingLevel(trimmed) > 0:
		level := headingLevel(trimmed)
		p.next++
		p.add(Block{Kind: BlockHeading, Level: level, Spans: parseSpans(strings.Trim(trimmed[level:], " #"))})
	case isRule(trimmed):
		p.next++
		p.add(Block{Kind: BlockRule})
	case strings.HasPrefix(trimmed, ">"):
		p.quote()
	default:
		if marker, rest, ok := listItem(trimmed); ok {
			p.item(line, marker, rest)
			return
		}
		p.paragraph()
	}
}

func isFence(s string) bool { return strings.HasPrefix(s, "```") || strings.HasPrefix(s, "~~~") }

func isTable(s string) bool { return len(s) > 2 && s[0] == '|' && s[len(s)-1] == '|' }

func headingLevel(s string) int {
	n := 0
	for n < len(s) && n < 7 && s[n] == '#' {
		n++
	}
	if n == 0 || n > 6 || n >= len(s) || s[n] != ' ' {
		return 0
	}
	return n
}

func isRule(s string) bool {
	return len(s) >= 3 && (strings.Trim(s, "-") == "" || strings.Trim(s, "*") == "" || strings.Trim(s, "_") == "")
}

// listItem splits "- text" and "12. text".
func listItem(s string) (marker, rest string, ok bool) {
	if len(s) >= 2 && (s[0] == '-' || s[0] == '*' || s[0] == '+') && s[1] == ' ' {
		return "•", strings.TrimSpace(s[2:]), true
	}
	digits := 0
	for digits < len(s) && digits < 4 && s[digits] >= '0' && s[digits] <= '9' {
		digits++
	}
	if digits > 0 && digits+1 < len(s) && (s[digits] == '.' || s[digits] == ')') && s[digits+1] == ' ' {
		return s[:digits] + ".", strings.TrimSpace(s[digits+2:]), true
	}
	return "", "", false
}

func (p *markupParser) fence(open string) {
	mark := open[:3]
	language := Line(strings.Trim(open, "`~ "), 24)
	p.next++
	var code []string
	for p.next < len(p.lines) {
		line := p.lines[p.next]
		p.next++
		if strings.HasPrefix(strings.TrimSpace(line), mark) {
			break
		}
		code = append(code, line)
	}
	p.add(Block{Kind: BlockCode, Language: language, Code: strings.Join(code, "\n")})
}

func (p *markupParser) table() {
	var rows []string
	for p.next < len(p.lines) && isTable(strings.TrimSpace(p.lines[p.next])) {
		rows = append(rows, strings.TrimSpace(p.lines[p.next]))
		p.next++
	}
	p.add(Block{Kind: BlockCode, Code: alignTable(rows)})
}

func (p *markupParser) quote() {
	var text []string
	for p.next < len(p.lines) {
		line := strings.TrimSpace(p.lines[p.next])
		if !strings.HasPrefix(line, ">") {
			break
		}
		text = append(text, strings.TrimSpace(strings.TrimLeft(line, ">")))
		p.next++
	}
	p.add(Block{Kind: BlockQuote, Spans: parseSpans(strings.Join(text, " "))})
}

func (p *markupParser) item(line, marker, rest string) {
	indent := len(line) - len(strings.TrimLeft(line, " \t"))
	p.next++
	for p.next < len(p.lines) && continues(p.lines[p.next]) {
		rest += " " + strings.TrimSpace(p.lines[p.next])
		p.next++
	}
	p.add(Block{Kind: BlockItem, Level: min(indent/2, 4), Marker: marker, Spans: parseSpans(rest)})
}

// continues tells whether a line goes on the item before it.
func continues(line string) bool {
	trimmed := strings.TrimSpace(line)
	_, _, item := listItem(trimmed)
	return trimmed != "" && !item && strings.HasPrefix(line, "  ") && plain(trimmed)
}

func (p *markupParser) paragraph() {
	var text []string
	for p.next < len(p.lines) {
		trimmed := strings.TrimSpace(p.lines[p.next])
		_, _, item := listItem(trimmed)
		if trimmed == "" || item || !plain(trimmed) {
			break
		}
		text = append(text, trimmed)
		p.next++
	}
	p.add(Block{Kind: BlockParagraph, Spans: parseSpans(strings.Join(text, "\n"))})
}

// plain tells whether a line starts no block of its own, list items aside.
func plain(s string) bool {
	return !isFence(s) && !isTable(s) && headingLevel(s) == 0 && !isRule(s) && !strings.HasPrefix(s, ">")
}
