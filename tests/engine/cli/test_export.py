"""``python -m engine export``."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.__main__ import main
from engine.data.tokenizers.byte import ByteTokenizer
from tests.engine.interop.trained_run import make_model, make_run
from tests.engine.models.designs import tiny

SPEC = tiny(vocab_size=256)


def test_it_writes_the_folder_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models = {1: make_model(SPEC), 2: make_model(SPEC)}
    make_run(tmp_path / "run", models, ByteTokenizer(), losses={1: 1.0, 2: 2.0})
    run = str(tmp_path / "run")
    assert main(["export", run, "--to", "hf", str(tmp_path / "hf")]) == 0
    assert capsys.readouterr().out.startswith("step 2 written to ")
    assert main(["export", run, str(tmp_path / "torch"), "--to", "torch", "--best"]) == 0
    assert capsys.readouterr().out.startswith("step 1 written to ")
    assert (tmp_path / "hf" / "config.json").is_file()
    assert (tmp_path / "torch" / "generate.py").is_file()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere", "out", "--to", "hf"], "holds no run"),
        (["run", "out", "--to", "hf", "--step", "9"], "no checkpoint of step 9: there are 1"),
        (["run", "run", "--to", "hf"], "name a new folder"),
        (["odd", "out", "--to", "hf"], "position: Hugging Face has no model of this design"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_status_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    arguments: list[str], said: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    make_run(tmp_path / "run", {1: make_model(SPEC)}, ByteTokenizer())
    odd = make_model(SPEC.replace(position="alibi"))
    make_run(tmp_path / "odd", {1: odd}, ByteTokenizer())
    assert main(["export", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert said in captured.err
    assert captured.err.count("\n") == 1


def test_a_design_is_written_for_tt_train_from_a_preset_or_a_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", "nanollama3-char", "--to", "tt-train", str(tmp_path / "a")]) == 0
    said = capsys.readouterr().out
    assert "model.yaml, training.yaml" in said
    assert "not yet verified on hardware" in said
    spec = tiny(hidden_dim=64, num_heads=2, num_kv_heads=2, mlp_dim=96, max_seq_len=32,
                vocab_size=96)  # fmt: skip
    make_run(tmp_path / "run", {1: make_model(spec)}, ByteTokenizer(), title="mine")
    out = tmp_path / "b"
    assert main(["export", str(tmp_path / "run"), "--to", "tt-train", str(out)]) == 0
    assert "project_name: mine" in (out / "training.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nanollama3-char", "out", "--best"], "leave --step and --best out"),
        (["nanolama", "out"], "did you mean"),
        (["minidecoder", "out"], "mlp_dim: tt-train has no model of this design"),
    ],
)
def test_what_tt_train_cannot_have_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    arguments: list[str], said: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert main(["export", *arguments, "--to", "tt-train"]) == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.err.count("\n") == 1
    assert not (tmp_path / "out").exists()
