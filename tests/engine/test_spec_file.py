from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.parameter import SpecError
from engine.presets import load_presets
from engine.run_spec import RunSpec
from engine.spec import ModelSpec
from engine.spec_file import (
    design_from_text,
    design_to_text,
    is_design_text,
    load_design,
    read_design,
    save_design,
)
from tests.engine.strategies import model_specs, run_specs


def file(tmp_path: Path, content: str | bytes, name: str = "d.yaml") -> str:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(path)


@pytest.mark.parametrize("entry", load_presets(), ids=lambda entry: entry.id)
def test_a_presets_name(entry) -> None:  # type: ignore[no-untyped-def]
    assert load_design(entry.id) == (entry.model, entry.run, entry.title)


def test_a_whole_design_file(tmp_path: Path) -> None:
    text = (
        "format: trickster-design/1\ntitle: My  first\nmodel: {hidden_dim: 384, num_heads: 6}\n"
        "run: {learning_rate: 1e-4, compile: off, prompts: [a, 'b|c']}\n"
    )
    model, run, title = load_design(file(tmp_path, text))
    assert model == ModelSpec(hidden_dim=384, num_heads=6, num_kv_heads=6)
    assert run == RunSpec(learning_rate=1e-4, compile="off", prompts=("a", "b|c"))
    assert title == "My first"


@pytest.mark.parametrize(
    "text",
    [
        "hidden_dim: 384\nnum_heads: 6\nqkv_bias: yes\n",
        '{"hidden_dim": 384, "num_heads": 6, "qkv_bias": true}',
        "{hidden_dim: 384, num_heads: 6, qkv_bias: true}",
        "model:\n  hidden_dim: 384\n  num_heads: 6\n  qkv_bias: True\n",
        "\ufeffhidden_dim: 384\nnum_heads: '6'\nqkv_bias: on\n",
    ],
)
def test_a_bare_list_of_model_fields_in_any_notation(tmp_path: Path, text: str) -> None:
    model, run, title = load_design(file(tmp_path, text, "small.txt"))
    assert model == ModelSpec(hidden_dim=384, num_heads=6, num_kv_heads=6, qkv_bias=True)
    assert (run, title) == (RunSpec(), "small")


def test_a_published_config(tmp_path: Path) -> None:
    config = {"model_type": "gpt2", "n_embd": 64, "n_layer": 2, "n_head": 2, "n_positions": 8,
              "vocab_size": 100}  # fmt: skip
    folder = tmp_path / "tiny-gpt"
    folder.mkdir()
    design = load_design(file(folder, json.dumps(config), "config.json"))
    assert (design.model.hidden_dim, design.model.position) == (64, "learned")
    assert design.title == "tiny-gpt"
    named = json.dumps(config | {"_name_or_path": "org/name"})
    assert load_design(file(folder, named, "config.json")).title == "org/name"


BAD = {
    "twice": ("hidden_dim: 64\nhidden_dim: 32", "given twice"),
    "twice in JSON": ('{"hidden_dim": 64, "hidden_dim": 32}', "given twice"),
    "binary": (b"\xff\xfe\x00\x01", "not text"),
    "null characters": (b"a\x00b", "not text"),
    "huge": (b"a" * ((1 << 20) + 1), "larger than 1 MiB"),
    "long YAML": ("# " + "a" * 70_000, "larger than 64 KiB"),
    "deep list": ("[" * 60_000, "nested too deeply"),
    "deep JSON": ('{"a":' * 100_000, "nested too deeply"),
    "alias": ("a: &x [1]\nb: *x", "aliases"),
    "object": ("hidden_dim: !!python/object/apply:os.system [ls]", "line 1"),
    "digits": ('{"hidden_dim": ' + "9" * 5_000 + "}", "too many digits"),
    "infinite": ('{"hidden_dim": 1e400}', "not a whole number"),
    "nan": ('{"hidden_dim": NaN}', "not a whole number"),
    "empty": ("", "no design"),
    "list": ("- 1", "no design"),
    "model is a number": ("model: 3", "list of names and values"),
    "run is a number": ("run: 3", "list of names and values"),
    "title is a list": ("title: [1]", "must be text"),
    "unknown field": ("nope: 1", "not a parameter"),
    "unknown setting": ("run: {nope: 1}", "not a setting"),
    "unknown part": ("model: {}\nother: 1", "not a part of a design"),
    "other format": ("format: trickster-design/9", "not trickster-design/1"),
    "wrong type": ("hidden_dim: [1, 2]", "not a whole number"),
    "flag": ("qkv_bias: perhaps", "neither true nor false"),
    "range": ("hidden_dim: 0", "at least 1"),
    "keys": ("? [a]\n: 1", "plain words"),
    "syntax": ("a: b: c", "line 1"),
    "documents": ("--- {}\n--- {}", "line 2"),
    "half JSON": ('{"hidden_dim": 64', "not a design file"),
    "refused model": ('{"model_type": "bert"}', "encoder"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_every_bad_file_has_one_clear_line(tmp_path: Path, name: str) -> None:
    content, expected = BAD[name]
    started = time.monotonic()
    with pytest.raises(SpecError) as caught:
        load_design(file(tmp_path, content))
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600
    assert time.monotonic() - started < 10


def test_a_billion_laughs_are_refused_at_once(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x]"] + [f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 40)]
    with pytest.raises(SpecError, match="aliases"):
        load_design(file(tmp_path, "\n".join(lines)))


@pytest.mark.parametrize("name", ["", " ", "a\0b", "x" * 5_000, "no/such/file.yaml"])
def test_names_that_name_nothing(name: str) -> None:
    with pytest.raises(SpecError) as caught:
        load_design(name)
    assert len(str(caught.value)) < 600


def test_what_is_no_regular_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name, expected in ((tmp_path, "folder"), (tmp_path / "pipe", "not a regular file")):
        with pytest.raises(SpecError, match=expected):
            load_design(str(name))
    with pytest.raises(SpecError, match="not a regular file"):
        load_design("/dev/zero")


def test_a_misspelt_preset_brings_close_ones() -> None:
    with pytest.raises(SpecError, match="did you mean nano-trickster"):
        load_design("nano-tricksters")


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = file(tmp_path, "hidden_dim: 64")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(SpecError, match="Permission denied"):
        load_design(path)


@settings(max_examples=30)
@given(st.data(), st.sampled_from(("d.yaml", "d.json", "d.design")), st.text(max_size=30))
def test_what_is_saved_is_read(tmp_path_factory, data, name, title) -> None:  # type: ignore[no-untyped-def]
    spec = data.draw(model_specs())
    run = data.draw(run_specs(spec)).replace(prompts=("ROMEO:", "a|b", " x "))
    path = tmp_path_factory.mktemp("saved") / name
    save_design(path, spec, run, title)
    again = read_design(path)
    assert (again.model, again.run) == (spec, run)
    assert [p.name for p in path.parent.iterdir()] == [name]


def test_saving_where_one_cannot(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="cannot be written"):
        save_design(tmp_path / "no" / "folder.yaml", ModelSpec(), RunSpec(), "x")


def test_a_failed_save_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(SpecError, match="No space left"):
        save_design(tmp_path / "a.yaml", ModelSpec(), RunSpec(), "x")
    assert list(tmp_path.iterdir()) == []


@given(st.data(), st.text(max_size=40))
def test_a_design_survives_as_a_line(data: st.DataObject, title: str) -> None:
    spec = data.draw(model_specs())
    run = data.draw(run_specs(spec)).replace(
        prompts=tuple(data.draw(st.lists(st.text(max_size=5))))
    )
    line = design_to_text(spec, run, title)
    assert "\n" not in line
    assert line.isascii()
    wrapped = "\n".join(line[i : i + 60] for i in range(0, len(line), 60))
    model, settings_, _ = design_from_text(f"  {wrapped}\n")
    assert (model, settings_) == (spec, run)


def test_lines_are_short_and_readable() -> None:
    assert design_to_text(ModelSpec(), RunSpec()) == "trickster:1?#00000000"
    line = design_to_text(ModelSpec(hidden_dim=384), RunSpec(steps=50), "My model")
    assert line.startswith("trickster:1?hidden_dim=384&run.steps=50&title=My%20model#")
    assert load_design(line) == (ModelSpec(hidden_dim=384), RunSpec(steps=50), "My model")
    assert is_design_text("  Trickster:1?")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("trickster:1?", "not a whole design line"),
        ("trickster:1?hidden_dim=64#00000000", "altered or cut"),
        ("trickster:2?#00000000", "version 2"),
        ("hello", "not a whole design line"),
    ],
)
def test_damaged_lines(line: str, expected: str) -> None:
    with pytest.raises(SpecError, match=expected):
        design_from_text(line)


def signed(body: str) -> str:
    from zlib import crc32

    return f"trickster:1?{body}#{crc32(body.encode()):08x}"


@pytest.mark.parametrize(
    "body", ["hidden_dim=64&hidden_dim=32", "nope=1", "run.nope=1", "hidden_dim=x", "seed=1"]
)
def test_a_well_signed_line_is_checked_all_the_same(body: str) -> None:
    with pytest.raises(SpecError):
        design_from_text(signed(body))
