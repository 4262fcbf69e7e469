from __future__ import annotations

import statistics
import time
from dataclasses import replace

from engine.cost.duration import run_time
from engine.cost.evaluation import chosen_device, evaluate
from engine.cost.fit import fit
from engine.cost.memory import training_memory
from engine.cost.parameters import count
from engine.devices.card import Device, load_cards
from engine.run_spec import RunSpec
from engine.spec import ModelSpec
from tests.computers import computer

NANO = ModelSpec()
RUN = RunSpec(batch_size=16, accumulation_steps=2, steps=10_000)
CPU = Device("cpu", "CPU", "cpu", 1, 1 << 34, 1 << 34)
GPU = replace(CPU, name="cuda:0", kind="cuda")
MPS = replace(CPU, name="mps", kind="mps")
DEVICES = (CPU, *load_cards())
CALIBRATION = computer(NANO, RUN, 0.5)


def test_it_holds_what_each_part_says() -> None:
    cost = evaluate(NANO, RUN, DEVICES, CALIBRATION)
    assert cost.parameters == count(NANO)
    assert cost.memory == training_memory(NANO, RUN)
    assert cost.fits == tuple(fit(NANO, RUN, device) for device in DEVICES)
    assert cost.run_tokens == 16 * 2 * 512 * 10_000
    assert cost.run_flops == cost.run_tokens * 40_501_248
    assert cost.optimal_tokens == 20 * 5_180_672
    assert cost.kv_cache_bytes_per_token == 6_144
    assert cost.inference_bytes["bf16"] == 2 * 5_180_672
    assert cost.inference_bytes["nf4"] < cost.inference_bytes["int8"] < 2 * 5_180_672
    assert cost.checkpoint_bytes == 12 * 5_180_672
    assert cost.device == "cpu"
    assert cost.step is not None
    assert cost.total_seconds is not None
    assert cost.total_seconds == run_time(NANO, RUN, cost.step, CALIBRATION)
    assert cost.total_seconds.seconds > cost.step.seconds * 10_000


def test_without_a_calibration_time_on_the_host_is_unknown() -> None:
    cost = evaluate(NANO, RUN, DEVICES)
    assert (cost.step, cost.total_seconds) == (None, None)


def test_auto_is_the_best_local_device() -> None:
    assert chosen_device(RUN, (CPU, MPS, GPU)) is GPU
    assert chosen_device(RUN, (CPU, MPS)) is MPS
    assert chosen_device(RUN, DEVICES) is CPU
    assert chosen_device(RUN, load_cards()) is None


def test_a_named_device_is_found_with_its_number_or_without() -> None:
    for name, expected in (("n300:1", "n300"), ("n300", "n300"), ("CPU", "cpu")):
        device = chosen_device(RUN.replace(device=name), DEVICES)
        assert device is not None
        assert device.name == expected
    assert chosen_device(RUN.replace(device="cuda"), (CPU, GPU)) is GPU
    assert chosen_device(RUN.replace(device="mps"), DEVICES) is None
    assert evaluate(NANO, RUN.replace(device="mps"), DEVICES).device is None


def test_a_card_is_timed_by_its_table() -> None:
    step = evaluate(NANO, RUN.replace(device="n150"), DEVICES).step
    assert step is not None
    assert step.kind == "estimate"


def test_where_chips_share_the_batch_memory_is_that_of_one() -> None:
    """What is foretold of a run by tt-train is what its verdict says, not all of its batch."""
    spec, run = ModelSpec(), RunSpec(device="n300", batch_size=16, card_backend="tt-train")
    cost = evaluate(spec, run, load_cards())
    (on_n300,) = (found for found in cost.fits if found.device == "n300")
    assert cost.chip_batch == on_n300.chip_batch == 8
    assert cost.memory.peak_bytes == on_n300.needed_bytes
    ours = evaluate(spec, run.replace(card_backend="ttnn"), load_cards())
    assert ours.chip_batch == 16


def test_a_slider_tick_is_answered_in_a_millisecond_or_so() -> None:
    """Generous, for a machine that is busy; benchmarks/evaluate.py measures."""
    times = []
    for number in range(50):
        spec = NANO.replace(mlp_dim=1_000 + number)
        started = time.process_time()
        evaluate(spec, RUN, DEVICES)
        times.append(time.process_time() - started)
    assert statistics.median(times) < 0.005
