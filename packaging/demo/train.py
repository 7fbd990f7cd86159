#!/usr/bin/env python3
"""Trains Shoal's demo model from questions.txt and writes it as a GGUF file.

Needs python3-torch and python3-numpy. The run is seeded; on two cores it takes about twenty minutes.

    python3 train.py ../../assets/demo/shoal-demo.gguf
"""

import argparse
import functools
import math
import random
import re
import struct
import time
from collections import Counter
from pathlib import Path

import numpy
import torch
from torch import nn
from torch.nn import functional

WIDTH, LAYERS, HEADS, FEED_FORWARD, CONTEXT = 160, 6, 5, 448, 1024
PIECES = 320  # merges learned on top of the single characters
EPSILON, ROPE_BASE = 1e-5, 10000.0

TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
SYSTEM_PROMPTS = [
    "You are a helpful assistant.",
    "You are the demo model of Shoal.",
    "Answer briefly.",
    "You are a friendly assistant that answers in one sentence.",
]
GREETINGS = ["Hi, ", "Hello, ", "Hello! ", "Hey, ", "Please tell me: ", "Can you tell me: ", "I want to know: ", "So, "]


def read_blocks(path):
    """The training text as a list of (questions, answer)."""
    blocks, questions = [], []
    for line in Path(path).read_text(encoding="utf-8").splitlines():
        if line.startswith("Q: "):
            questions.append(line[3:])
        elif line.startswith("A: "):
            blocks.append((questions, line[3:]))
            questions = []
    return blocks


class Tokenizer:
    """SentencePiece-style byte pair encoding, token for token what llama.cpp does with the same vocabulary."""

    UNKNOWN, BEGIN, END, TURN_START, TURN_END = range(5)
    SPECIAL = ["<unk>", "<s>", "</s>", "<|im_start|>", "<|im_end|>"]

    def __init__(self, texts):
        words = Counter(w for t in texts for w in re.findall(r" ?[^ \n]+|\n| ", t))
        words = {tuple(w.replace(" ", "\u2581")): n for w, n in words.items()}
        printable = [chr(c) for c in range(33, 127)]
        characters = sorted(set("\u2581") | set(printable) | {c for w in words for c in w if c != "\n"})
        merges = []
        while len(merges) < PIECES:
            pairs = Counter()
            for w, n in words.items():
                for pair in zip(w, w[1:]):
                    pairs[pair] += n
            if not pairs:
                break
            best = max(pairs, key=lambda p: (pairs[p], p))
            merges.append("".join(best))
            words = {self._merge(w, best): n for w, n in words.items()}
        # (text, score, type): types are 1 normal, 2 unknown, 3 control, 6 byte
        self.vocab = [(s, 0.0, 2 if i == 0 else 3) for i, s in enumerate(self.SPECIAL)]
        self.vocab += [(f"<0x{b:02X}>", 0.0, 6) for b in range(256)]
        self.vocab += [(m, -float(i), 1) for i, m in enumerate(merges)]
        self.vocab += [(c, -1e4 - i, 1) for i, c in enumerate(characters)]
        while len(self.vocab) % 32:
            self.vocab.append((f"<|unused_{len(self.vocab)}|>", 0.0, 3))
        self.encode = functools.lru_cache(100_000)(self._encode)
        self.ids = {text: i for i, (text, _, kind) in enumerate(self.vocab) if kind == 1}

    @staticmethod
    def _merge(word, pair):
        out, i = [], 0
        while i < len(word):
            if i + 1 < len(word) and (word[i], word[i + 1]) == pair:
                out.append(word[i] + word[i + 1])
                i += 2
            else:
                out.append(word[i])
                i += 1
        return tuple(out)

    def _encode(self, text):
        symbols = list(text.replace(" ", "\u2581"))
        while True:
            best, at = None, -1
            for i in range(len(symbols) - 1):
                token = self.ids.get(symbols[i] + symbols[i + 1])
                if token is not None and (best is None or self.vocab[token][1] > best):
                    best, at = self.vocab[token][1], i
            if at < 0:
                break
            symbols[at : at + 2] = [symbols[at] + symbols[at + 1]]
        out = []
        for s in symbols:
            if s in self.ids:
                out.append(self.ids[s])
            else:
                out += [len(self.SPECIAL) + b for b in s.encode("utf-8")]
        return tuple(out)

    def turn(self, role, text):
        """One closed turn of a conversation, and which of its tokens the model must learn to say."""
        head = [self.TURN_START, *self.encode(role + "\n")]
        body = [*self.encode(text), self.TURN_END]
        tail = list(self.encode("\n"))
        said = role == "assistant"
        return head + body + tail, [0] * len(head) + [said] * len(body) + [0] * len(tail)


def vary(question, rng):
    """A question as people type it."""
    if rng.random() < 0.25:
        question = rng.choice(GREETINGS) + question[0].lower() + question[1:]
    if rng.random() < 0.3:
        question = question.rstrip("?.!")
    elif question[-1].isalnum() and rng.random() < 0.3:
        question += rng.choice("?.!")
    if rng.random() < 0.3:
        question = question.lower()
    if rng.random() < 0.12:  # a slip of the finger
        i = rng.randrange(len(question))
        question = question[:i] + question[i + 1 :]
    return question or "?"


def conversation(blocks, tokenizer, rng):
    """A random conversation of one to three turns as (tokens, weights)."""
    turns = []
    if rng.random() < 0.3:
        turns.append(("system", rng.choice(SYSTEM_PROMPTS)))
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        questions, answer = rng.choice(blocks)
        turns += [("user", vary(rng.choice(questions), rng)), ("assistant", answer)]
    tokens, weights = [tokenizer.BEGIN], [0]
    for role, text in turns:
        t, w = tokenizer.turn(role, text)
        tokens += t
        weights += w
    return tokens, weights


class Norm(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(WIDTH))

    def forward(self, x):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + EPSILON) * self.weight


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.attn_norm, self.ffn_norm = Norm(), Norm()
        linear = lambda i, o: nn.Linear(i, o, bias=False)
        self.attn_q, self.attn_k, self.attn_v = (linear(WIDTH, WIDTH) for _ in range(3))
        self.attn_output = linear(WIDTH, WIDTH)
        self.ffn_gate, self.ffn_up = linear(WIDTH, FEED_FORWARD), linear(WIDTH, FEED_FORWARD)
        self.ffn_down = linear(FEED_FORWARD, WIDTH)

    def forward(self, x, cos, sin, mask):
        b, n, _ = x.shape
        split = lambda t: t.view(b, n, HEADS, WIDTH // HEADS).transpose(1, 2)
        y = self.attn_norm(x)
        q, k, v = rotate(split(self.attn_q(y)), cos, sin), rotate(split(self.attn_k(y)), cos, sin), split(self.attn_v(y))
        scores = q @ k.transpose(-1, -2) / math.sqrt(WIDTH // HEADS) + mask
        x = x + self.attn_output((scores.softmax(-1) @ v).transpose(1, 2).reshape(b, n, WIDTH))
        y = self.ffn_norm(x)
        return x + self.ffn_down(functional.silu(self.ffn_gate(y)) * self.ffn_up(y))


def rotate(x, cos, sin):
    """Rotary embedding over neighbouring pairs, as llama.cpp does for the llama architecture."""
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), -1).flatten(-2)


class Model(nn.Module):
    def __init__(self, vocabulary):
        super().__init__()
        self.token_embd = nn.Embedding(vocabulary, WIDTH)
        self.blk = nn.ModuleList(Layer() for _ in range(LAYERS))
        self.output_norm = Norm()
        self.output = nn.Linear(WIDTH, vocabulary, bias=False)
        for p in self.parameters():
            if p.dim() == 2:
                nn.init.normal_(p, std=0.02 if p.shape[0] == vocabulary else p.shape[1] ** -0.5)

    def forward(self, tokens):
        n = tokens.shape[1]
        half = WIDTH // HEADS // 2
        angle = torch.arange(n)[:, None] * ROPE_BASE ** (-torch.arange(half) / half)[None]
        mask = torch.full((n, n), float("-inf")).triu(1)
        x = self.token_embd(tokens)
        for layer in self.blk:
            x = layer(x, angle.cos(), angle.sin(), mask)
        return self.output(self.output_norm(x))


def train(model, blocks, tokenizer, steps, batch, rng):
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, betas=(0.9, 0.98), weight_decay=0.02)
    started = time.time()
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 3e-3 * min(1, step / 50) * (0.5 + 0.5 * math.cos(math.pi * step / steps)) + 1e-5
        rows = [conversation(blocks, tokenizer, rng) for _ in range(batch)]
        width = max(len(t) for t, _ in rows)
        tokens = torch.tensor([t + [0] * (width - len(t)) for t, _ in rows])
        weights = torch.tensor([w + [0] * (width - len(w)) for _, w in rows], dtype=torch.float)
        logits = model(tokens[:, :-1])
        loss = functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten(), reduction="none")
        w = weights[:, 1:].flatten()
        loss = (loss * w).sum() / w.sum()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % 25 == 0 or step == steps - 1:
            print(f"step {step} loss {loss.item():.4f} {time.time() - started:.0f} s", flush=True)


@torch.no_grad()
def answer(model, tokenizer, question):
    tokens = [tokenizer.BEGIN, *tokenizer.turn("user", question)[0], tokenizer.TURN_START, *tokenizer.encode("assistant\n")]
    start = len(tokens)
    while len(tokens) < start + 120:
        token = model(torch.tensor([tokens]))[0, -1].argmax().item()
        if token == tokenizer.TURN_END:
            break
        tokens.append(token)
    return "".join(tokenizer.vocab[t][0] for t in tokens[start:]).replace("\u2581", " ")


def gguf_string(s):
    raw = s.encode("utf-8")
    return struct.pack("<Q", len(raw)) + raw


def gguf_value(value):
    """(type, bytes) of a metadata value: bool 7, uint32 4, float32 6, string 8, array 9."""
    if isinstance(value, bool):
        return 7, struct.pack("<?", value)
    if isinstance(value, int):
        return 4, struct.pack("<I", value)
    if isinstance(value, float):
        return 6, struct.pack("<f", value)
    if isinstance(value, str):
        return 8, gguf_string(value)
    kind, items = value
    body = b"".join(gguf_string(v) if kind == 8 else struct.pack({6: "<f", 5: "<i"}[kind], v) for v in items)
    return 9, struct.pack("<IQ", kind, len(items)) + body


def quantize_q8(array):
    """Rows of 32-value blocks: a half-float scale and 32 signed bytes each."""
    blocks = array.reshape(-1, 32).astype(numpy.float32)
    scale = (numpy.abs(blocks).max(1) / 127).astype(numpy.float16)
    divisor = numpy.where(scale == 0, 1, scale).astype(numpy.float32)[:, None]
    values = numpy.clip(numpy.round(blocks / divisor), -127, 127).astype(numpy.int8)
    return numpy.concatenate([scale[:, None].view(numpy.uint8), values.view(numpy.uint8)], 1).tobytes()


def write_gguf(path, model, tokenizer):
    metadata = {
        "general.architecture": "llama",
        "general.name": "Shoal demo",
        "general.license": "mit",
        "general.description": "A very small model that answers a few questions about Shoal",
        "general.file_type": 7,  # Q8_0
        "llama.block_count": LAYERS,
        "llama.context_length": CONTEXT,
        "llama.embedding_length": WIDTH,
        "llama.feed_forward_length": FEED_FORWARD,
        "llama.attention.head_count": HEADS,
        "llama.attention.head_count_kv": HEADS,
        "llama.attention.layer_norm_rms_epsilon": EPSILON,
        "llama.rope.dimension_count": WIDTH // HEADS,
        "llama.rope.freq_base": ROPE_BASE,
        "llama.vocab_size": len(tokenizer.vocab),
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": (8, [t for t, _, _ in tokenizer.vocab]),
        "tokenizer.ggml.scores": (6, [s for _, s, _ in tokenizer.vocab]),
        "tokenizer.ggml.token_type": (5, [k for _, _, k in tokenizer.vocab]),
        "tokenizer.ggml.unknown_token_id": tokenizer.UNKNOWN,
        "tokenizer.ggml.bos_token_id": tokenizer.BEGIN,
        "tokenizer.ggml.eos_token_id": tokenizer.TURN_END,
        "tokenizer.ggml.padding_token_id": tokenizer.END,
        "tokenizer.ggml.add_bos_token": True,
        "tokenizer.ggml.add_space_prefix": False,
        "tokenizer.chat_template": TEMPLATE,
    }
    header, data = b"", b""
    tensors = [(n, p.detach().numpy()) for n, p in model.named_parameters()]
    for name, array in tensors:
        raw = quantize_q8(array) if array.ndim == 2 else array.astype(numpy.float32).tobytes()
        dims = array.shape[::-1]
        header += gguf_string(name) + struct.pack("<I", len(dims)) + struct.pack(f"<{len(dims)}Q", *dims)
        header += struct.pack("<IQ", 8 if array.ndim == 2 else 0, len(data))
        data += raw + b"\0" * (-len(raw) % 32)
    pairs = b"".join(gguf_string(k) + struct.pack("<I", t) + v for k, (t, v) in ((k, gguf_value(v)) for k, v in metadata.items()))
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata)) + pairs + header
    Path(path).write_bytes(head + b"\0" * (-len(head) % 32) + data)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output")
    parser.add_argument("--steps", type=int, default=700)
    parser.add_argument("--batch", type=int, default=24)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.manual_seed(8800)
    torch.set_num_threads(options.threads)
    rng = random.Random(8800)
    blocks = read_blocks(Path(__file__).with_name("questions.txt"))
    tokenizer = Tokenizer([t for questions, a in blocks for t in questions + [a] * 3] + SYSTEM_PROMPTS + GREETINGS)
    model = Model(len(tokenizer.vocab))
    print(len(tokenizer.vocab), "tokens,", sum(p.numel() for p in model.parameters()), "parameters")
    train(model, blocks, tokenizer, options.steps, options.batch, rng)
    wrong = [(q, got) for qs, a in blocks for q in qs if (got := answer(model, tokenizer, q)) != a]
    write_gguf(options.output, model, tokenizer)
    print(f"wrote {options.output}; {len(wrong)} of {sum(len(q) for q, _ in blocks)} questions answered differently")
    for question, got in wrong[:20]:
        print("  ", question, "->", got)


if __name__ == "__main__":
    main()
