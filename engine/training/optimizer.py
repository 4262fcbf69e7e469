"""The optimizers, and which weights they pull towards zero.

AdamW is Loshchilov and Hutter, "Decoupled weight decay regularization" (2019). SGD's decay is
the classical one, added to the gradient.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch

from engine.run_spec import RunSpec

# Devices whose AdamW and SGD have one fused kernel for all weights.
_FUSED_DEVICES = ("cpu", "cuda", "mps")


def decay_groups(
    parameters: Iterable[torch.Tensor], weight_decay: float
) -> list[dict[str, object]]:
    """Two groups for an optimizer: matrices (two dimensions or more) decay, vectors do not.

    Vectors are the norms' scales and all biases: pulling a scale of 1 towards 0 fights the
    network instead of keeping it simple. Embedding matrices decay with the others, as in GPT-2's
    and nanoGPT's training; when tied, the same matrix is the output head.
    """
    weights = list(parameters)
    matrices = [weight for weight in weights if weight.dim() >= 2]
    vectors = [weight for weight in weights if weight.dim() < 2]
    groups: list[dict[str, object]] = [
        {"params": matrices, "weight_decay": weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def build_optimizer(parameters: Iterable[torch.Tensor], run: RunSpec) -> torch.optim.Optimizer:
    """The run's optimizer over fp32 ``parameters``, fused where the device has fused kernels.

    The learning rate is set anew before each update (engine.schedule).
    """
    weights = list(parameters)
    groups = decay_groups(weights, run.weight_decay)
    fused = {weight.device.type for weight in weights} <= set(_FUSED_DEVICES)
    if run.optimizer == "adamw":
        betas = (run.beta1, run.beta2)
        return torch.optim.AdamW(groups, lr=run.learning_rate, betas=betas, eps=1e-8, fused=fused)
    momentum = run.beta1 if run.optimizer == "sgd-momentum" else 0.0
    return torch.optim.SGD(groups, lr=run.learning_rate, momentum=momentum, fused=fused)
