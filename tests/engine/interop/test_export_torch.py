"""The exported file is run as a stranger would, and computes what our model computes."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from hypothesis import HealthCheck, given, settings

from engine.data.tokenizers import Tokenizer, train_tokenizer
from engine.data.tokenizers.byte import ByteTokenizer
from engine.data.tokenizers.word import WordTokenizer
from engine.interop.export_folder import export_run
from engine.models.generation import stream
from engine.run_directory import RunDirectoryError
from engine.spec import ModelSpec
from tests.engine.interop.trained_run import make_model, make_run
from tests.engine.models.designs import tiny, valid_specs

TEXT = "It's the first line,\nand the  second: naïve café_2 x² ½ 日本語!\tthe end\r\n " * 20


def exported(folder: Path, spec: ModelSpec, tokenizer: Tokenizer | None = None) -> ModuleType:
    run = make_run(folder / "run", {7: make_model(spec)}, tokenizer or ByteTokenizer())
    step, names = export_run(run, "torch", folder / "out")
    assert (step, names) == (7, ("generate.py", "model.safetensors", "tokenizer.json"))
    found = importlib.util.spec_from_file_location("generate", folder / "out" / "generate.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(spec=valid_specs())
def test_any_design_gives_the_same_logits_in_its_own_file(
    spec: ModelSpec, tmp_path_factory: pytest.TempPathFactory
) -> None:
    theirs = exported(tmp_path_factory.mktemp("export"), spec).load()
    tokens_BT = torch.randint(spec.vocab_size, (2, spec.max_seq_len), generator=torch.Generator())
    with torch.no_grad():
        expected = make_model(spec)(tokens_BT).logits_BTV
        torch.testing.assert_close(theirs(tokens_BT), expected, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize(("temperature", "top_k"), [(0.0, 0), (0.9, 0), (1.3, 4)])
@pytest.mark.parametrize("context", [1, 5, 64])
def test_the_same_seed_writes_the_same_text(
    tmp_path: Path, context: int, temperature: float, top_k: int
) -> None:
    spec = tiny(vocab_size=260, max_seq_len=context)
    module = exported(tmp_path, spec)
    found = list(module.write(module.load(), [1, 2, 3], 30, temperature, top_k, 5))
    steps = stream(
        make_model(spec), [1, 2, 3], max_new_tokens=30, temperature=temperature, top_k=top_k,
        seed=5, allowed=256,
    )  # fmt: skip
    assert found == [step.token for step in steps]
    from_nothing = list(module.write(module.load(), [], 5, 1.0, 0, 2))
    steps = stream(make_model(spec), [], max_new_tokens=5, temperature=1.0, seed=2, allowed=256)
    assert from_nothing == [step.token for step in steps]


@pytest.mark.parametrize("kind", ["character", "byte", "bpe", "word"])
def test_its_tokens_are_ours(tmp_path: Path, kind: str) -> None:
    if kind == "word":
        tokenizer: Tokenizer = WordTokenizer(["It", " the", "the", " first", " ", "\n", ","])
    else:
        tokenizer = train_tokenizer(kind, TEXT, 300)
    module = exported(tmp_path, tiny(vocab_size=300), tokenizer)
    for text in (TEXT, "", "unknown Ω 🙂 words", "  a  b", "x__y ²3"):
        ids = tokenizer.encode_prompt(text)[0].tolist()
        assert module.encode(text) == ids
        assert module.decode(ids) == tokenizer.decode(ids)
    everything = list(range(tokenizer.vocab_size))
    assert tokenizer.vocab_size == module.TOKENS
    assert module.decode(everything) == tokenizer.decode(everything)


def test_it_runs_alone_in_a_fresh_interpreter(tmp_path: Path) -> None:
    spec = tiny(vocab_size=256, max_seq_len=32, init_std=0.5)
    exported(tmp_path, spec)
    command = [sys.executable, "-I", str(tmp_path / "out" / "generate.py")]
    done = subprocess.run(
        [*command, "--prompt", "ROMEO:", "--tokens", "12", "--temperature", "0"],
        capture_output=True, text=True, encoding="utf-8", cwd=tmp_path, check=True, timeout=100,
        env={"PYTHONIOENCODING": "utf-8", "OMP_NUM_THREADS": "1", "PATH": ""},
    )  # fmt: skip
    steps = stream(make_model(spec), list(b"ROMEO:"), max_new_tokens=12, temperature=0)
    written = bytes(step.token for step in steps).decode("utf-8", "replace")
    assert done.stdout.rstrip("\n") == ("ROMEO:" + written).rstrip("\n")
    assert "engine" not in (tmp_path / "out" / "generate.py").read_text(encoding="utf-8")


def test_a_title_is_never_code(tmp_path: Path) -> None:
    title = '"""\nimport os; os.abort()\n"""'
    run = make_run(tmp_path / "run", {0: make_model(tiny(vocab_size=256))}, ByteTokenizer(), title)
    export_run(run, "torch", tmp_path / "out")
    script = (tmp_path / "out" / "generate.py").read_text(encoding="utf-8")
    assert script.startswith('"""import os os.abort(): a language model of ')


def test_a_folder_with_files_is_never_touched(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", {0: make_model(tiny(vocab_size=256))}, ByteTokenizer())
    out = tmp_path / "out"
    out.mkdir()
    (out / "precious").write_text("mine")
    with pytest.raises(RunDirectoryError, match="name a new folder"):
        export_run(run, "torch", out)
    assert [path.name for path in out.iterdir()] == ["precious"]
    (out / "precious").unlink()
    export_run(run, "torch", out)  # an empty one is used
    assert (out / "generate.py").is_file()
    assert {path.name for path in tmp_path.iterdir()} == {"run", "out"}


def test_where_something_fails_nothing_is_left(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", {0: make_model(tiny(vocab_size=256))}, ByteTokenizer())
    (tmp_path / "file").write_text("")
    with pytest.raises(RunDirectoryError, match="cannot write"):
        export_run(run, "torch", tmp_path / "file" / "out")
    (run.checkpoint_path(0) / "model.safetensors").write_bytes(b"junk")
    with pytest.raises(RunDirectoryError, match="cannot read"):
        export_run(run, "torch", tmp_path / "out")
    assert {path.name for path in tmp_path.iterdir()} == {"run", "file"}
