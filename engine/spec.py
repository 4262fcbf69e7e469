"""ModelSpec: the decoder-only transformer that a person designs, and the rules it must obey.

A spec may hold an impossible combination (the window shows it while it is being repaired);
``problems`` names every one of them with a fix, ``check`` raises the first.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from engine.parameter import Parameter, SpecError, Value, declared, parameters_of

SIZE, ATTENTION, FEED_FORWARD = "Size", "Attention", "Feed-forward"
POSITIONS_NORMS, TOKENS = "Positions & norms", "Tokens"
GROUPS = (SIZE, ATTENTION, FEED_FORWARD, POSITIONS_NORMS, TOKENS)


@dataclass(frozen=True)
class ModelSpec:
    """A decoder-only transformer. Defaults are nano-trickster's.

    Symbols used in formulas: V vocab_size, d hidden_dim, L num_layers, H num_heads,
    K num_kv_heads, h head size, m mlp_dim, T max_seq_len.
    """

    hidden_dim: int = declared(
        256,
        Parameter(
            "Hidden size", SIZE, "integer",
            "Width of the vector that carries each token through the model. Every weight matrix "
            "grows with it: twice the width is about four times the parameters in each block.",
            unit="features", minimum=1, maximum=65_536, multiple=32,
        ),
    )  # fmt: skip
    num_layers: int = declared(
        6,
        Parameter(
            "Layers", SIZE, "integer",
            "How many transformer blocks follow one another. More layers let the model build on "
            "its own conclusions; parameters, memory and time grow in proportion.",
            unit="blocks", minimum=1, maximum=1_024,
        ),
    )  # fmt: skip
    max_seq_len: int = declared(
        512,
        Parameter(
            "Context length", SIZE, "integer",
            "How many tokens the model can look back on. Attention work for each token grows in "
            "proportion; learned positions stop dead at this length.",
            unit="tokens", minimum=1, maximum=4_194_304,
        ),
    )  # fmt: skip
    num_heads: int = declared(
        8,
        Parameter(
            "Attention heads", ATTENTION, "integer",
            "How many patterns of attention each layer follows at once. The width is split among "
            "the heads, so more heads cost almost nothing but each becomes narrower.",
            unit="heads", minimum=1, maximum=1_024,
        ),
    )  # fmt: skip
    num_kv_heads: int = declared(
        8,
        Parameter(
            "Key/value heads", ATTENTION, "integer",
            "Heads that keys and values are computed for. Equal to the attention heads: multi-head "
            "attention; fewer: grouped-query, which shrinks the cache for generation in "
            "proportion; one: multi-query.",
            unit="heads", minimum=1, maximum=1_024,
        ),
    )  # fmt: skip
    head_dim: int | None = declared(
        None,
        Parameter(
            "Head size", ATTENTION, "integer",
            "Width of one head. Automatic: hidden size divided by the number of heads. Some models "
            "(Gemma, Qwen 3) set it apart from the hidden size.",
            unit="features", minimum=1, maximum=4_096, multiple=8, optional=True,
        ),
    )  # fmt: skip
    qkv_bias: bool = declared(
        False,
        Parameter(
            "Query/key/value bias", ATTENTION, "flag",
            "Adds a learned constant to queries, keys and values. GPT-2 and Qwen 2 have it, "
            "Llama has not.",
        ),
    )  # fmt: skip
    attention_output_bias: bool = declared(
        False,
        Parameter(
            "Output bias", ATTENTION, "flag",
            "Adds a learned constant after the heads are joined again, as GPT-2 does.",
        ),
    )  # fmt: skip
    mlp_dim: int = declared(
        768,
        Parameter(
            "Feed-forward size", FEED_FORWARD, "integer",
            "Width inside the feed-forward network, where most parameters of a typical model live. "
            "Usual: 4 × hidden with ReLU or GELU, about 8/3 × with gated activations.",
            unit="features", minimum=1, maximum=262_144, multiple=32,
        ),
    )  # fmt: skip
    activation: str = declared(
        "swiglu",
        Parameter(
            "Activation", FEED_FORWARD, "choice",
            "The bend in the feed-forward network. The gated kinds multiply two projections and "
            "need a third matrix: half as many parameters again, usually better for their cost.",
            choices={"relu": "ReLU", "gelu": "GELU", "swiglu": "SwiGLU (gated)",
                     "geglu": "GeGLU (gated)"},
        ),
    )  # fmt: skip
    mlp_bias: bool = declared(
        False,
        Parameter(
            "Feed-forward bias", FEED_FORWARD, "flag",
            "Adds a learned constant after each feed-forward matrix, as GPT-2 does.",
        ),
    )  # fmt: skip
    position: str = declared(
        "rope",
        Parameter(
            "Positions", POSITIONS_NORMS, "choice",
            "How the model knows the order of tokens. RoPE turns queries and keys by an angle that "
            "grows with position; ALiBi lowers scores with distance; learned and sinusoidal add a "
            "vector to each embedding; none leaves only the causal mask to tell.",
            choices={"none": "None", "sinusoidal": "Sinusoidal", "learned": "Learned",
                     "rope": "RoPE (rotary)", "alibi": "ALiBi"},
        ),
    )  # fmt: skip
    rope_theta: float = declared(
        10_000.0,
        Parameter(
            "RoPE base", POSITIONS_NORMS, "number",
            "Base of the rotation wavelengths. A larger base turns more slowly and keeps distant "
            "positions apart: 10,000 in Llama 2, 500,000 in Llama 3.",
            minimum=1.0, maximum=1e9,
        ),
    )  # fmt: skip
    rope_scaling: str = declared(
        "none",
        Parameter(
            "RoPE scaling", POSITIONS_NORMS, "choice",
            "Stretches rotary positions so that a model can be run beyond the length it was "
            "trained for. Linear divides positions; NTK-aware raises the base; YaRN and Llama 3 "
            "stretch slow rotations only.",
            choices={"none": "None", "linear": "Linear interpolation", "ntk": "NTK-aware",
                     "yarn": "YaRN", "llama3": "Llama 3"},
        ),
    )  # fmt: skip
    rope_factor: float = declared(
        8.0,
        Parameter(
            "Scaling factor", POSITIONS_NORMS, "number",
            "How many times longer than the original context the stretched positions reach.",
            unit="×", minimum=1.0, maximum=1_024.0,
        ),
    )  # fmt: skip
    rope_original_seq_len: int | None = declared(
        None,
        Parameter(
            "Original context", POSITIONS_NORMS, "integer",
            "The context length that the unstretched rotation was made for. Automatic: context "
            "length divided by the scaling factor.",
            unit="tokens", minimum=1, maximum=4_194_304, optional=True,
        ),
    )  # fmt: skip
    norm: str = declared(
        "rmsnorm",
        Parameter(
            "Normalization", POSITIONS_NORMS, "choice",
            "Keeps activations at a steady size. LayerNorm centres and scales with two vectors; "
            "RMSNorm only scales, with one, and works as well.",
            choices={"rmsnorm": "RMSNorm", "layernorm": "LayerNorm"},
        ),
    )  # fmt: skip
    norm_position: str = declared(
        "pre",
        Parameter(
            "Norm placement", POSITIONS_NORMS, "choice",
            "Before each sublayer (pre, with one more norm at the end) or after adding it back "
            "(post, as in the original Transformer, which needs a slow warm-up).",
            choices={"pre": "Before (pre-norm)", "post": "After (post-norm)"},
        ),
    )  # fmt: skip
    norm_eps: float = declared(
        1e-5,
        Parameter(
            "Norm epsilon", POSITIONS_NORMS, "number",
            "Small number that keeps the norm from dividing by zero.",
            minimum=1e-12, maximum=1e-1,
        ),
    )  # fmt: skip
    dropout: float = declared(
        0.0,
        Parameter(
            "Dropout", POSITIONS_NORMS, "number",
            "Fraction of activations switched off at random during training. Helps when the text "
            "is small for the model, slows learning when it is not.",
            minimum=0.0, maximum=0.9,
        ),
    )  # fmt: skip
    vocab_size: int = declared(
        256,
        Parameter(
            "Vocabulary", TOKENS, "integer",
            "How many different tokens the model knows. Characters or bytes need few and make long "
            "sequences; subwords need thousands and make short ones.",
            unit="tokens", minimum=2, maximum=1_048_576,
        ),
    )  # fmt: skip
    tied_embeddings: bool = declared(
        True,
        Parameter(
            "Tied embeddings", TOKENS, "flag",
            "Uses one matrix both to read tokens and to predict them. Saves vocabulary × hidden "
            "parameters: most of a small model with a large vocabulary.",
        ),
    )  # fmt: skip
    head_bias: bool = declared(
        False,
        Parameter(
            "Output head bias", TOKENS, "flag",
            "Adds a learned constant to each token's score. Rare; off in most models.",
        ),
    )  # fmt: skip
    init_std: float = declared(
        0.02,
        Parameter(
            "Initial spread", TOKENS, "number",
            "Standard deviation of the random weights before training.",
            minimum=1e-5, maximum=1.0,
        ),
    )  # fmt: skip

    @property
    def head_size(self) -> int:
        """Width h of one head: ``head_dim``, or d // H where that is automatic."""
        return self.head_dim if self.head_dim is not None else self.hidden_dim // self.num_heads

    @property
    def gated(self) -> bool:
        """Whether the feed-forward network has a gate, a third matrix."""
        return self.activation in ("swiglu", "geglu")

    @property
    def original_seq_len(self) -> int:
        """Context that the unstretched rotation was made for, in tokens."""
        if self.rope_original_seq_len is not None:
            return self.rope_original_seq_len
        return max(1, int(self.max_seq_len / self.rope_factor))

    def replace(self, **changes: Value) -> ModelSpec:
        """A copy with ``changes``; values must have the right type (``from_dict`` checks them)."""
        return dataclasses.replace(self, **changes)  # type: ignore[arg-type]


@lru_cache(maxsize=1)
def model_parameters() -> dict[str, Parameter]:
    """Declarations of all parameters of a ModelSpec, by name."""
    return parameters_of(ModelSpec)


def spec_from_dict(values: Mapping[str, object]) -> ModelSpec:
    """Build a spec from text-file values; raise SpecError for unknown names and wrong types.

    Missing fields take their defaults, except ``num_kv_heads``, which follows ``num_heads``.
    """
    known = model_parameters()
    for name in values:
        if name not in known:
            raise SpecError(str(name)[:60], "is not a parameter of a model")
    checked = {name: known[name].check(value) for name, value in values.items()}  # type: ignore[arg-type]
    if "num_kv_heads" not in checked and "num_heads" in checked:
        checked["num_kv_heads"] = checked["num_heads"]
    return ModelSpec().replace(**checked)


def spec_to_dict(spec: ModelSpec) -> dict[str, Value]:
    """All fields, in the order of declaration, ready for JSON."""
    return dataclasses.asdict(spec)


def problems(spec: ModelSpec) -> tuple[SpecError, ...]:
    """Everything that keeps this spec from being built, each with a fix that removes it."""
    found: list[SpecError] = []
    for name, parameter in model_parameters().items():
        try:
            parameter.check(getattr(spec, name))
        except SpecError as error:
            found.append(error)
    if found:  # combinations of illegal values say nothing more
        return tuple(found)
    for rule in (_heads_divide_width, _kv_heads_divide_heads, _even_head_size, _even_width,
                 _original_context):  # fmt: skip
        problem = rule(spec)
        if problem is not None:
            found.append(problem)
    return tuple(found)


def check(spec: ModelSpec) -> ModelSpec:
    """Return the spec, or raise the first of its problems."""
    found = problems(spec)
    if found:
        raise found[0]
    return spec


def divisors(number: int) -> tuple[int, ...]:
    """All divisors of a positive integer, ascending."""
    small = [i for i in range(1, int(number**0.5) + 1) if number % i == 0]
    return tuple(small + [number // i for i in reversed(small) if i * i != number])


def _nearest(candidates: tuple[int, ...], wanted: int) -> int:
    return min(candidates, key=lambda value: (abs(value - wanted), value))


def _heads_divide_width(spec: ModelSpec) -> SpecError | None:
    if spec.head_dim is not None or spec.hidden_dim % spec.num_heads == 0:
        return None
    options = tuple(h for h in divisors(spec.hidden_dim) if h <= 1_024)
    if spec.position == "rope":
        options = tuple(h for h in options if (spec.hidden_dim // h) % 2 == 0) or options
    heads = _nearest(options, spec.num_heads)
    fix: dict[str, Value] = {"num_heads": heads}
    if heads % spec.num_kv_heads:
        grouped = spec.num_kv_heads != spec.num_heads
        fix["num_kv_heads"] = _nearest(divisors(heads), spec.num_kv_heads) if grouped else heads
    message = f"{spec.hidden_dim:,} is not divisible by {spec.num_heads:,} heads"
    return SpecError("num_heads", message, fix)


def _kv_heads_divide_heads(spec: ModelSpec) -> SpecError | None:
    if spec.num_heads % spec.num_kv_heads == 0:
        return None
    fix = {"num_kv_heads": _nearest(divisors(spec.num_heads), spec.num_kv_heads)}
    if spec.num_kv_heads > spec.num_heads:
        message = f"there cannot be more key/value heads than the {spec.num_heads:,} heads"
    else:
        message = (
            f"{spec.num_heads:,} heads cannot share {spec.num_kv_heads:,} key/value heads evenly"
        )
    return SpecError("num_kv_heads", message, fix)


def _even_head_size(spec: ModelSpec) -> SpecError | None:
    size = spec.head_size
    if spec.position != "rope" or size % 2 == 0:
        return None
    if spec.head_dim is not None:
        fix: dict[str, Value] = {"head_dim": size + 1}
        return SpecError("head_dim", f"RoPE turns pairs of features: {size:,} is odd", fix)
    if spec.hidden_dim % spec.num_heads:
        return None  # said by _heads_divide_width already
    message = f"RoPE turns pairs of features, and each head has {size:,}, which is odd"
    wider = spec.num_heads * (size + 1)
    limit = model_parameters()["hidden_dim"].maximum
    fix = {"hidden_dim": wider if limit is None or wider <= limit else spec.num_heads * (size - 1)}
    return SpecError("hidden_dim", message, fix)


def _even_width(spec: ModelSpec) -> SpecError | None:
    if spec.position != "sinusoidal" or spec.hidden_dim % 2 == 0:
        return None
    message = f"sinusoidal positions come in pairs: {spec.hidden_dim:,} is odd"
    heads = spec.num_heads if spec.head_dim is None else 1
    wider = spec.hidden_dim + 1
    while wider % heads or wider % 2:
        wider += 1
    if wider > 65_536:
        return SpecError("position", message, {"position": "none"})
    return SpecError("hidden_dim", message, {"hidden_dim": wider})


def _original_context(spec: ModelSpec) -> SpecError | None:
    original = spec.rope_original_seq_len
    if spec.position != "rope" or spec.rope_scaling not in ("yarn", "llama3") or original is None:
        return None
    if original <= spec.max_seq_len:
        return None
    message = (
        f"the original context ({original:,}) is longer than the context ({spec.max_seq_len:,})"
    )
    return SpecError("rope_original_seq_len", message, {"rope_original_seq_len": None})
