// Package wire is the form of what nodes send each other: frames, and the messages in them.
//
// A frame is a header of 5 bytes (u32 length of the body, little-endian, then u8 kind) and its body. The body of a
// control frame is a protobuf message of at most 64 KiB; that of a payload frame is raw bytes of at most 8 MiB. The
// kind tells which of the two it is, so a length is checked before anything is allocated for it.
package wire
