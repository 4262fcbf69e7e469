"""Which part of a device a run computes on."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from engine.devices.card import Device, card_name
from engine.run_spec import RunSpec

# What tt-train takes is an estimate: within 1.2 % of seven peaks that its makers published, none of
# them of a Llama block or with an optimizer. So much more is kept free for what was never compared.
TT_TRAIN_SLACK = 0.1


def as_used(device: Device, run: RunSpec) -> Device:
    """The device as the run uses it, with that part's chips, memory and speed.

    Our own graph computes on one chip of a Tenstorrent card, tt-train on all of them. Devices of
    this computer, and cards that are not in the table, are used as they are.
    """
    return _as_used(device, run.card_backend) if card_name(device.name) else device


@lru_cache(maxsize=64)
def _as_used(device: Device, backend: str) -> Device:
    if backend == "tt-train":
        slack_bytes = device.chip_memory_bytes or 0
        return replace(device, allocator_slack=TT_TRAIN_SLACK, allocator_slack_bytes=slack_bytes)
    if device.chips == 1:
        return device
    bandwidth = device.bandwidth_bytes_s
    return replace(
        device,
        chips=1,
        memory_bytes=device.chip_memory_bytes,
        bandwidth_bytes_s=None if bandwidth is None else bandwidth // device.chips,
        tflops={
            number: None if peak is None else peak / device.chips
            for number, peak in device.tflops.items()
        },
        tensix_cores=_part(device.tensix_cores, device.chips),
        sram_bytes=_part(device.sram_bytes, device.chips),
    )


def _part(number: int | None, chips: int) -> int | None:
    return None if number is None else number // chips
