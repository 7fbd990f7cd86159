package config

import (
	"bytes"
	"encoding/binary"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// plain makes UTF-8 without a mark of what an editor saved: Windows' own write a mark in front, or UTF-16. Letters in an
// older encoding are an error that says where, for they would be guesses.
func plain(data []byte) ([]byte, error) {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	switch {
	case bytes.HasPrefix(data, []byte{0xff, 0xfe}):
		data = fromUTF16(data[2:], binary.LittleEndian)
	case bytes.HasPrefix(data, []byte{0xfe, 0xff}):
		data = fromUTF16(data[2:], binary.BigEndian)
	}
	if utf8.Valid(data) {
		return data, nil
	}
	line := 1
	for text := range bytes.Lines(data) {
		if !utf8.Valid(text) {
			break
		}
		line++
	}
	return nil, core.Errorf(core.CodeInvalidRequest, "config file: line %d holds letters that are not UTF-8", line).
		WithHint("Open the file in an editor and save it as UTF-8.")
}

func fromUTF16(data []byte, order binary.ByteOrder) []byte {
	units := make([]uint16, len(data)/2)
	for i := range units {
		units[i] = order.Uint16(data[2*i:])
	}
	return []byte(string(utf16.Decode(units)))
}
