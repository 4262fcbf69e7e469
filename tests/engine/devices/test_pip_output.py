"""What pip's lines mean."""

from __future__ import annotations

import pytest

from engine.devices.pip_output import Lines, failure, fetched, installing
from tests.engine.devices import fake_base


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("Downloading ttnn-0.81.1-cp312-cp312-manylinux_2_34_x86_64.whl (102.6 MB)",
         "ttnn 0.81.1 (102.6 MB)"),
        ("Downloading https://index.example/a/click-8.5.1-py3-none-any.whl (126 kB)",
         "click 8.5.1 (126 kB)"),
        ("Using cached ml_dtypes-0.5.4-cp312-cp312-x.whl (5.0 MB)", "ml_dtypes 0.5.4 (5.0 MB)"),
        ("Processing /wheels/psutil-7.2.2-cp36-abi3-x.whl", "psutil 7.2.2"),
        ("Downloading click-8.5.1-py3-none-any.whl.metadata (2.6 kB)", ""),
        ("Collecting ttnn", ""),
        ("", ""),
    ],
)  # fmt: skip
def test_what_is_being_fetched(line: str, what: str) -> None:
    assert fetched(line) == what


def test_how_many_packages_are_installed() -> None:
    assert installing("Installing collected packages: psutil, numpy, ttnn") == 3
    assert installing("Successfully installed psutil-7.2.2") == 0


def test_lines_are_put_together_from_blocks_of_any_size() -> None:
    heard: list[str] = []
    lines = Lines(heard.append)
    for block in (b"Coll", b"ecting a\n  Down", b"loading b\n\xff\n", b"x" * 100_000, b"\nend"):
        lines(block)
    assert heard[:3] == ["Collecting a", "Downloading b", "\ufffd"]
    assert len(heard) == 4


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (fake_base.UNREACHED, "network"), (fake_base.NOT_THERE, "package"),
        (fake_base.FULL, "disk"), (fake_base.DENIED, "folder"),
        ("OSError: [Errno 122] Disk quota exceeded", "disk"),
        ("ERROR: HTTP error 503 while getting https://index.example", "network"),
        ("requests.exceptions.SSLError: CERTIFICATE_VERIFY_FAILED", "network"),
        (fake_base.UNREACHED + fake_base.NOT_THERE, "package"), ("Segmentation fault", "failed"),
    ],
)  # fmt: skip
def test_what_errors_mean(said: str, reason: str) -> None:
    assert failure(said, "it ended").reason == reason
