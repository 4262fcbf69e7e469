"""The optimizer that a run asks for."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from engine.run_spec import RunSpec
from engine.training.adafactor import Adafactor
from engine.training.adamw_8bit import AdamW8bit
from engine.training.optimizer import SGD, AdamW, Momentum, Optimizer, decay_groups


def build_optimizer(parameters: Iterable[torch.Tensor], run: RunSpec) -> Optimizer:
    """The run's optimizer over fp32 ``parameters``."""
    groups = decay_groups(parameters, run.weight_decay)
    if run.optimizer == "adamw":
        return AdamW(groups, run.beta1, run.beta2)
    if run.optimizer == "adamw-8bit":
        return AdamW8bit(groups, run.beta1, run.beta2)
    if run.optimizer == "adafactor":
        return Adafactor(groups)
    if run.optimizer == "sgd-momentum":
        return Momentum(groups, run.beta1)
    assert run.optimizer == "sgd", run.optimizer
    return SGD(groups)
