// Package worker runs each window in a process of its own, so that a failed assertion in llama.cpp, a full GPU or
// a damaged file never takes the node down, and memory is freed by ending the process.
//
// Engine is the node's side: it starts the worker program, hands it a window to load and turns calls into frames
// on a socket. Run is the program's side: it serves an engine.Engine over that socket and ends when the node is
// gone. The node links no llama.cpp code. README.md has the protocol.
package worker
