// Package renderer runs chat templates where they can do no harm.
//
// A template comes out of a stranger's file, and no Jinja library for Go can be bounded in memory or ended from
// outside: a text can be doubled in a capture, a with, a loop, a macro's argument, a join, a replace. So a render is
// done in a process of its own, a second copy of the program that looks at its own memory every two milliseconds, and
// is ended when its time is over or its client leaves. Between renders it stays warm. Steps, output and the source's
// size are bounded besides, so that most bad templates end with a reason and not with a kill.
//
// A node and its renderer exchange frames over the renderer's standard input and output: four bytes of length, big
// end first, then JSON, a question or an answer of frame.go. The renderer first writes one byte, R.
package renderer
