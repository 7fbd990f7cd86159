package gguf

import "fmt"

// Type is how a tensor's numbers are stored, with ggml's numbering.
type Type uint32

// The tensor types of llama.cpp v0.5.0.
const (
	F32    Type = 0
	F16    Type = 1
	Q4_0   Type = 2
	Q4_1   Type = 3
	Q5_0   Type = 6
	Q5_1   Type = 7
	Q8_0   Type = 8
	Q8_1   Type = 9
	Q2K    Type = 10
	Q3K    Type = 11
	Q4K    Type = 12
	Q5K    Type = 13
	Q6K    Type = 14
	Q8K    Type = 15
	IQ2XXS Type = 16
	IQ2XS  Type = 17
	IQ3XXS Type = 18
	IQ1S   Type = 19
	IQ4NL  Type = 20
	IQ3S   Type = 21
	IQ2S   Type = 22
	IQ4XS  Type = 23
	I8     Type = 24
	I16    Type = 25
	I32    Type = 26
	I64    Type = 27
	F64    Type = 28
	IQ1M   Type = 29
	BF16   Type = 30
	TQ1_0  Type = 34
	TQ2_0  Type = 35
	MXFP4  Type = 39
	NVFP4  Type = 40
	Q1_0   Type = 41
	Q2_0   Type = 42
)

// layout is a type's name and the size of its blocks.
type layout struct {
	name     string
	elements int64 // numbers in a block
	bytes    int64 // size of a block
}

// layouts is indexed by Type. Types that llama.cpp has removed have no elements.
var layouts = [...]layout{
	F32: {"F32", 1, 4}, F16: {"F16", 1, 2}, BF16: {"BF16", 1, 2}, F64: {"F64", 1, 8},
	I8: {"I8", 1, 1}, I16: {"I16", 1, 2}, I32: {"I32", 1, 4}, I64: {"I64", 1, 8},
	Q1_0: {"Q1_0", 128, 18}, Q2_0: {"Q2_0", 64, 18}, Q4_0: {"Q4_0", 32, 18}, Q4_1: {"Q4_1", 32, 20},
	Q5_0: {"Q5_0", 32, 22}, Q5_1: {"Q5_1", 32, 24}, Q8_0: {"Q8_0", 32, 34}, Q8_1: {"Q8_1", 32, 36},
	Q2K: {"Q2_K", 256, 84}, Q3K: {"Q3_K", 256, 110}, Q4K: {"Q4_K", 256, 144},
	Q5K: {"Q5_K", 256, 176}, Q6K: {"Q6_K", 256, 210}, Q8K: {"Q8_K", 256, 292},
	IQ1S: {"IQ1_S", 256, 50}, IQ1M: {"IQ1_M", 256, 56}, IQ2XXS: {"IQ2_XXS", 256, 66}, IQ2XS: {"IQ2_XS", 256, 74},
	IQ2S: {"IQ2_S", 256, 82}, IQ3XXS: {"IQ3_XXS", 256, 98}, IQ3S: {"IQ3_S", 256, 110},
	IQ4NL: {"IQ4_NL", 32, 18}, IQ4XS: {"IQ4_XS", 256, 136}, TQ1_0: {"TQ1_0", 256, 54}, TQ2_0: {"TQ2_0", 256, 66},
	MXFP4: {"MXFP4", 32, 17}, NVFP4: {"NVFP4", 64, 36},
}

// Known tells whether this llama.cpp can hold a tensor of type t.
func (t Type) Known() bool { return int(t) < len(layouts) && layouts[t].elements > 0 }

// String returns ggml's name of the type, such as Q4_K.
func (t Type) String() string {
	if !t.Known() {
		return fmt.Sprintf("type %d", uint32(t))
	}
	return layouts[t].name
}

// RowBytes is the size of n numbers of type t that lie side by side; n must be a multiple of the block.
func (t Type) RowBytes(n int64) int64 { return n / layouts[t].elements * layouts[t].bytes }

// BlockElements is how many numbers a block of type t holds.
func (t Type) BlockElements() int64 { return layouts[t].elements }

// fileTypes names the values of general.file_type, llama.cpp's enum of quantization mixes.
var fileTypes = map[uint64]string{
	0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 7: "Q8_0", 8: "Q5_0", 9: "Q5_1", 10: "Q2_K",
	11: "Q3_K_S", 12: "Q3_K_M", 13: "Q3_K_L", 14: "Q4_K_S", 15: "Q4_K_M", 16: "Q5_K_S", 17: "Q5_K_M", 18: "Q6_K",
	19: "IQ2_XXS", 20: "IQ2_XS", 21: "Q2_K_S", 22: "IQ3_XS", 23: "IQ3_XXS", 24: "IQ1_S", 25: "IQ4_NL", 26: "IQ3_S",
	27: "IQ3_M", 28: "IQ2_S", 29: "IQ2_M", 30: "IQ4_XS", 31: "IQ1_M", 32: "BF16", 36: "TQ1_0", 37: "TQ2_0",
	38: "MXFP4_MOE", 39: "NVFP4", 40: "Q1_0", 41: "Q2_0",
}

// FileTypeName is the usual name of a value of general.file_type: 15 is Q4_K_M. Unknown values have no name.
func FileTypeName(fileType uint64) string { return fileTypes[fileType] }
