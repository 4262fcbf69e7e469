"""One model as one Python file: only the code that this very design needs.

The file reads like a lesson: constants first, then the model from the inside out, then tokens
and writing. It needs torch and safetensors and nothing of ours.
"""

from __future__ import annotations

import re
from textwrap import dedent, indent

from engine.rotary import rope_attention_factor, rope_frequencies
from engine.run_spec import RunSpec
from engine.spec import ModelSpec

_NORMS = {"rmsnorm": "nn.RMSNorm", "layernorm": "nn.LayerNorm"}
_BENDS = {"relu": "F.relu", "gelu": "F.gelu", "swiglu": "F.silu", "geglu": "F.gelu"}


def torch_script(spec: ModelSpec, run: RunSpec, tokenizer_kind: str, title: str, count: int) -> str:
    """The text of generate.py, for ``count`` parameters and one of our kinds of tokenizer."""
    parts = (
        _header(title, count, tokenizer_kind) + "\n\n" + _constants(spec),
        _positions(spec),
        _attention(spec),
        _feed_forward(spec),
        _block(spec),
        _model(spec),
        dedent(_TOKENIZERS[tokenizer_kind]).strip("\n"),
        _writing(run),
    )
    return "\n\n\n".join(part for part in parts if part) + "\n"


def _header(title: str, count: int, tokenizer_kind: str) -> str:
    plain = " ".join(re.sub(r"[^\w .,:()-]", " ", title, flags=re.ASCII).split()) or "a model"
    saved = "" if tokenizer_kind == "byte" else "import json\n"
    regex = "import re\n" if tokenizer_kind in ("bpe", "word") else ""
    unicode = "import unicodedata\n" if tokenizer_kind == "bpe" else ""
    return (
        f'"""{plain[:60]}: a language model of {count:,} parameters, written out by Trickster.\n\n'
        '    python generate.py --prompt "Once" --tokens 200\n\n'
        "Needs torch and safetensors. model.safetensors and tokenizer.json lie beside this file.\n"
        '"""\n\n'
        "from __future__ import annotations\n\n"
        f"import argparse\n{saved}import math\n{regex}{unicode}from pathlib import Path\n\n"
        "import torch\nimport torch.nn.functional as F\n"
        "from safetensors.torch import load_file\nfrom torch import nn"
    )


def _constants(spec: ModelSpec) -> str:
    lines = [
        "HERE = Path(__file__).resolve().parent",
        f"VOCABULARY, CONTEXT = {spec.vocab_size}, {spec.max_seq_len}  # tokens",
        f"WIDTH, LAYERS, FEED_FORWARD = {spec.hidden_dim}, {spec.num_layers}, {spec.mlp_dim}",
        f"HEADS, KV_HEADS, HEAD_SIZE = {spec.num_heads}, {spec.num_kv_heads}, {spec.head_size}",
        f"EPSILON = {spec.norm_eps!r}",
    ]
    return "\n".join(lines)


def _positions(spec: ModelSpec) -> str:
    if spec.position == "rope":
        return _rope(spec)
    if spec.position == "alibi":
        return dedent(_ALIBI).strip("\n")
    return dedent(_SINUSOIDAL).strip("\n") if spec.position == "sinusoidal" else ""


def _rope(spec: ModelSpec) -> str:
    if spec.rope_scaling == "none":
        speeds = f"[{spec.rope_theta!r} ** (-2 * i / HEAD_SIZE) for i in range(HEAD_SIZE // 2)]"
    else:
        numbers = "".join(f"    {speed!r},\n" for speed in rope_frequencies(spec))
        speeds = f"[\n{numbers}]"
    factor = rope_attention_factor(spec)
    scaled = f" * {factor!r}" if factor != 1 else ""
    return (
        f"# Radians a token by which each pair of features is turned\nSPEEDS = {speeds}\n\n\n"
        + (dedent(_ROPE).strip("\n").replace("SCALED", scaled))
    )


_ROPE = '''
def rotate(x):
    """RoPE: features i and i + HEAD_SIZE / 2 turn by an angle that grows with the position."""
    angles = torch.arange(x.shape[2])[:, None] * torch.tensor(SPEEDS)
    cos, sin = angles.cos()SCALED, angles.sin()SCALED
    a, b = x.chunk(2, dim=-1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), dim=-1)
'''
_ALIBI = '''
def alibi(count):
    """What is added to the scores: minus slope times distance, and minus infinity ahead."""
    power = 1 << (HEADS.bit_length() - 1)
    slopes = [2.0 ** (-8 * i / power) for i in range(1, power + 1)]
    slopes += [2.0 ** (-8 * i / (2 * power)) for i in range(1, 2 * power + 1, 2)]
    places = torch.arange(count)
    distance = places[:, None] - places[None, :]
    bias = -torch.tensor(slopes[:HEADS])[:, None, None] * distance
    return bias.masked_fill(distance < 0, -math.inf)
'''
_SINUSOIDAL = '''
def sinusoids(count):
    """A vector for each position: sines and cosines of falling speed, side by side."""
    speeds = torch.exp(torch.arange(0, WIDTH, 2) * (-math.log(10_000.0) / WIDTH))
    angles = torch.arange(count)[:, None] * speeds
    return torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(1)
'''


def _attention(spec: ModelSpec) -> str:
    turn = ["q, k = rotate(q), rotate(k)"] if spec.position == "rope" else []
    share = []
    if spec.num_kv_heads < spec.num_heads:
        share = [
            f"{name} = {name}.repeat_interleave(HEADS // KV_HEADS, dim=1)" for name in ("k", "v")
        ]
    mask = "attn_mask=alibi(count)" if spec.position == "alibi" else "is_causal=True"
    body = [
        "batch, count, _ = x.shape",
        "q = self.q_proj(x).view(batch, count, HEADS, HEAD_SIZE).transpose(1, 2)",
        "k = self.k_proj(x).view(batch, count, KV_HEADS, HEAD_SIZE).transpose(1, 2)",
        "v = self.v_proj(x).view(batch, count, KV_HEADS, HEAD_SIZE).transpose(1, 2)",
        *turn,
        *share,
        f"heads = F.scaled_dot_product_attention(q, k, v, {mask})",
        "return self.o_proj(heads.transpose(1, 2).reshape(batch, count, HEADS * HEAD_SIZE))",
    ]
    layers = [
        _linear("q_proj", "WIDTH", "HEADS * HEAD_SIZE", spec.qkv_bias),
        _linear("k_proj", "WIDTH", "KV_HEADS * HEAD_SIZE", spec.qkv_bias),
        _linear("v_proj", "WIDTH", "KV_HEADS * HEAD_SIZE", spec.qkv_bias),
        _linear("o_proj", "HEADS * HEAD_SIZE", "WIDTH", spec.attention_output_bias),
    ]
    return _module("Attention", layers, body)


def _feed_forward(spec: ModelSpec) -> str:
    layers = [
        _linear("up_proj", "WIDTH", "FEED_FORWARD", spec.mlp_bias),
        _linear("down_proj", "FEED_FORWARD", "WIDTH", spec.mlp_bias),
    ]
    bend = _BENDS[spec.activation]
    if spec.gated:
        layers.insert(0, _linear("gate_proj", "WIDTH", "FEED_FORWARD", spec.mlp_bias))
        body = f"return self.down_proj({bend}(self.gate_proj(x)) * self.up_proj(x))"
    else:
        body = f"return self.down_proj({bend}(self.up_proj(x)))"
    return _module("FeedForward", layers, [body])


def _block(spec: ModelSpec) -> str:
    norm = f"{_NORMS[spec.norm]}(WIDTH, eps=EPSILON)"
    layers = [
        f"self.input_layernorm = {norm}",
        "self.self_attn = Attention()",
        f"self.post_attention_layernorm = {norm}",
        "self.mlp = FeedForward()",
    ]
    if spec.norm_position == "pre":
        body = [
            "x = x + self.self_attn(self.input_layernorm(x))",
            "return x + self.mlp(self.post_attention_layernorm(x))",
        ]
    else:
        body = [
            "x = self.input_layernorm(x + self.self_attn(x))",
            "return self.post_attention_layernorm(x + self.mlp(x))",
        ]
    return _module("Block", layers, body)


def _model(spec: ModelSpec) -> str:
    pre = spec.norm_position == "pre"
    layers = ["self.embed_tokens = nn.Embedding(VOCABULARY, WIDTH)"]
    body = ["x = self.embed_tokens(tokens)"]
    if spec.position == "learned":
        layers.append("self.embed_positions = nn.Embedding(CONTEXT, WIDTH)")
        body.append("x = x + self.embed_positions(torch.arange(tokens.shape[1]))")
    elif spec.position == "sinusoidal":
        body.append("x = x + sinusoids(tokens.shape[1])")
    layers.append("self.layers = nn.ModuleList(Block() for _ in range(LAYERS))")
    body += ["for block in self.layers:", "    x = block(x)"]
    if pre:
        layers.append(f"self.norm = {_NORMS[spec.norm]}(WIDTH, eps=EPSILON)")
    body.append("return self.norm(x)" if pre else "return x")
    stack = _module("Stack", layers, body, "tokens")
    whole = _module(
        "Model",
        ["self.model = Stack()", _linear("lm_head", "WIDTH", "VOCABULARY", spec.head_bias)],
        ["return self.lm_head(self.model(tokens))"],
        "tokens",
    )
    load = ["def load():", '    weights = load_file(HERE / "model.safetensors")']
    if spec.tied_embeddings:
        load.append('    weights["lm_head.weight"] = weights["model.embed_tokens.weight"]')
    load += ["    model = Model()", "    model.load_state_dict(weights)", "    return model.eval()"]
    return "\n\n\n".join((stack, whole, "\n".join(load)))


def _linear(name: str, inputs: str, outputs: str, bias: bool) -> str:
    return f"self.{name} = nn.Linear({inputs}, {outputs}, bias={bias})"


def _module(name: str, layers: list[str], body: list[str], argument: str = "x") -> str:
    inner = " " * 8
    return "\n".join(
        (
            f"class {name}(nn.Module):",
            "    def __init__(self):",
            f"{inner}super().__init__()",
            indent("\n".join(layers), inner),
            "",
            f"    def forward(self, {argument}):",
            indent("\n".join(body), inner),
        )
    )


_READ = 'SAVED = json.loads((HERE / "tokenizer.json").read_text(encoding="utf-8"))'
_TOKENIZERS = {
    "character": f"""
        {_READ}
        ALPHABET = SAVED["alphabet"]
        TOKENS = len(ALPHABET)


        def encode(text):
            return [ALPHABET.index(character) for character in text if character in ALPHABET]


        def decode(ids):
            return "".join(ALPHABET[i] for i in ids)
        """,
    "byte": """
        TOKENS = 256


        def encode(text):
            return list(text.encode("utf-8", "ignore"))


        def decode(ids):
            return bytes(ids).decode("utf-8", "replace")
        """,
    "word": f"""
        {_READ}
        WORDS = ["\\N{{REPLACEMENT CHARACTER}}", *SAVED["words"]]
        TOKENS = len(WORDS)


        def encode(text):
            ids = {{word: i for i, word in enumerate(WORDS)}}
            return [ids[word] for word in re.findall(r" ?\\w+|\\s|[^\\w\\s]", text) if word in ids]


        def decode(ids):
            return "".join(WORDS[i] for i in ids)
        """,
    "bpe": f'''
        {_READ}
        MERGES = [tuple(pair) for pair in SAVED["merges"]]
        PIECES = [bytes([value]) for value in range(256)]  # what each id stands for
        IDS = {{piece: i for i, piece in enumerate(PIECES)}}
        for left, right in MERGES:
            piece = PIECES[left] + PIECES[right]
            if piece not in IDS:
                IDS[piece] = len(PIECES)
                PIECES.append(piece)
        TOKENS = len(PIECES)
        RANKS = {{pair: rank for rank, pair in enumerate(MERGES)}}
        # GPT-2's words: letters, digits or other signs, each with the space before them
        EVERY = map(chr, range(0x110000))
        NUMBERS = "".join(sign for sign in EVERY if unicodedata.category(sign) in ("Nl", "No"))
        SPACE = r"\\t-\\r \\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000"
        WORD = re.compile(
            rf"'(?:s|t|re|ve|m|ll|d)| ?[^\\W\\d_{{NUMBERS}}]+| ?[\\d{{NUMBERS}}]+"
            rf"| ?(?:[^\\w{{SPACE}}]+|_+)+|[{{SPACE}}]+(?![^{{SPACE}}])|[{{SPACE}}]+"
        )


        def encode(text):
            return [i for word in WORD.findall(text) for i in encode_word(word)]


        def encode_word(word):
            """Join the neighbours that were joined first in training, until none is left."""
            ids = list(word.encode("utf-8", "ignore"))
            while pairs := [pair for pair in zip(ids, ids[1:]) if pair in RANKS]:
                best, joined, i = min(pairs, key=RANKS.get), [], 0
                while i < len(ids):
                    if tuple(ids[i : i + 2]) == best:
                        joined.append(IDS[PIECES[best[0]] + PIECES[best[1]]])
                        i += 2
                    else:
                        joined.append(ids[i])
                        i += 1
                ids = joined
            return ids


        def decode(ids):
            return b"".join(PIECES[i] for i in ids).decode("utf-8", "replace")
        ''',
}


def _writing(run: RunSpec) -> str:
    return (
        dedent(_WRITING)
        .strip("\n")
        .replace("TEMPERATURE", repr(run.temperature))
        .replace("TOP_K", repr(run.top_k))
    )


_WRITING = '''
@torch.no_grad()
def write(model, ids, count, temperature, top_k, seed):
    """Yield ``count`` tokens, one at a time, that continue ``ids``."""
    allowed = min(TOKENS, VOCABULARY)
    random = torch.Generator().manual_seed(seed)
    window = ids[-CONTEXT:]
    for _ in range(count):
        if not window:
            probabilities = torch.zeros(VOCABULARY, dtype=torch.float64)
            probabilities[:allowed] = 1 / allowed
        else:
            if len(window) > CONTEXT:  # go on with the newer half
                window = window[-max(1, CONTEXT // 2) :]
            scores = model(torch.tensor([window]))[0, -1].double()
            scores[allowed:] = -math.inf
            scores = (scores - scores.max()) / (temperature or 1)
            if temperature and 0 < top_k < allowed:
                kept = scores.topk(top_k).indices
                scores = torch.full_like(scores, -math.inf).index_copy(0, kept, scores[kept])
            probabilities = scores.softmax(dim=0)
        if temperature == 0 and window:
            token = int(probabilities.argmax())
        else:
            token = int(torch.multinomial(probabilities, 1, generator=random))
        window = [*window, token]
        yield token


def main():
    parser = argparse.ArgumentParser(description="Write text with this model.")
    parser.add_argument("--prompt", default="", help="what the text begins with")
    parser.add_argument("--tokens", type=int, default=200, help="how many tokens to write")
    parser.add_argument("--temperature", type=float, default=TEMPERATURE, help="0: the likeliest")
    parser.add_argument("--top-k", type=int, default=TOP_K, help="choose among so many; 0: all")
    parser.add_argument("--seed", type=int, default=0, help="another number, another text")
    chosen = parser.parse_args()
    steps = write(
        load(), encode(chosen.prompt), chosen.tokens, chosen.temperature, chosen.top_k, chosen.seed
    )
    print(chosen.prompt + decode(list(steps)))


if __name__ == "__main__":
    main()
'''
