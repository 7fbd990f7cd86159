package gguftest

// recipe is what the models of one architecture are made of.
type recipe struct {
	metadata  func(*builder)
	globals   func(*builder) // tensors outside the layers, besides the embedding and the output
	block     func(*builder) // tensors of one layer
	layerNorm bool           // normalisations have a bias and subtract the mean
	tied      bool           // the output matrix is always the embedding
	untied    bool           // the output matrix is never the embedding
	bytePair  bool           // vocabulary of GPT-2's kind instead of SentencePiece's
	layers    int            // default number of layers, where 6 hide what is special
}

// recipes follow the tensors and keys that llama.cpp v0.5.0 asks for.
var recipes = map[string]recipe{
	"llama":      {block: llama},
	"qwen2":      {block: qwen2, bytePair: true},
	"qwen3":      {block: qwen3, bytePair: true},
	"gemma3":     {block: gemma3, metadata: gemma3Metadata, tied: true, layers: 8},
	"qwen2moe":   {block: qwen2moe, metadata: sharedExpertMetadata, bytePair: true, untied: true},
	"qwen3moe":   {block: qwen3moe, metadata: expertMetadata, bytePair: true},
	"phi3":       {block: phi3, globals: ropeFactors},
	"falcon":     {block: falcon, layerNorm: true, bytePair: true},
	"gptneox":    {block: gptneox, metadata: gptneoxMetadata, layerNorm: true, bytePair: true, untied: true},
	"starcoder2": {block: starcoder2, layerNorm: true, bytePair: true},
	"stablelm":   {block: stablelm, metadata: partialRope, layerNorm: true, bytePair: true, untied: true},
	"olmo2":      {block: olmo2, bytePair: true, untied: true},
	"exaone":     {block: llama, globals: ropeFreqs, bytePair: true},
	"internlm2":  {block: llama, untied: true},
	"glm4":       {block: glm4, metadata: partialRope, bytePair: true},
	"deepseek":   {block: deepseek, metadata: deepseekMetadata, bytePair: true},
	"deepseek2":  {block: deepseek2, metadata: deepseek2Metadata, bytePair: true},
	"gpt-oss":    {block: gptOSS, metadata: gptOSSMetadata, bytePair: true, untied: true},
	"gemma":      {block: llama, tied: true},
	"gemma2":     {block: gemma2, metadata: gemma2Metadata, tied: true},
}

// The widths of what attention makes.
func (b *builder) queries() int { return b.Heads * b.HeadSize }
func (b *builder) keys() int    { return b.KVHeads * b.HeadSize }

// attention adds the four matrices of grouped-query attention.
func (b *builder) attention() {
	b.matrix("attn_q.weight", b.Embedding, b.queries())
	b.matrix("attn_k.weight", b.Embedding, b.keys())
	b.matrix("attn_v.weight", b.Embedding, b.keys())
	b.matrix("attn_output.weight", b.queries(), b.Embedding)
}

func (b *builder) attentionBias() {
	b.bias("attn_q", b.queries())
	b.bias("attn_k", b.keys())
	b.bias("attn_v", b.keys())
}

// fusedAttention has queries, keys and values in one matrix.
func (b *builder) fusedAttention() {
	b.matrix("attn_qkv.weight", b.Embedding, b.queries()+2*b.keys())
	b.matrix("attn_output.weight", b.queries(), b.Embedding)
}

// headNorms normalise each head's queries and keys.
func (b *builder) headNorms() {
	b.scale("attn_q_norm.weight", b.HeadSize)
	b.scale("attn_k_norm.weight", b.HeadSize)
}

// gated is a feed-forward network with a gate.
func (b *builder) gated() {
	b.matrix("ffn_gate.weight", b.Embedding, b.FeedForward)
	b.plain()
}

// plain is a feed-forward network without a gate of its own.
func (b *builder) plain() {
	b.matrix("ffn_up.weight", b.Embedding, b.FeedForward)
	b.matrix("ffn_down.weight", b.FeedForward, b.Embedding)
}

// fusedGate has the gate and the way up in one matrix.
func (b *builder) fusedGate() {
	b.matrix("ffn_up.weight", b.Embedding, 2*b.FeedForward)
	b.matrix("ffn_down.weight", b.FeedForward, b.Embedding)
}

// expertWidth is the inner width of one expert.
func (b *builder) expertWidth() int { return b.FeedForward / 2 }

// experts is a mixture of gated networks; the router stays float32.
func (b *builder) experts() {
	b.router()
	b.matrix("ffn_gate_exps.weight", b.Embedding, b.expertWidth(), b.Experts)
	b.matrix("ffn_up_exps.weight", b.Embedding, b.expertWidth(), b.Experts)
	b.matrix("ffn_down_exps.weight", b.expertWidth(), b.Embedding, b.Experts)
}

func (b *builder) router() { b.tensor("ffn_gate_inp.weight", 0, 0, 0.1, b.Embedding, b.Experts) }

// sharedExpert is a network that every token passes.
func (b *builder) sharedExpert() {
	b.matrix("ffn_gate_shexp.weight", b.Embedding, b.expertWidth())
	b.matrix("ffn_up_shexp.weight", b.Embedding, b.expertWidth())
	b.matrix("ffn_down_shexp.weight", b.expertWidth(), b.Embedding)
}

func expertMetadata(b *builder) {
	b.set("expert_count", b.Experts)
	b.set("expert_used_count", 2)
	b.set("expert_feed_forward_length", b.expertWidth())
}

func sharedExpertMetadata(b *builder) {
	expertMetadata(b)
	b.set("expert_shared_feed_forward_length", b.expertWidth())
}

// partialRope turns half of each head only.
func partialRope(b *builder) { b.set("rope.dimension_count", b.HeadSize/2) }

func ropeFreqs(b *builder) { b.scale("rope_freqs.weight", b.HeadSize/2) }

func ropeFactors(b *builder) {
	b.scale("rope_factors_long.weight", b.HeadSize/2)
	b.scale("rope_factors_short.weight", b.HeadSize/2)
}

func llama(b *builder) {
	b.norm("attn_norm")
	b.attention()
	b.norm("ffn_norm")
	b.gated()
}

func qwen2(b *builder) {
	llama(b)
	b.attentionBias()
}

func qwen3(b *builder) {
	llama(b)
	b.headNorms()
}

func gemma2(b *builder) {
	llama(b)
	b.norm("post_attention_norm")
	b.norm("post_ffw_norm")
}

func gemma2Metadata(b *builder) {
	b.set("attention.sliding_window", 64)
	b.setFloat("attn_logit_softcapping", 50)
	b.setFloat("final_logit_softcapping", 30)
}

func gemma3(b *builder) {
	gemma2(b)
	b.headNorms()
}

func gemma3Metadata(b *builder) {
	b.set("attention.sliding_window", 64)
	b.setFloat("rope.freq_base", 1e6)
}

func qwen2moe(b *builder) {
	b.norm("attn_norm")
	b.attention()
	b.attentionBias()
	b.norm("ffn_norm")
	b.experts()
	b.tensor("ffn_gate_inp_shexp.weight", 0, 0, 0.1, b.Embedding)
	b.sharedExpert()
}

func qwen3moe(b *builder) {
	b.norm("attn_norm")
	b.attention()
	b.headNorms()
	b.norm("ffn_norm")
	b.experts()
}

func phi3(b *builder) {
	b.norm("attn_norm")
	b.fusedAttention()
	b.norm("ffn_norm")
	b.fusedGate()
}

func falcon(b *builder) {
	b.norm("attn_norm")
	b.fusedAttention()
	b.plain()
}

func gptneox(b *builder) {
	b.norm("attn_norm")
	b.fusedAttention()
	b.bias("attn_qkv", b.queries()+2*b.keys())
	b.bias("attn_output", b.Embedding)
	b.norm("ffn_norm")
	b.plain()
	b.bias("ffn_up", b.FeedForward)
	b.bias("ffn_down", b.Embedding)
}

func gptneoxMetadata(b *builder) {
	partialRope(b)
	b.setBool("use_parallel_residual", true)
}

func starcoder2(b *builder) {
	b.norm("attn_norm")
	b.attention()
	b.attentionBias()
	b.bias("attn_output", b.Embedding)
	b.norm("ffn_norm")
	b.plain()
	b.bias("ffn_up", b.FeedForward)
	b.bias("ffn_down", b.Embedding)
}

func stablelm(b *builder) {
	b.norm("attn_norm")
	b.attention()
	b.norm("ffn_norm")
	b.gated()
}

func olmo2(b *builder) {
	b.attention()
	b.scale("attn_q_norm.weight", b.queries())
	b.scale("attn_k_norm.weight", b.keys())
	b.norm("post_attention_norm")
	b.gated()
	b.norm("post_ffw_norm")
}

func glm4(b *builder) {
	b.norm("attn_norm")
	b.attention()
	b.norm("post_attention_norm")
	b.norm("ffn_norm")
	b.fusedGate()
	b.norm("post_ffw_norm")
}

// deepseekFeedForward is dense in the first layer and a mixture in the others.
func deepseekFeedForward(b *builder) {
	b.norm("ffn_norm")
	if b.layer == 0 {
		b.gated()
		return
	}
	b.experts()
	b.sharedExpert()
}

func deepseek(b *builder) {
	b.norm("attn_norm")
	b.attention()
	deepseekFeedForward(b)
}

func deepseekMetadata(b *builder) {
	expertMetadata(b)
	b.set("expert_shared_count", 1)
	b.set("leading_dense_block_count", 1)
	b.setFloat("expert_weights_scale", 1)
}

// The ranks and head sizes of deepseek2's latent attention.
const (
	latentQuery = 64
	latentKey   = 64
	latentRope  = 16
	latentHead  = 32 // of keys without their turned part, and of values
)

func deepseek2(b *builder) {
	b.norm("attn_norm")
	b.matrix("attn_q_a.weight", b.Embedding, latentQuery)
	b.scale("attn_q_a_norm.weight", latentQuery)
	b.matrix("attn_q_b.weight", latentQuery, b.Heads*(latentHead+latentRope))
	b.matrix("attn_kv_a_mqa.weight", b.Embedding, latentKey+latentRope)
	b.scale("attn_kv_a_norm.weight", latentKey)
	b.matrix("attn_k_b.weight", latentHead, latentKey, b.Heads)
	b.matrix("attn_v_b.weight", latentKey, latentHead, b.Heads)
	b.matrix("attn_output.weight", b.Heads*latentHead, b.Embedding)
	deepseekFeedForward(b)
}

func deepseek2Metadata(b *builder) {
	deepseekMetadata(b)
	b.set("attention.head_count_kv", 1)
	b.set("attention.q_lora_rank", latentQuery)
	b.set("attention.kv_lora_rank", latentKey)
	b.set("attention.key_length", latentKey+latentRope)
	b.set("attention.value_length", latentKey)
	b.set("attention.key_length_mla", latentHead+latentRope)
	b.set("attention.value_length_mla", latentHead)
	b.set("rope.dimension_count", latentRope)
	b.setBool("expert_weights_norm", true)
}

func gptOSS(b *builder) {
	b.norm("attn_norm")
	b.attention()
	b.attentionBias()
	b.bias("attn_output", b.Embedding)
	b.tensor("attn_sinks.weight", 0, 0, 1, b.Heads)
	b.norm("post_attention_norm")
	b.experts()
	b.bias("ffn_gate_inp", b.Experts)
	b.bias("ffn_gate_exps", b.expertWidth(), b.Experts)
	b.bias("ffn_up_exps", b.expertWidth(), b.Experts)
	b.bias("ffn_down_exps", b.Embedding, b.Experts)
}

func gptOSSMetadata(b *builder) {
	expertMetadata(b)
	b.set("attention.sliding_window", 64)
}
