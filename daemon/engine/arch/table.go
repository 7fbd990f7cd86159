package arch

// row says what the windows of one architecture need. The zero row needs nothing.
type row struct {
	scaleRows     bool   // the embedding's rows are multiplied by the square root of the width, outside llama.cpp
	input         string // see Window.Input
	standIn       bool   // see Window.StandIn
	slidingPeriod int    // one layer in so many sees all positions, where the header does not say which
	slidingAlways bool   // slides even if the header has no window size; sliding layers differ in nothing else
	refuseLayers  map[int]string
	refuseLengths []int // windows of so many layers would be taken for another model
	refuseKeys    []refusedKey
	halfRows      bool // see Model.HalfRows
}

// refusedKey refuses models whose header has the key (after the architecture's name) with a value other than 0.
type refusedKey struct{ key, reason string }

// The reasons that several rows share.
const (
	scaleByCount = "its attention scale depends on the number of layers"
	liteByCount  = "llama.cpp tells its variant by the number of layers"
	fourPos      = "its rows have four positions each"
	extraHeads   = "its last layers predict several tokens at once"
	perLayerRows = "every layer reads the tokens, not only the first"
	absolutePos  = "it adds position embeddings to its input"
	stepPattern  = "which layers differ depends on their number"
	recurrent    = "it keeps recurrent state besides the KV cache"
	encoder      = "it is not a decoder"
	inputScaled  = "llama.cpp scales its input by a value of the header"
)

// nextN are layers after the last that are no part of the chain.
func nextN() refusedKey { return refusedKey{".nextn_predict_layers", extraHeads} }

// table has a row for each architecture that may run as windows.
//
// halfRows holds what llama.TestHalfRows finds. No architecture passes the check that would make half floats the default,
// that every reply at temperature 0 stays the same: counted once over 60 replies of 64 tokens, trained llamas in float32
// gave 1 and 2 others with them, and one in Q8_0 gave 33, since llama.cpp rounds the input of a quantized matrix to 8 bits
// and a half float may tip that over. What is marked changes no logit by more than a tenth of their deviation. Mixtures of
// experts do: a row that is off by so little may choose other experts. The dense families without a mark stay within the
// bound with random weights, but no trained model shows how large their hidden states become, which in gemma's may be more
// than a half float holds.
var table = map[string]row{
	"llama":      {halfRows: true},
	"qwen2":      {},
	"qwen3":      {},
	"qwen2moe":   {},
	"qwen3moe":   {},
	"phi3":       {},
	"falcon":     {},
	"gptneox":    {},
	"starcoder2": {},
	"stablelm":   {},
	"exaone":     {},
	"internlm2":  {},
	"deepseek":   {},
	"olmo2":      {slidingPeriod: 4},
	"gpt-oss":    {slidingPeriod: 2, slidingAlways: true},
	"glm4":       {input: "embd", standIn: true, refuseKeys: []refusedKey{nextN(), {".rope.dimension_sections", fourPos}}},
	"gemma":      {input: "inp_scaled"},
	"gemma2": {
		input: "inp_scaled", slidingPeriod: 2, slidingAlways: true,
		refuseLayers: map[int]string{46: scaleByCount}, refuseLengths: []int{46},
	},
	"gemma3": {
		scaleRows: true, slidingPeriod: 6,
		refuseLayers: map[int]string{62: scaleByCount}, refuseLengths: []int{62},
	},
	"deepseek2": {
		refuseLayers:  map[int]string{26: liteByCount, 27: liteByCount, 47: liteByCount, 48: liteByCount},
		refuseLengths: []int{26, 27, 47, 48}, refuseKeys: []refusedKey{nextN()},
	},
}

// refused says why well-known architectures are not in the table.
var refused = map[string]string{
	"gemma3n":         perLayerRows,
	"gemma4":          perLayerRows,
	"gpt2":            absolutePos,
	"starcoder":       absolutePos,
	"baichuan":        "its position bias depends on the number of layers",
	"command-r":       "its norms depend on the number of layers",
	"exaone4":         stepPattern,
	"llama4":          stepPattern,
	"ernie4_5-moe":    stepPattern,
	"afmoe":           stepPattern,
	"qwen2vl":         fourPos,
	"qwen3vl":         fourPos,
	"qwen3vlmoe":      fourPos,
	"qwen35":          recurrent,
	"qwen35moe":       recurrent,
	"qwen3next":       recurrent,
	"jamba":           recurrent,
	"granitehybrid":   recurrent,
	"lfm2":            recurrent,
	"lfm2moe":         recurrent,
	"nemotron_h":      recurrent,
	"nemotron_h_moe":  recurrent,
	"falcon-h1":       recurrent,
	"plamo2":          recurrent,
	"mamba":           recurrent,
	"mamba2":          recurrent,
	"rwkv6":           recurrent,
	"rwkv7":           recurrent,
	"granite":         inputScaled,
	"granitemoe":      inputScaled,
	"minicpm":         inputScaled,
	"grok":            inputScaled,
	"deepseek4":       stepPattern,
	"t5":              encoder,
	"t5encoder":       encoder,
	"bert":            encoder,
	"nomic-bert":      encoder,
	"modern-bert":     encoder,
	"nomic-bert-moe":  encoder,
	"neo-bert":        encoder,
	"jina-bert-v2":    encoder,
	"jina-bert-v3":    encoder,
	"gemma-embedding": encoder,
	"cogvlm":          "it treats rows and tokens differently",
}
