"""RunSpec: how a designed model is trained: text, batch, optimizer, schedule, device.

Like ModelSpec, each field is declared once and read by window, command line and documentation.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from engine.parameter import Parameter, SpecError, Value, declared, parameters_of
from engine.spec import ModelSpec, model_parameters

TEXT, BATCH, LEARNING = "Text", "Batch & length", "Learning"
MACHINE, RECORDS = "Machine", "Records & samples"
RUN_GROUPS = (TEXT, BATCH, LEARNING, MACHINE, RECORDS)


@dataclass(frozen=True)
class RunSpec:
    """One training run. Defaults are the first-minute recipe: learning shows on a small laptop."""

    corpus: str = declared(
        "python-stdlib",
        Parameter("Text", TEXT, "text",
                  "What the model learns from: a text of the catalogue, a file or a folder."),
    )  # fmt: skip
    tokenizer: str = declared(
        "auto",
        Parameter(
            "Tokenizer", TEXT, "choice",
            "How text is cut into tokens. Automatic goes by the vocabulary: below 256 characters, "
            "below 512 bytes, from there subwords (BPE) learned from the text.",
            choices={"auto": "Automatic", "character": "Characters", "byte": "Bytes",
                     "bpe": "Subwords (BPE)"},
        ),
    )  # fmt: skip
    train_fraction: float = declared(
        0.9,
        Parameter("Training part", TEXT, "number",
                  "Fraction of the text that is learned; the rest, at its end, only measures.",
                  minimum=0.5, maximum=0.99),
    )  # fmt: skip
    batch_size: int = declared(
        12,
        Parameter("Batch size", BATCH, "integer",
                  "Sequences worked on at once. Activations grow in proportion.",
                  unit="sequences", minimum=1, maximum=65_536),
    )  # fmt: skip
    seq_len: int | None = declared(
        None,
        Parameter("Sequence length", BATCH, "integer",
                  "Tokens in each training sequence; automatic: the model's context length.",
                  unit="tokens", minimum=1, maximum=4_194_304, optional=True,
                  none_label="context length"),
    )  # fmt: skip
    accumulation_steps: int = declared(
        1,
        Parameter("Accumulation", BATCH, "integer",
                  "Batches whose gradients are added up before one update: a larger batch in the "
                  "same memory.",
                  unit="batches", minimum=1, maximum=4_096),
    )  # fmt: skip
    steps: int = declared(
        2_000,
        Parameter("Steps", LEARNING, "integer", "Updates of the weights in this run.",
                  unit="updates", minimum=1, maximum=100_000_000),
    )  # fmt: skip
    learning_rate: float = declared(
        1e-3,
        Parameter("Learning rate", LEARNING, "number",
                  "Size of each update at its peak. Too large and the loss leaps or diverges, too "
                  "small and nothing happens.",
                  minimum=1e-8, maximum=10.0),
    )  # fmt: skip
    schedule: str = declared(
        "cosine",
        Parameter("Schedule", LEARNING, "choice",
                  "What the learning rate does after warm-up.",
                  choices={"cosine": "Cosine decay", "constant": "Constant"}),
    )  # fmt: skip
    warmup_steps: int = declared(
        100,
        Parameter("Warm-up", LEARNING, "integer",
                  "Steps over which the learning rate rises from zero, so that the first, noisy "
                  "gradients do little harm.",
                  unit="updates", minimum=0, maximum=10_000_000),
    )  # fmt: skip
    min_lr_ratio: float = declared(
        0.1,
        Parameter("Final ratio", LEARNING, "number",
                  "Where cosine decay ends, as a fraction of the peak learning rate.",
                  minimum=0.0, maximum=1.0),
    )  # fmt: skip
    optimizer: str = declared(
        "adamw",
        Parameter("Optimizer", LEARNING, "choice",
                  "The rule that turns gradients into updates. AdamW keeps two numbers for every "
                  "parameter, in 8 bits with a quarter of the memory; Adafactor one for each row "
                  "and column of a matrix, momentum one, plain SGD none.",
                  choices={"adamw": "AdamW", "adamw-8bit": "AdamW in 8 bits",
                           "adafactor": "Adafactor", "sgd-momentum": "SGD with momentum",
                           "sgd": "SGD"}),
    )  # fmt: skip
    beta1: float = declared(
        0.9,
        Parameter("Beta 1", LEARNING, "number",
                  "Memory of AdamW's mean gradient (also the momentum of SGD).",
                  minimum=0.0, maximum=0.9999),
    )  # fmt: skip
    beta2: float = declared(
        0.95,
        Parameter("Beta 2", LEARNING, "number", "Memory of AdamW's mean squared gradient.",
                  minimum=0.0, maximum=0.99999),
    )  # fmt: skip
    weight_decay: float = declared(
        0.1,
        Parameter("Weight decay", LEARNING, "number",
                  "Pull of the matrices towards zero; never applied to norms and biases.",
                  minimum=0.0, maximum=10.0),
    )  # fmt: skip
    grad_clip: float = declared(
        1.0,
        Parameter("Gradient clip", LEARNING, "number",
                  "Longest gradient that is let through; longer ones are scaled down. 0: off.",
                  minimum=0.0, maximum=1e6),
    )  # fmt: skip
    patience: int = declared(
        0,
        Parameter("Stop early after", LEARNING, "integer",
                  "Validations without a new best after which the run ends by itself. 0: never.",
                  unit="validations", minimum=0, maximum=100_000),
    )  # fmt: skip
    device: str = declared(
        "auto",
        Parameter("Device", MACHINE, "text",
                  "Where the run happens: auto (CUDA, then MPS, then CPU), cpu, cuda:0, mps, or a "
                  "card such as n150:0."),
    )  # fmt: skip
    card_backend: str = declared(
        "ttnn",
        Parameter("Trainer on cards", MACHINE, "choice",
                  "What trains on a Tenstorrent card: our own graph of ttnn operations, on one "
                  "chip, or the vendor's tt-train, which shares each batch among all chips of the "
                  "card but has fewer designs. Other devices take no notice of it.",
                  choices={"ttnn": "ttnn, one chip", "tt-train": "tt-train, all chips"}),
    )  # fmt: skip
    precision: str = declared(
        "fp32",
        Parameter("Precision", MACHINE, "choice",
                  "Number format. Mixed bf16 computes in 16 bits and keeps weights in 32.",
                  choices={"fp32": "fp32", "bf16-mixed": "bf16 mixed (autocast)",
                           "bf16": "bf16 pure"}),
    )  # fmt: skip
    attention: str = declared(
        "auto",
        Parameter("Attention", MACHINE, "choice",
                  "How scores are computed. Fused kernels never hold them all at once; written "
                  "out, every layer keeps a whole matrix of scores for each head, which shows what "
                  "fusing saves. Automatic fuses where torch can.",
                  choices={"auto": "Automatic", "fused": "Fused",
                           "materialised": "Written out (keeps all scores)"}),
    )  # fmt: skip
    gradient_checkpointing: bool = declared(
        False,
        Parameter("Gradient checkpointing", MACHINE, "flag",
                  "Forgets what is inside each block and computes it again going backward: far "
                  "less memory for about a third more work."),
    )  # fmt: skip
    loss_chunk: int | None = declared(
        None,
        Parameter("Loss in chunks", MACHINE, "integer",
                  "Tokens whose scores are computed at once, at most a sequence: far less memory "
                  "where the vocabulary is large, and no slower from 128 on. Off: all tokens of "
                  "the batch together.",
                  unit="tokens", minimum=1, maximum=1_048_576, optional=True, none_label="off"),
    )  # fmt: skip
    compile: str = declared(
        "auto",
        Parameter("Compile", MACHINE, "choice",
                  "torch.compile. Automatic compiles when the run is long enough to win the time "
                  "back.",
                  choices={"auto": "Automatic", "on": "On", "off": "Off"}),
    )  # fmt: skip
    threads: int | None = declared(
        None,
        Parameter("CPU threads", MACHINE, "integer",
                  "Threads of the CPU backend; automatic: one for each core.",
                  minimum=1, maximum=1_024, optional=True),
    )  # fmt: skip
    seed: int = declared(
        1337,
        Parameter("Seed", MACHINE, "integer",
                  "Start of all random numbers: weights, batches, dropout, samples.",
                  minimum=0, maximum=2**63 - 1),
    )  # fmt: skip
    log_every: int = declared(
        1,
        Parameter("Log every", RECORDS, "integer", "Steps between two points of the loss curve.",
                  unit="steps", minimum=1, maximum=1_000_000),
    )  # fmt: skip
    validate_every: int = declared(
        200,
        Parameter("Validate every", RECORDS, "integer",
                  "Steps between two measurements on text that is not learned. 0: only at the end.",
                  unit="steps", minimum=0, maximum=100_000_000),
    )  # fmt: skip
    validation_tokens: int = declared(
        120_000,
        Parameter("Validation tokens", RECORDS, "integer",
                  "At most this many tokens of the validation part are measured each time: always "
                  "the same ones.",
                  unit="tokens", minimum=1, maximum=1_000_000_000),
    )  # fmt: skip
    sample_every: int = declared(
        200,
        Parameter("Sample every", RECORDS, "integer",
                  "Steps between two texts written by the model. 0: none but the first and last.",
                  unit="steps", minimum=0, maximum=100_000_000),
    )  # fmt: skip
    prompts: tuple[str, ...] = declared(
        (),
        Parameter("Prompts", RECORDS, "texts",
                  "Beginnings that the model continues in its samples; none: the corpus's own."),
    )  # fmt: skip
    sample_tokens: int = declared(
        100,
        Parameter("Sample length", RECORDS, "integer", "Tokens in each sample.",
                  unit="tokens", minimum=1, maximum=10_000),
    )  # fmt: skip
    temperature: float = declared(
        0.8,
        Parameter("Temperature", RECORDS, "number",
                  "Daring of the samples: 0 always takes the likeliest token, 1 follows the "
                  "model's probabilities.",
                  minimum=0.0, maximum=10.0),
    )  # fmt: skip
    top_k: int = declared(
        0,
        Parameter("Top-k", RECORDS, "integer",
                  "Samples choose among this many likeliest tokens. 0: all.",
                  minimum=0, maximum=1_048_576),
    )  # fmt: skip
    save_every: int = declared(
        500,
        Parameter("Save every", RECORDS, "integer",
                  "Steps between two checkpoints. 0: only the last and the best.",
                  unit="steps", minimum=0, maximum=100_000_000),
    )  # fmt: skip
    keep_best: int = declared(
        3,
        Parameter("Keep best", RECORDS, "integer",
                  "Checkpoints with the lowest validation loss that are kept beside the newest.",
                  minimum=0, maximum=1_000),
    )  # fmt: skip

    def sequence_length(self, spec: ModelSpec) -> int:
        """Tokens in each training sequence S: ``seq_len``, or the model's context length."""
        return spec.max_seq_len if self.seq_len is None else self.seq_len

    def tokens_per_step(self, spec: ModelSpec) -> int:
        """Tokens that one update learns from: batch × accumulation × sequence."""
        return self.batch_size * self.accumulation_steps * self.sequence_length(spec)

    def replace(self, **changes: Value) -> RunSpec:
        """A copy with ``changes``; values must have the right type (``from_dict`` checks them)."""
        return dataclasses.replace(self, **changes)  # type: ignore[arg-type]


@lru_cache(maxsize=1)
def run_parameters() -> dict[str, Parameter]:
    """Declarations of all parameters of a RunSpec, by name."""
    return parameters_of(RunSpec)


def run_from_dict(values: Mapping[str, object]) -> RunSpec:
    """Build a run spec from text-file values; raise SpecError for unknown names, wrong types."""
    known = run_parameters()
    for name in values:
        if name not in known:
            raise SpecError(str(name)[:60], "is not a setting of a run")
    checked = {name: known[name].check(value) for name, value in values.items()}  # type: ignore[arg-type]
    return RunSpec().replace(**checked)


def run_to_dict(run: RunSpec) -> dict[str, Value]:
    """All fields, in the order of declaration, ready for JSON."""
    return dataclasses.asdict(run)


def run_problems(run: RunSpec, spec: ModelSpec) -> tuple[SpecError, ...]:
    """Everything that keeps this run from being started with this model, each with a fix."""
    found: list[SpecError] = []
    for name, parameter in run_parameters().items():
        try:
            parameter.check(getattr(run, name))
        except SpecError as error:
            found.append(error)
    if run.seq_len is not None and run.seq_len > spec.max_seq_len:
        message = (
            f"sequences of {run.seq_len:,} tokens do not fit the context of {spec.max_seq_len:,}"
        )
        found.append(SpecError("seq_len", message, {"seq_len": None}))
    if run.warmup_steps > run.steps:
        message = f"warm-up ({run.warmup_steps:,}) is longer than the run ({run.steps:,} steps)"
        found.append(SpecError("warmup_steps", message, {"warmup_steps": run.steps // 10}))
    unfused = attention_problem(run, spec, run.device.strip().lower())
    return (*found, unfused) if unfused is not None else tuple(found)


def attention_problem(run: RunSpec, spec: ModelSpec, device: str) -> SpecError | None:
    """Why ``device`` ("cpu", "mps", "cuda:0" …) cannot fuse attention as the run asks; or None.

    Torch has no fused kernel with dropout for the CPU, and none for training on MPS.
    """
    if run.attention != "fused":
        return None
    if device == "cpu" and spec.dropout > 0:
        message = "torch has no fused attention with dropout for the CPU: choose auto, or dropout 0"
    elif device == "mps":
        message = "torch has no fused attention for training on MPS: choose auto"
    else:
        return None
    return SpecError("attention", message, {"attention": "auto"})


def check_run(run: RunSpec, spec: ModelSpec) -> RunSpec:
    """Return the run spec, or raise the first of its problems."""
    found = run_problems(run, spec)
    if found:
        raise found[0]
    return run


def label_of(field: str) -> str:
    """What a person calls a field of either spec: "Attention heads" for num_heads."""
    parameter = model_parameters().get(field) or run_parameters().get(field)
    return parameter.label if parameter is not None else field
