"""Memory for using a model: weights and the key/value cache."""

from __future__ import annotations

from engine.cost.parameters import count
from engine.spec import ModelSpec

WEIGHT_BITS = {"fp32": 32, "bf16": 16, "int8": 8, "4-bit": 4}
CACHE_BITS = {"bf16": 16, "fp8": 8, "4-bit": 4}


def kv_cache_bytes_per_token(spec: ModelSpec, bits: int = 16) -> int:
    """Bytes that each token of context keeps: 2·L·K·h numbers of ``bits`` bits, rounded up.

    Without the scales that block formats add (4-bit: about an eighth more).
    """
    numbers = 2 * spec.num_layers * spec.num_kv_heads * spec.head_size
    return -(-numbers * bits // 8)


def weight_bytes(spec: ModelSpec, bits: int) -> int:
    """Bytes of all weights at ``bits`` bits each, rounded up."""
    return -(-count(spec).total * bits // 8)


def inference_bytes(
    spec: ModelSpec, context_tokens: int, batch_size: int = 1, bits: int = 16, cache_bits: int = 16
) -> int:
    """Bytes to generate with ``batch_size`` sequences of ``context_tokens``: weights and cache.

    Without activations of the step in progress, which are small beside either.
    """
    cache = kv_cache_bytes_per_token(spec, cache_bits) * context_tokens * batch_size
    return weight_bytes(spec, bits) + cache
