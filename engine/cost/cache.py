"""Memory for using a model: weights and the key/value cache, in the formats that people use.

- fp32, bf16: every parameter in 4 or 2 bytes.
- int8: LLM.int8() (Dettmers et al. 2022, arXiv:2208.07339): the matrices of the blocks in one byte
  a number, with one fp32 scale for each output row.
- nf4: QLoRA's NormalFloat with double quantization (Dettmers et al. 2023, arXiv:2305.14314): the
  matrices of the blocks in 4 bits a number, with an 8-bit scale for every 64 numbers, an fp32 scale
  for every 256 of those and one fp32 offset a matrix: 4.127 bits a number.

Quantized formats leave embeddings, norms, biases and the head in 16 bits, as bitsandbytes does.

The cache in 4 bits is laid out in blocks of 32 numbers that share one 16-bit scale (4.5 bits a
number, as q4_0 of llama.cpp); in fp8 its scales are one a tensor and count as nothing.
"""

from __future__ import annotations

import math

from engine.cost.parameters import count
from engine.families.weight import Weight
from engine.spec import ModelSpec

WEIGHT_FORMATS = ("fp32", "bf16", "int8", "nf4")
CACHE_FORMATS = ("bf16", "fp8", "4-bit")
# Tokens in one page of a paged cache (Kwon et al. 2023, arXiv:2309.06180: vLLM's usual size).
PAGE_TOKENS = 16
_NF4_BLOCK, _NF4_SCALES = 64, 256
_CACHE_BLOCK, _CACHE_BLOCK_BYTES = 32, 32 // 2 + 2


def kv_cache_bytes_per_token(spec: ModelSpec, number_format: str = "bf16") -> int:
    """Bytes that each token of context keeps: 2·L·K·h numbers in ``number_format``.

    Raises KeyError for a format that is not in CACHE_FORMATS.
    """
    rows = 2 * spec.num_layers * spec.num_kv_heads  # of one head's size
    row = {
        "bf16": 2 * spec.head_size,
        "fp8": spec.head_size,
        "4-bit": -(-spec.head_size // _CACHE_BLOCK) * _CACHE_BLOCK_BYTES,
    }
    return rows * row[number_format]


def kv_cache_bytes(
    spec: ModelSpec,
    context_tokens: int,
    batch_size: int = 1,
    number_format: str = "bf16",
    paged: bool = False,
) -> int:
    """Bytes of the cache of ``batch_size`` sequences of ``context_tokens``.

    ``paged``: in whole pages of PAGE_TOKENS tokens, the last of each sequence partly empty.
    """
    tokens = context_tokens
    if paged:
        tokens = -(-context_tokens // PAGE_TOKENS) * PAGE_TOKENS
    return kv_cache_bytes_per_token(spec, number_format) * tokens * batch_size


def weight_bytes(spec: ModelSpec, number_format: str) -> int:
    """Bytes of all weights for using the model. Raises KeyError for an unknown format."""
    total = count(spec).total
    plain = {"fp32": 4 * total, "bf16": 2 * total}
    if number_format in plain:
        return plain[number_format]
    quantized = {"int8": _int8_bytes, "nf4": _nf4_bytes}[number_format]
    matrices = [weight for weight in count(spec).weights if _is_quantized(weight)]
    rest = total - sum(weight.count for weight in matrices)
    return 2 * rest + sum(weight.copies * quantized(weight) for weight in matrices)


def inference_bytes(
    spec: ModelSpec,
    context_tokens: int,
    batch_size: int = 1,
    weight_format: str = "bf16",
    cache_format: str = "bf16",
) -> int:
    """Bytes to generate with ``batch_size`` sequences of ``context_tokens``: weights and cache.

    Without activations of the step in progress, which are small beside either.
    """
    cache = kv_cache_bytes(spec, context_tokens, batch_size, cache_format)
    return weight_bytes(spec, weight_format) + cache


def _is_quantized(weight: Weight) -> bool:
    return weight.in_block and len(weight.shape) == 2


def _int8_bytes(weight: Weight) -> int:
    rows, columns = weight.shape
    return rows * columns + 4 * rows


def _nf4_bytes(weight: Weight) -> int:
    """Half a byte a number, a byte a block, 4 bytes a group of blocks, 4 for their mean."""
    numbers = math.prod(weight.shape)
    blocks = -(-numbers // _NF4_BLOCK)
    return -(-numbers // 2) + blocks + 4 * -(-blocks // _NF4_SCALES) + 4
