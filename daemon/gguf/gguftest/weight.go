package gguftest

import (
	"crypto/sha256"
	"encoding/binary"
	"io"
	"math"
	"math/rand/v2"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/gguf"
)

// fill writes the tensor's numbers. They depend on its name and the seed only.
func fill(w io.Writer, t *gguf.Tensor, how weight, seed uint64) error {
	key := sha256.Sum256(binary.LittleEndian.AppendUint64([]byte(how.name), seed))
	src := rand.NewChaCha8(key)
	switch t.Type {
	case gguf.F32, gguf.F16, gguf.BF16:
		return fillFloats(w, t, how, rand.New(src))
	case gguf.Q8_0, gguf.Q4_0, gguf.Q4K, gguf.Q6K:
		return fillBlocks(w, t, how.std, src)
	}
	return core.Errorf(core.CodeUnsupported, "no random %s", t.Type)
}

func fillFloats(w io.Writer, t *gguf.Tensor, how weight, r *rand.Rand) error {
	buf := make([]byte, 0, 1<<16)
	for range t.Elements() {
		x := float32(how.mean + how.std*r.NormFloat64())
		switch t.Type {
		case gguf.F16:
			buf = binary.LittleEndian.AppendUint16(buf, half(x))
		case gguf.BF16:
			buf = binary.LittleEndian.AppendUint16(buf, uint16(math.Float32bits(x)>>16))
		default:
			buf = binary.LittleEndian.AppendUint32(buf, math.Float32bits(x))
		}
		if len(buf) > 1<<16-4 {
			if _, err := w.Write(buf); err != nil {
				return err
			}
			buf = buf[:0]
		}
	}
	_, err := w.Write(buf)
	return err
}

// fillBlocks writes quantised blocks directly: random quants, and a scale that gives the wanted deviation. The
// factors are the deviation of a block with scale 1 and all other bits uniform.
func fillBlocks(w io.Writer, t *gguf.Tensor, std float64, src *rand.ChaCha8) error {
	size := int(t.Type.RowBytes(t.Type.BlockElements()))
	left := t.Size()
	buf := make([]byte, size*256)
	for left > 0 {
		n := min(left, int64(len(buf)))
		if _, err := src.Read(buf[:n]); err != nil {
			return err
		}
		for at := 0; at < int(n); at += size {
			setScale(t.Type, buf[at:at+size], std)
		}
		if _, err := w.Write(buf[:n]); err != nil {
			return err
		}
		left -= n
	}
	return nil
}

// setScale overwrites a random block's half-float scales.
func setScale(t gguf.Type, block []byte, std float64) {
	put := func(at int, x float64) { binary.LittleEndian.PutUint16(block[at:], half(float32(x))) }
	switch t {
	case gguf.Q8_0:
		put(0, std/74)
	case gguf.Q4_0:
		put(0, std/4.6)
	case gguf.Q4K:
		put(0, std/258)
		put(2, std/258*7.5) // the minimum's scale: centres the weights on zero
	case gguf.Q6K:
		put(208, std/1367)
	}
}

// half rounds x towards zero to an IEEE half float; x must be smaller than 65,504.
func half(x float32) uint16 {
	bits := math.Float32bits(x)
	sign, exponent, mantissa := uint16(bits>>16&0x8000), int(bits>>23&0xff)-112, bits&0x7fffff
	switch {
	case exponent > 0:
		return sign | uint16(exponent)<<10 | uint16(mantissa>>13)
	case exponent > -10:
		return sign | uint16((mantissa|0x800000)>>(14-exponent))
	}
	return sign
}
