"""Matching a few typed letters."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from trickster_gui.controls.fuzzy import score


def best(typed: str, *names: str) -> str:
    return max(names, key=lambda name: score(typed, name))


def test_the_beginning_of_a_word_beats_its_middle_and_scattered_letters() -> None:
    assert best("save", "Unsaved work", "Save design", "Show all values") == "Save design"
    assert best("und", "Round", "Undo", "Up and down") == "Undo"


def test_letters_with_gaps_match_in_order_only() -> None:
    assert score("ndsn", "new design") > 0
    assert score("ngised", "new design") == 0


def test_every_word_must_be_found() -> None:
    assert score("theme dark", "Theme: dark") > 0
    assert score("theme blue", "Theme: dark") == 0


def test_of_equal_matches_the_shorter_name_wins() -> None:
    assert best("layers", "Layers", "Layers of something long") == "Layers"


@given(st.text(max_size=20), st.text(max_size=60))
def test_any_text_has_a_score(typed: str, text: str) -> None:
    assert score(typed, text) >= 0
