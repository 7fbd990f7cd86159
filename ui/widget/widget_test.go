package widget

import (
	"strings"
	"testing"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/test"
	base "fyne.io/fyne/v2/theme"

	"github.com/shoal-p2p/shoal/ui/model"
	"github.com/shoal-p2p/shoal/ui/theme"
)

func newApp(t *testing.T) {
	t.Helper()
	test.NewTempApp(t)
	test.ApplyTheme(t, theme.New(theme.ModeDark))
}

// shown puts a thing into a window of the given size.
func shown(t *testing.T, o fyne.CanvasObject, width, height float32) fyne.Window {
	t.Helper()
	w := test.NewTempWindow(t, o)
	w.SetPadded(false)
	w.Resize(fyne.NewSize(width, height))
	return w
}

func TestEllipsisFits(t *testing.T) {
	newApp(t)
	for _, text := range []string{"", "a", "Modellbezeichnungsübersicht", strings.Repeat("W", 300), "日本語のモデル名はここに入ります"} {
		for _, width := range []float32{20, 60, 150} {
			got := ellipsis(text, width, 14, fyne.TextStyle{})
			if w := fyne.MeasureText(got, 14, fyne.TextStyle{}).Width; got != "…" && w > width+0.5 {
				t.Errorf("%q in %v is %q, %v wide", text, width, got, w)
			}
			if got != text && !strings.HasSuffix(got, "…") {
				t.Errorf("%q in %v is %q", text, width, got)
			}
		}
	}
}

func TestColumnGivesWrappedTextItsHeight(t *testing.T) {
	newApp(t)
	text := NewParagraph(RoleBody, strings.Repeat("several words that wrap ", 20))
	below := NewText(RoleBody, "below")
	column := Column(8, text, below)
	shown(t, column, 900, 600)
	wide := text.Size().Height
	column.Resize(fyne.NewSize(200, 600))
	if text.Size().Height < 3*wide {
		t.Errorf("at 900 points the text is %v high, at 200 points %v", wide, text.Size().Height)
	}
	if below.Position().Y < text.Size().Height+8 {
		t.Errorf("the next line is at %v, inside the text of %v", below.Position().Y, text.Size().Height)
	}
}

func TestGridFollowsTheWidth(t *testing.T) {
	newApp(t)
	var tiles []fyne.CanvasObject
	for range 4 {
		tiles = append(tiles, Fixed(10, 40, canvas.NewRectangle(theme.Color(base.ColorNamePrimary))))
	}
	g := Grid(150, 10, tiles...)
	for width, lines := range map[float32]float32{1000: 1, 470: 2, 320: 2, 200: 4} {
		g.Resize(fyne.NewSize(width, 400))
		if got := g.MinSize().Height; got != lines*40+(lines-1)*10 {
			t.Errorf("at %v it is %v high, want %v lines", width, got, lines)
		}
	}
}

func TestBarStaysInItsTrack(t *testing.T) {
	newApp(t)
	b := NewBar(10)
	shown(t, Column(0, b), 200, 50)
	b.SetParts(Part{0.7, base.ColorNamePrimary}, Part{0.6, theme.ColorOthers}, Part{-3, base.ColorNameError})
	for _, o := range test.WidgetRenderer(b).Objects() {
		if right := o.Position().X + o.Size().Width; right > 200.5 || o.Size().Width < 0 {
			t.Errorf("a segment reaches from %v to %v", o.Position().X, right)
		}
	}
}

func TestButtonWorksWithoutAPointer(t *testing.T) {
	newApp(t)
	taps := 0
	b := NewButton(ButtonPrimary, "Go", "load", func() { taps++ })
	w := shown(t, Row(0, b), 200, 50)
	w.Canvas().Focus(b)
	for _, key := range []fyne.KeyName{fyne.KeySpace, fyne.KeyReturn, fyne.KeyA} {
		b.TypedKey(&fyne.KeyEvent{Name: key})
	}
	if taps != 2 {
		t.Errorf("Space, Enter and A tap %d times", taps)
	}
	b.SetEnabled(false)
	test.Tap(b)
	b.TypedKey(&fyne.KeyEvent{Name: fyne.KeyReturn})
	if taps != 2 {
		t.Error("a disabled button works")
	}
}

func TestCodeIsCopiedAsItIs(t *testing.T) {
	newApp(t)
	copied := ""
	turn := NewTurn(model.Turn{Model: "M", Text: "Run:\n```sh\nls\n\tcat a\n```\n"})
	turn.OnCopy = func(text string) { copied = text }
	shown(t, turn, 600, 400)
	for _, o := range test.LaidOutObjects(turn) {
		if b, ok := o.(*Button); ok && b.Text() == "Copy" {
			test.Tap(b)
			break // the first is that of the code; the one of the answer follows
		}
	}
	if copied != "ls\n\tcat a" {
		t.Errorf("copied %q", copied)
	}
}

// While an answer streams, what stands already must not be drawn anew with every word.
func TestStreamingKeepsFinishedBlocks(t *testing.T) {
	newApp(t)
	turn := NewTurn(model.Turn{State: model.TurnWriting, Text: "First.\n\nSecond"})
	shown(t, turn, 600, 400)
	first, second := turn.text.Objects[0], turn.text.Objects[1]
	turn.Set(model.Turn{State: model.TurnWriting, Text: "First.\n\nSecond goes on"}, true)
	if turn.text.Objects[0] != first || turn.text.Objects[1] == second {
		t.Error("the wrong blocks were drawn anew")
	}
}

func TestThoughtIsShownUntilTheAnswerStarts(t *testing.T) {
	newApp(t)
	turn := NewTurn(model.Turn{State: model.TurnWriting, Reasoning: "one\ntwo\u202E three"})
	if got := turn.thinking.Text(); got != "Thinking: two three" {
		t.Errorf("shows %q", got)
	}
	turn.Set(model.Turn{State: model.TurnDone, Reasoning: "one", Text: "Yes."}, true)
	if got := turn.thinking.Text(); !turn.thinking.Visible() || strings.Contains(got, "one") {
		t.Errorf("shows %q", got)
	}
}

// What the built-in faces lack is left to Fyne, which looks for another font.
func TestCommonBoldTextIsDrawnByItsOwnFace(t *testing.T) {
	test.NewTempApp(t)
	test.ApplyTheme(t, theme.New(theme.ModeDark))
	bold, mono := fyne.TextStyle{Bold: true}, fyne.TextStyle{Monospace: true}
	for _, text := range []string{"Shoal", "Übergröße – “ż” …", ""} {
		if faceOf(text, bold) != theme.Font(bold) || faceOf(text, mono) != theme.Font(mono) {
			t.Errorf("%q needs more than its own face", text)
		}
	}
	for _, text := range []string{"日本", "fish 🐟", "Ωmega", "1\u202f024"} {
		if faceOf(text, bold) != nil {
			t.Errorf("%q is drawn by a face that lacks some of it", text)
		}
	}
	if faceOf("Shoal", fyne.TextStyle{}) != nil {
		t.Error("regular text does without emoji")
	}
	// The same font, so the same size.
	if own, looked := sizeOf("Shoal", 14, bold), fyne.MeasureText("Shoal", 14, bold); own != looked {
		t.Errorf("%v by its own face, %v as Fyne looks for it", own, looked)
	}
}
