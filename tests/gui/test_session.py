"""The session file: whole or not at all, and harmless when damaged."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.run_spec import RunSpec
from engine.spec import ModelSpec
from trickster_gui.document import Design, History, HistoryStep
from trickster_gui.session import (
    Session,
    SessionError,
    load_session,
    save_session,
    session_from_dict,
    session_to_dict,
)
from trickster_gui.settings import Settings, settings_from_dict, settings_to_dict


def example() -> Session:
    first = Design(ModelSpec(), RunSpec(), "Mine")
    second = Design(ModelSpec(num_heads=7), RunSpec(prompts=("a", "b")), "Mine")
    third = Design(ModelSpec(head_dim=64), RunSpec(learning_rate=3e-4), "Other")
    steps = (HistoryStep("Heads: 7", second), HistoryStep("Open", third))
    settings = Settings(
        "dark", "AdnQyw==", {"columns": (400, 900)}, {"Text": True}, ("/a/b.yaml",), "n150"
    )
    return Session(History(first, steps, 1), settings, "/a/b.yaml")


def test_a_session_survives_the_disk(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "session.json"
    save_session(path, example(), sync=True)
    assert load_session(path) == example()
    assert [entry.name for entry in path.parent.iterdir()] == ["session.json"]


def test_steps_hold_only_what_they_changed() -> None:
    steps = session_to_dict(example())["steps"]
    assert steps[0]["model"] == {"num_heads": 7}
    assert "title" not in steps[0]


def test_no_file_is_no_session(tmp_path: Path) -> None:
    assert load_session(tmp_path / "session.json") is None


def test_a_kill_while_writing_leaves_the_old_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "session.json"
    save_session(path, example())

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        save_session(path, Session(History(Design(ModelSpec(), RunSpec()))))
    assert load_session(path) == example()


def broken(**changes: object) -> bytes:
    return json.dumps({**session_to_dict(example()), **changes}).encode()


@pytest.mark.parametrize(
    "data",
    [
        b"", b"{", b"\xff\xfe", b"null", b"[]", b"[" * 100_000, b"1e999", b'{"format": 1}',
        broken(format=99), broken(design=3), broken(done=7), broken(done=True), broken(steps="x"),
        broken(steps=[3]), broken(design={"model": {"num_layers": -1}}),
        broken(design={"model": {"num_layers": "many"}}), broken(design={"model": {"weird": 1}}),
        broken(design={"run": []}), broken(design={"title": 3}), b" " * (5 << 20),
    ],
)  # fmt: skip
def test_a_damaged_session_is_set_aside(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "session.json"
    path.write_bytes(data)
    with pytest.raises(SessionError, match=r"set aside as session\.damaged\.json"):
        load_session(path)
    assert not path.exists()
    assert (tmp_path / "session.damaged.json").read_bytes() == data


def test_a_damaged_session_is_told_in_words_of_the_window(tmp_path: Path) -> None:
    path = tmp_path / "session.json"
    path.write_bytes(b'{"format": 1, "design": ')
    with pytest.raises(SessionError) as caught:
        load_session(path)
    said = str(caught.value)
    assert "fresh session" in said
    assert f"set aside as session.damaged.json in {tmp_path}" in said
    assert not any(word in said for word in ("Expecting", "line 1", "char", "Errno"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_session_that_may_not_be_read_says_so(tmp_path: Path) -> None:
    path = tmp_path / "session.json"
    path.write_text("{}")
    path.chmod(0)
    with pytest.raises(SessionError, match="can't be read"):
        load_session(path)


def test_a_folder_in_its_place_says_so(tmp_path: Path) -> None:
    path = tmp_path / "session.json"
    path.mkdir()
    with pytest.raises(SessionError, match="can't be read"):
        load_session(path)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(sorted(session_to_dict(example()))), json_values))
def test_whatever_stands_in_a_session_is_understood_or_refused(changes: dict[str, Any]) -> None:
    values = {**session_to_dict(example()), **changes}
    try:
        session = session_from_dict(values)
    except (ValueError, KeyError, TypeError):
        return
    assert session_from_dict(session_to_dict(session)) == session


@given(json_values | st.dictionaries(
    st.sampled_from(["theme", "geometry", "splitters", "disclosed", "recent_files", "looked_at"]),
    json_values,
))  # fmt: skip
def test_settings_take_what_they_understand(values: object) -> None:
    settings = settings_from_dict(values)
    assert settings_from_dict(settings_to_dict(settings)) == settings


def test_a_file_opened_again_moves_to_the_front() -> None:
    settings = Settings(recent_files=tuple("abcdefghij"))
    assert settings.with_recent("c") == tuple("cabdefghij")
    assert settings.with_recent("z") == tuple("zabcdefghi")
