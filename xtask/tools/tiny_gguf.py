#!/usr/bin/env python3
"""Writes a tiny model file: GGUF version 3, llama architecture, random weights, about 0.4 MB.

What it says is gibberish; it exists so that real engines can be tried without a download. The same arguments
give the same bytes on every machine (tests may keep its hash). Standard library only.

usage: tiny_gguf.py OUT.gguf [--dim 64] [--layers 2] [--ctx 4096] [--seed 7] [--f32]
"""

import argparse
import random
import struct
import sys

# Kinds of tokens, as the tokenizer section numbers them.
NORMAL, UNKNOWN, CONTROL, BYTE = 1, 2, 3, 6

# Types of metadata values.
UINT32, INT32, FLOAT32, BOOL, STRING, ARRAY = 4, 5, 6, 7, 8, 9
SCALAR_FORMATS = {UINT32: "<I", INT32: "<i", FLOAT32: "<f", BOOL: "<?"}

# Types of tensors.
TENSOR_F32, TENSOR_F16 = 0, 1

ALIGNMENT = 32
BEGIN, END, UNKNOWN_ID = 1, 4, 0
SPACE = "\u2581"  # SentencePiece's mark for the blank before a word
WORDS_AT_LEAST = 760

CHAT_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def arguments():
    parser = argparse.ArgumentParser(description="Write a tiny, deterministic GGUF model.")
    parser.add_argument("out")
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--kv-heads", type=int, default=2)
    parser.add_argument("--ctx", type=int, default=4096)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--f32", action="store_true")
    parser.add_argument("--name", default="tiny-random-llama")
    return parser.parse_args()


def vocabulary(rng):
    """Pairs (token, kind): control, the 256 bytes, characters, syllables, words of two syllables."""
    pairs = [
        ("<unk>", UNKNOWN),
        ("<s>", CONTROL),
        ("</s>", CONTROL),
        ("<|im_start|>", CONTROL),
        ("<|im_end|>", CONTROL),
    ]
    pairs += [(f"<0x{byte:02X}>", BYTE) for byte in range(256)]

    syllables = [consonant + vowel for consonant in "bcdfghjklmnpqrstvwxyz" for vowel in "aeiou"]
    words = [SPACE]
    words += [chr(code) for code in range(33, 127)]
    words += [SPACE + letter for letter in "abcdefghijklmnopqrstuvwxyz"]
    words += syllables
    words += [SPACE + syllable for syllable in syllables]
    seen = set(words)
    while len(seen) < WORDS_AT_LEAST:  # reachable by merging " ka" and "to"
        first = syllables[int(rng.random() * len(syllables))]
        second = syllables[int(rng.random() * len(syllables))]
        word = SPACE + first + second
        if word not in seen:
            seen.add(word)
            words.append(word)
    pairs += [(word, NORMAL) for word in words]

    # a size that 32 divides suits every quantisation
    pairs += [(f"<|pad_{i}|>", CONTROL) for i in range(-len(pairs) % 32)]
    return pairs


def score(index, token, kind):
    """A longer piece must win over its parts when pieces are merged, so the score rises with the length."""
    if kind == NORMAL:
        return float(len(token)) - 20.0 - index * 1e-3
    return -1000.0 if kind == BYTE else 0.0


def text(value):
    raw = value.encode()
    return struct.pack("<Q", len(raw)) + raw


def scalar(kind, value):
    return text(value) if kind == STRING else struct.pack(SCALAR_FORMATS[kind], value)


def entry(key, kind, value):
    return text(key) + struct.pack("<I", kind) + scalar(kind, value)


def entries(key, kind, values):
    return text(key) + struct.pack("<IIQ", ARRAY, kind, len(values)) + b"".join(scalar(kind, v) for v in values)


def metadata(args, pairs):
    tokens = [token for token, _ in pairs]
    kinds = [kind for _, kind in pairs]
    scores = [score(index, token, kind) for index, (token, kind) in enumerate(pairs)]
    return [
        entry("general.architecture", STRING, "llama"),
        entry("general.name", STRING, args.name),
        entry("general.alignment", UINT32, ALIGNMENT),
        entry("general.file_type", UINT32, 0 if args.f32 else 1),
        entry("llama.vocab_size", UINT32, len(pairs)),
        entry("llama.context_length", UINT32, args.ctx),
        entry("llama.embedding_length", UINT32, args.dim),
        entry("llama.block_count", UINT32, args.layers),
        entry("llama.feed_forward_length", UINT32, 2 * args.dim),
        entry("llama.attention.head_count", UINT32, args.heads),
        entry("llama.attention.head_count_kv", UINT32, args.kv_heads),
        entry("llama.rope.dimension_count", UINT32, args.dim // args.heads),
        entry("llama.rope.freq_base", FLOAT32, 10000.0),
        entry("llama.attention.layer_norm_rms_epsilon", FLOAT32, 1e-5),
        entry("tokenizer.ggml.model", STRING, "llama"),
        entry("tokenizer.ggml.pre", STRING, "default"),
        entries("tokenizer.ggml.tokens", STRING, tokens),
        entries("tokenizer.ggml.scores", FLOAT32, scores),
        entries("tokenizer.ggml.token_type", INT32, kinds),
        entry("tokenizer.ggml.bos_token_id", UINT32, BEGIN),
        entry("tokenizer.ggml.eos_token_id", UINT32, END),
        entry("tokenizer.ggml.unknown_token_id", UINT32, UNKNOWN_ID),
        entry("tokenizer.ggml.add_bos_token", BOOL, True),
        entry("tokenizer.ggml.add_eos_token", BOOL, False),
        entry("tokenizer.chat_template", STRING, CHAT_TEMPLATE),
    ]


class Weights:
    """The model's tensors, drawn in the order in which they are added."""

    def __init__(self, rng, wide):
        self.rng = rng
        self.wide = wide
        self.tensors = []  # (name, shape with the fastest dimension first, type, bytes)

    def draw(self, count, scale):
        """Uniform in (-scale, scale); no call into libm, whose last digits differ between machines."""
        return [(self.rng.random() * 2 - 1) * scale for _ in range(count)]

    def add(self, name, shape, values, wide=False):
        kind, code = (TENSOR_F32, "f") if wide or self.wide else (TENSOR_F16, "e")
        self.tensors.append((name, shape, kind, struct.pack(f"<{len(values)}{code}", *values)))

    def matrix(self, name, columns, rows, scale):
        self.add(name, [columns, rows], self.draw(rows * columns, scale))

    def norm(self, name, size):
        self.add(name, [size], [1.0] * size, wide=True)


def weights(args, rng, pairs):
    dim, hidden = args.dim, 2 * args.dim
    kv_dim = dim // args.heads * args.kv_heads
    unit = (3.0 / dim) ** 0.5  # projections of variance one
    model = Weights(rng, args.f32)

    model.matrix("token_embd.weight", dim, len(pairs), 1.0)
    for layer in range(args.layers):
        block = f"blk.{layer}."
        model.norm(block + "attn_norm.weight", dim)
        model.matrix(block + "attn_q.weight", dim, dim, unit)
        model.matrix(block + "attn_k.weight", dim, kv_dim, unit)
        model.matrix(block + "attn_v.weight", dim, kv_dim, unit)
        model.matrix(block + "attn_output.weight", dim, dim, unit)
        model.norm(block + "ffn_norm.weight", dim)
        model.matrix(block + "ffn_gate.weight", dim, hidden, unit)
        model.matrix(block + "ffn_up.weight", dim, hidden, unit)
        model.matrix(block + "ffn_down.weight", hidden, dim, unit)
    model.norm("output_norm.weight", dim)

    # Logits with a standard deviation of about three. Zero rows: control and byte tokens never win greedily and
    # stay rare when sampled.
    logits = model.draw(len(pairs) * dim, 3.0 * unit)
    for index, (_, kind) in enumerate(pairs):
        if kind != NORMAL:
            logits[index * dim : (index + 1) * dim] = [0.0] * dim
    model.add("output.weight", [dim, len(pairs)], logits)
    return model.tensors


def padding(size):
    return b"\0" * (-size % ALIGNMENT)


def encode(meta, tensors):
    out = bytearray(struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), len(meta)))
    out += b"".join(meta)
    offset = 0
    for name, shape, kind, raw in tensors:
        out += text(name) + struct.pack("<I", len(shape))
        out += b"".join(struct.pack("<Q", size) for size in shape)
        out += struct.pack("<IQ", kind, offset)
        offset += len(raw) + len(padding(len(raw)))
    out += padding(len(out))
    for *_, raw in tensors:
        out += raw + padding(len(raw))
    return out


def main():
    args = arguments()
    rng = random.Random(args.seed)  # random() is the same stream in every version of Python
    pairs = vocabulary(rng)
    encoded = encode(metadata(args, pairs), weights(args, rng, pairs))
    with open(args.out, "wb") as file:
        file.write(encoded)
    print(
        f"{args.out}: {len(encoded)} bytes, vocabulary {len(pairs)}, dim {args.dim}, layers {args.layers}",
        file=sys.stderr,
    )


if __name__ == "__main__":
    main()
