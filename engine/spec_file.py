"""Designs as people write, keep and paste them.

A design file is YAML or JSON:

    format: trickster-design/1
    title: my first model
    model: {hidden_dim: 384, num_layers: 6, num_heads: 6}
    run: {batch_size: 16, steps: 5000}

All keys are optional; a bare mapping of model fields is a design too, and so is a published
model's config.json. Files from elsewhere are hostile until read: sizes are bounded, YAML makes
plain values only and no aliases, and every value is checked by its declaration.
"""

from __future__ import annotations

import json
import os
import re
import stat
import tempfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, quote, urlencode

import yaml

from engine.interop.config_json import from_config
from engine.parameter import Parameter, SpecError, Value, show
from engine.presets import did_you_mean, load_presets
from engine.run_spec import RunSpec, run_from_dict, run_parameters, run_to_dict
from engine.spec import ModelSpec, model_parameters, spec_from_dict, spec_to_dict

FORMAT = "trickster-design/1"
MAX_FILE_BYTES = 1 << 20
# YAML is read by Python code, a thousand times slower than JSON.
MAX_YAML_BYTES = 64 << 10
_MAX_TITLE = 200
_MAX_DIGITS = 400
_KEYS = ("format", "title", "model", "run")


class Design(NamedTuple):
    """A model, a run and what a person calls them."""

    model: ModelSpec
    run: RunSpec
    title: str


def load_design(text: str) -> Design:
    """The design that ``text`` names: a preset, a design file, a config.json, or pasted text.

    Values are checked one by one; whether they go together is for ``spec.check`` and
    ``run_spec.check_run`` to say. Raises SpecError in plain words for everything else.
    """
    if not text.strip():
        raise SpecError(
            "design", "no design was named (list presets with: python -m engine presets)"
        )
    for entry in load_presets():
        if entry.id == text:
            return Design(entry.model, entry.run, entry.title)
    if is_design_text(text):
        return design_from_text(text)
    return read_design(Path(text).expanduser(), named=text)


def read_design(path: Path, named: str = "") -> Design:
    """The design in a file. ``named`` is what a person typed, where that may be no path at all."""
    content = _read(path, named or str(path))
    document = _parse(content, path.name)
    if not isinstance(document, Mapping):
        raise _bad_file(path, "it holds no design: a design is a list of names and values")
    if "model_type" in document and "model" not in document:
        return Design(from_config(document), RunSpec(), _config_title(document, path))
    return _design(document, path)


def save_design(path: Path, model: ModelSpec, run: RunSpec, title: str) -> None:
    """Write a design file, whole or not at all: JSON where its name ends so, else YAML.

    Raises SpecError where it cannot be written.
    """
    document = {
        "format": FORMAT,
        "title": title,
        "model": spec_to_dict(model),
        "run": {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in run_to_dict(run).items()
        },
    }
    if path.suffix.lower() == ".json":
        text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    else:
        text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True)
    try:
        _write_whole(path, text)
    except OSError as error:
        raise SpecError("file", f"{path} cannot be written: {_os_reason(error)}") from error


def _write_whole(path: Path, text: str) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", errors="replace") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


# --- one pasteable line --------------------------------------------------------------------------

_PREFIX = "trickster:1?"
_TEXT = re.compile(r"trickster:(\d+)\?([^#]*)#([0-9a-f]{8})")
_MAX_LINE = 1 << 20


def design_to_text(model: ModelSpec, run: RunSpec, title: str = "") -> str:
    """A design as one line that survives chat and mail: only what differs from the defaults.

    ``trickster:1?hidden_dim=384&num_heads=6&run.steps=5000&title=Mine#0f3c9a1b``, the end being
    a checksum (CRC-32), so that a line cut short is noticed.
    """
    pairs = list(_differing(spec_to_dict(model), _model_defaults(model)).items())
    pairs += [
        (f"run.{name}", value)
        for name, value in _differing(run_to_dict(run), run_to_dict(RunSpec())).items()
    ]
    if title:
        pairs.append(("title", _title(title)))
    fields = [(name, text) for name, value in pairs for text in _as_texts(value)]
    body = urlencode(fields, quote_via=quote, safe=":,", errors="replace")
    return f"{_PREFIX}{body}#{_checksum(body)}"


def is_design_text(text: str) -> bool:
    """Whether ``text`` begins like a pasted design."""
    return text.lstrip().lower().startswith("trickster:")


def design_from_text(text: str) -> Design:
    """The design that ``design_to_text`` wrote; line breaks that a mail added do not matter.

    Raises SpecError for a line that is cut short, altered or from a later version.
    """
    compact = "".join(text[:_MAX_LINE].split())
    found = _TEXT.fullmatch(compact)
    if found is None:
        raise SpecError(
            "design", "this is not a whole design line: it starts with trickster:1? and ends with "
            "# and eight characters; copy all of it"
        )  # fmt: skip
    version, body, checksum = found.groups()
    if version != "1":
        raise SpecError("design", f"this line is of version {version[:9]}; this program reads 1")
    if _checksum(body) != checksum:
        raise SpecError("design", "this line was altered or cut on its way: copy it again")
    return _from_pairs(parse_qsl(body, keep_blank_values=True))


def _from_pairs(pairs: list[tuple[str, str]]) -> Design:
    model: dict[str, object] = {}
    run: dict[str, object] = {}
    title = ""
    for name, value in pairs:
        if name == "title":
            title = value
            continue
        part, field = (run, name[4:]) if name.startswith("run.") else (model, name)
        known = run_parameters() if part is run else model_parameters()
        if field in known and known[field].kind == "texts":
            part[field] = [*part.get(field, ()), value]  # type: ignore[misc]
        elif field in part:
            raise SpecError(field[:60], "is given twice")
        else:
            part[field] = value
    return Design(_model(model), _run(run), _title(title))


def _model_defaults(model: ModelSpec) -> dict[str, Value]:
    """The defaults a reader of the line fills in: key/value heads follow heads that are given."""
    defaults = spec_to_dict(ModelSpec())
    if model.num_heads != defaults["num_heads"]:
        defaults["num_kv_heads"] = model.num_heads
    return defaults


def _differing(values: Mapping[str, Value], defaults: Mapping[str, Value]) -> dict[str, Value]:
    return {name: value for name, value in values.items() if value != defaults[name]}


def _as_texts(value: Value) -> tuple[str, ...]:
    """A value as it stands in the line; each of several texts has a field of its own."""
    if isinstance(value, tuple):
        return value
    if value is None:
        return ("auto",)
    if isinstance(value, bool):
        return ("true" if value else "false",)
    return (repr(value) if isinstance(value, float) else str(value),)


def _checksum(body: str) -> str:
    return f"{zlib.crc32(body.encode()):08x}"


# --- from text to checked values -----------------------------------------------------------------


def _design(document: Mapping[str, Any], path: Path) -> Design:
    if any(key in document for key in _KEYS):
        for key in document:
            if key not in _KEYS:
                raise SpecError(
                    str(key)[:60], f"is not a part of a design file (they are: {', '.join(_KEYS)})"
                )
        declared = document.get("format", FORMAT)
        if declared != FORMAT:
            raise SpecError("format", f"{show(declared)} is not {FORMAT}, which this program reads")
        model, run = document.get("model") or {}, document.get("run") or {}
    else:
        model, run = document, {}
    for name, part in (("model", model), ("run", run)):
        if not isinstance(part, Mapping):
            raise SpecError(name, "must be a list of names and values")
    title = document.get("title")
    return Design(_model(model), _run(run), _title(path.stem if title is None else title))


def _model(values: Mapping[str, object]) -> ModelSpec:
    return spec_from_dict(_parsed(values, model_parameters(), "is not a parameter of a model"))


def _run(values: Mapping[str, object]) -> RunSpec:
    return run_from_dict(_parsed(values, run_parameters(), "is not a setting of a run"))


def _parsed(
    values: Mapping[str, object], known: Mapping[str, Parameter], unknown: str
) -> dict[str, object]:
    """Texts read by their declaration: ``1e-3`` and ``off`` are texts to YAML's rules."""
    parsed: dict[str, object] = {}
    for name, value in values.items():
        if name not in known:
            raise SpecError(str(name)[:60], unknown)
        parameter = known[name]
        is_text = isinstance(value, str) and parameter.kind != "text"
        parsed[name] = parameter.parse(str(value)) if is_text else value
    return parsed


def _title(value: object) -> str:
    if not isinstance(value, (str, int, float)):
        raise SpecError("title", "must be text")
    text = " ".join(str(value).split())
    return text if len(text) <= _MAX_TITLE else text[: _MAX_TITLE - 1] + "…"


def _config_title(document: Mapping[str, Any], path: Path) -> str:
    name = document.get("_name_or_path")
    if isinstance(name, str) and name.strip():
        return _title(name)
    return _title(path.parent.name if path.stem == "config" and path.parent.name else path.stem)


# --- files ---------------------------------------------------------------------------------------


def _read(path: Path, named: str) -> bytes:
    """At most MAX_FILE_BYTES of a regular file, or SpecError."""
    try:
        # Opening a pipe would wait for a writer: look first, and don't wait.
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise SpecError("design", f"{named[:200]} is a folder, not a design file")
        if not stat.S_ISREG(mode):
            raise SpecError("design", f"{named[:200]} is not a regular file")
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except SpecError:
        raise
    except FileNotFoundError:
        raise _unknown(named) from None
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        reason = _os_reason(error) if isinstance(error, OSError) else "it is not a name of a file"
        raise SpecError("design", f"{named[:200]!r} cannot be read: {reason}") from error
    if len(content) > MAX_FILE_BYTES:
        raise _bad_file(path, "it is larger than 1 MiB, far more than a design")
    return content


def _unknown(named: str) -> SpecError:
    known = ", ".join(entry.id for entry in load_presets()[:4])
    return SpecError(
        "design",
        f"{named[:200]!r} is neither a preset nor a file{did_you_mean(named)} "
        f"(presets: {known}, …; list them with: python -m engine presets)",
    )


def _parse(content: bytes, name: str) -> Any:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise _bad_file(Path(name), "it is not text") from None
    if "\0" in text:
        raise _bad_file(Path(name), "it is not text")
    try:
        if text.lstrip().startswith(("{", "[")):
            return _parse_json_or_yaml(text)
        return _parse_yaml(text)
    except (RecursionError, MemoryError):
        raise _bad_file(Path(name), "it is nested too deeply") from None
    except SpecError as error:
        raise _bad_file(Path(name), error.message) from None
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        raise _bad_file(Path(name), _first_line(error)) from None


def _parse_json_or_yaml(text: str) -> Any:
    """JSON; and where that fails YAML's flow style, which begins alike: ``{hidden_dim: 64}``."""
    try:
        return json.loads(text, object_pairs_hook=_no_duplicates, parse_int=_bounded_integer)
    except json.JSONDecodeError as error:
        try:
            return _parse_yaml(text)
        except yaml.YAMLError:
            raise error from None


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise SpecError("file", f"{twice[:60]!r} is given twice")
    return found


def _bounded_integer(digits: str) -> int:
    if len(digits) > _MAX_DIGITS:
        raise SpecError("file", "it holds a number with too many digits")
    return int(digits)


class _Loader(yaml.SafeLoader):
    """Plain values only: no aliases, no duplicate keys, and on/off/yes/no stay words."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise SpecError("file", "aliases (*name) have no place in a design")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise SpecError("file", "names must be plain words")
            if key.value in seen:
                raise SpecError("file", f"{key.value[:60]!r} is given twice")
            seen.add(key.value)
        return super().construct_mapping(node, deep)


# Numbers stay texts too: a parameter's declaration reads them better (1e-3, 32k) than YAML's rules,
# to which 1e-3 is a word and 1:30 is ninety.
_KEPT = ("tag:yaml.org,2002:null", "tag:yaml.org,2002:merge")
_Loader.yaml_implicit_resolvers = {
    letter: [entry for entry in entries if entry[0] in _KEPT]
    for letter, entries in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)


def _parse_yaml(text: str) -> Any:
    if len(text) > MAX_YAML_BYTES:
        raise SpecError("file", "it is larger than 64 KiB, far more than a design")
    loader = _Loader(text)
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


def _bad_file(path: Path, reason: str) -> SpecError:
    return SpecError("design", f"{str(path)[:200]} is not a design file: {reason}")


def _first_line(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None)
    if mark is not None and problem:
        return f"line {mark.line + 1}: {problem}"
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def _os_reason(error: OSError) -> str:
    return error.strerror or type(error).__name__
