"""From two specs to everything that a run needs: text, tokenizer, batches, model, floors."""

from __future__ import annotations

from dataclasses import dataclass

from engine.backends.torch_backend import TorchBackend, open_backend, torch_can_use
from engine.cost.calibration import Calibration, CalibrationError, load_calibration
from engine.cost.memory import TrainingMemory, training_memory
from engine.cost.time import measured_step
from engine.data.dataset import TokenDataset
from engine.devices.host import cpu_device, resolve_device
from engine.events import Started, Warned
from engine.models.decoder import Decoder, build
from engine.parameter import SpecError
from engine.run_directory import RunDirectory
from engine.run_spec import RunSpec, attention_problem, check_run
from engine.spec import ModelSpec, check
from engine.training.compilation import compile_from
from engine.training.control import Control
from engine.training.loop import Parts
from engine.training.recorder import Recorder
from engine.training.sampling import Sampler
from engine.training.text_preparation import Announcer, CancelledError, floors_of, prepare_text
from engine.training.update import Learner, set_up
from engine.training.versions import versions

__all__ = [
    "CancelledError", "Prepared", "choose_backend", "predictions", "prepare", "stored_calibration",
]  # fmt: skip


@dataclass(frozen=True)
class Prepared:
    """A run that is ready, with what its Started event says."""

    parts: Parts
    started: Started
    compile_from: int | None


def prepare(directory: RunDirectory, recorder: Recorder, control: Control) -> Prepared:
    """Make everything ready, telling of it by events.

    Raises SpecError, CorpusError, TokenizerError or RunDirectoryError with a message that says
    what to do, and CancelledError when a person stops it.
    """
    record = directory.record()
    spec, run = check(record.model), check_run(record.run, record.model)
    announcer = Announcer(recorder, control)
    backend = choose_backend(run, recorder)
    unfused = attention_problem(run, spec, str(backend.device))
    if unfused is not None:  # "auto" may have become a device that has no such kernel
        raise unfused
    text = prepare_text(directory, record, str(backend.device), versions(), recorder, announcer)
    dataset, source = text.dataset, text.source
    announcer.say("building the model")
    model = build(spec, device=backend.device, dtype=backend.weight_dtype, seed=run.seed)
    set_up(model, run, in_fp32=backend.attention_in_fp32)
    learner = Learner(model, run, backend.autocast)
    announcer.say("counting n-grams for the floors")
    started = _started(spec, run, backend, dataset, model, floors_of(dataset, source, run))
    _warn_of_memory(_counted(spec, run, backend).peak_bytes, recorder, backend)
    sampler = Sampler(model, text.tokenizer, run, backend, text.prompts)
    parts = Parts(directory, spec, run, source, sampler, versions(), backend, model, learner)
    predicted_s = started.predicted.get("step_s")
    return Prepared(parts, started, compile_from(run, backend.device.type, predicted_s))


def choose_backend(run: RunSpec, recorder: Recorder | None = None) -> TorchBackend:
    """The device that the run asks for, ready; raise SpecError where that is not possible.

    ``auto`` passes over a GPU that this torch cannot use, and says so. A Tenstorrent card,
    which has a worker of its own (engine.launch), is none of torch's devices.
    """
    device = resolve_device(run.device)
    if device.kind == "card":
        raise SpecError(
            "device", f"{device.name} is a Tenstorrent card: torch does not train on it, its own "
            "worker does", {"device": "auto"},
        )  # fmt: skip
    name = device.name
    if run.device.strip().lower() == "auto" and not torch_can_use(name):
        if recorder is not None:
            recorder(
                Warned(
                    f"{device.title} ({name}) is here, but the installed torch cannot use it: "
                    "training on the processor. Install torch with support for it"
                )
            )
        name = cpu_device().name
    return open_backend(name, run.precision, threads=run.threads, seed=run.seed)


def _started(
    spec: ModelSpec,
    run: RunSpec,
    backend: TorchBackend,
    dataset: TokenDataset,
    model: Decoder,
    held_out: dict[str, float],
) -> Started:
    return Started(
        step=0,
        total_steps=run.steps,
        segment=1,
        params=sum(parameter.numel() for parameter in model.parameters()),
        device=str(backend.device),
        precision=run.precision,
        tokens_per_step=run.tokens_per_step(spec),
        train_tokens=len(dataset.train),
        validation_tokens=len(dataset.validation),
        vocab_size=dataset.vocab_size,
        floors=held_out,
        predicted=predictions(spec, _of_text(run, dataset), backend),
    )


def _of_text(run: RunSpec, dataset: TokenDataset) -> RunSpec:
    """The run with as many tokens to validate on as its text really has."""
    return run.replace(
        validation_tokens=max(1, min(run.validation_tokens, len(dataset.validation)))
    )


def predictions(spec: ModelSpec, run: RunSpec, backend: TorchBackend) -> dict[str, float]:
    """Estimates made before the run: ``peak_bytes``, and ``step_s`` where speed was measured.

    ``peak_bytes`` is of what engine.training.memory_meter measures: on the CPU without samples.
    ``step_s_low`` and ``step_s_high`` are the ends of the step's range.
    """
    memory = _counted(spec, run, backend)
    on_cpu = backend.device.type == "cpu"
    found = {"peak_bytes": float(memory.learning_peak_bytes if on_cpu else memory.peak_bytes)}
    calibration = stored_calibration(str(backend.device))
    step = measured_step(spec, run, calibration) if calibration is not None else None
    if step is not None:
        found |= {"step_s": step.seconds, "step_s_low": step.low, "step_s_high": step.high}
    return found


def _counted(spec: ModelSpec, run: RunSpec, backend: TorchBackend) -> TrainingMemory:
    here = run.replace(device="cpu" if backend.attention_in_fp32 else "auto")
    return training_memory(spec, here)


def stored_calibration(device: str) -> Calibration | None:
    """What was measured of ``device``; None where nothing was or the file is damaged.

    A damaged file costs a prediction, not a run: `calibrate` says what is wrong with it.
    """
    try:
        return load_calibration(device)
    except CalibrationError:
        return None


def _warn_of_memory(needed: int, recorder: Recorder, backend: TorchBackend) -> None:
    """Say before the first step that it will hardly fit: a full memory can kill without a word."""
    free = backend.free_memory_bytes()
    if free is not None and needed > free:
        recorder(
            Warned(
                f"this run needs about {needed / 2**30:.1f} GiB and {free / 2**30:.1f} GiB are "
                "free: the system may end it. Less memory: smaller batch, shorter sequences, "
                "gradient checkpointing"
            )
        )
