// Package llama runs windows of layers with stock llama.cpp libraries, loaded at run time and never patched.
//
// It is the only package that binds the libraries. A failed assertion inside them ends the process, and the
// binding ends it at start where libffi is missing, so only the worker program imports this package; the node
// talks to it through engine/worker. Everything that could make the libraries abort is checked before the call.
package llama
