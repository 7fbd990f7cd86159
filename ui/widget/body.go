package widget

import "fyne.io/fyne/v2"

// newBody is the renderer of a widget that is made of others: one object that fills it. Unlike Fyne's simple
// renderer it lays the object out anew on every refresh, so that a longer word or a hidden part moves its neighbours.
func newBody(o fyne.CanvasObject) fyne.WidgetRenderer { return &bodyRenderer{o} }

type bodyRenderer struct{ object fyne.CanvasObject }

func (r *bodyRenderer) Layout(size fyne.Size) { r.object.Resize(size) }

func (r *bodyRenderer) MinSize() fyne.Size { return r.object.MinSize() }

func (r *bodyRenderer) Refresh() { r.object.Refresh() }

func (r *bodyRenderer) Objects() []fyne.CanvasObject { return []fyne.CanvasObject{r.object} }

func (r *bodyRenderer) Destroy() {}
