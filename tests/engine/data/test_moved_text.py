"""The text of the Python that trains is another one where another Python does."""

from __future__ import annotations

from engine.data.moved_text import text_problem


def test_only_the_text_of_the_python_that_trains_stays_with_it() -> None:
    problem = text_problem("python-stdlib", "3.11.7", "3.12.1")
    assert problem is not None
    assert "began with that of 3.11.7, and this is 3.12.1" in problem.message
    assert text_problem("python-stdlib", "3.11.7", "3.11.7") is None
    assert text_problem("python-stdlib", "3.11.7", "") is None, "not known"
    assert text_problem("tiny-shakespeare", "3.11.7", "3.12.1") is None
