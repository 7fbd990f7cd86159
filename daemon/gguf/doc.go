// Package gguf reads and writes the header of GGUF model files: metadata, and where each tensor lies.
//
// A header comes from strangers, so every count, string, shape and offset is bounded and checked before it is
// used, and memory grows with the bytes that were really read. What Read accepts, Marshal writes back byte for
// byte. Tensor data is never touched.
package gguf
