// Package shard keeps models on disk as shards: runs of complete layers cut from a GGUF file by a fixed rule.
//
// A model's folder holds manifest.json (signed; it says how the file was cut and has every hash), gguf_header.bin
// (the original file up to its tensor data) and shard_000.bin and so on. A shard file is a reserved area, into
// which PrepareWindow writes a header for llama.cpp's loader, and then the bytes of its tensors, unchanged. The
// original file can be put together again byte for byte, and any run of shards can be loaded as a window of the
// model without copying a weight.
package shard
