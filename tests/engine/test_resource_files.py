"""The program's own files are found in a checkout and in a wheel, and bounded in size."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine import resource_files
from engine.resource_files import (
    MAX_RESOURCE_BYTES,
    ResourceError,
    read_resource_text,
    read_resource_yaml,
    resource_path,
    resources_dir,
)


@pytest.fixture
def resources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A resources folder of this test's own, where a checkout would have it."""
    folder = tmp_path / "resources"
    folder.mkdir()
    monkeypatch.setattr(resource_files, "_IN_CHECKOUT", folder)
    monkeypatch.setattr(resource_files, "_IN_WHEEL", tmp_path / "absent")
    resources_dir.cache_clear()
    yield folder
    resources_dir.cache_clear()


def test_the_checkouts_own_files_are_found() -> None:
    assert resource_path("README.md").is_file()
    assert "Resources" in read_resource_text("README.md")


def test_a_file_is_named_by_its_parts(resources: Path) -> None:
    (resources / "icons").mkdir()
    (resources / "icons" / "play.svg").write_text("<svg/>", encoding="utf-8")
    assert resource_path("icons", "play.svg") == resources / "icons" / "play.svg"
    assert resource_path("icons").is_dir()
    assert read_resource_text("icons", "play.svg") == "<svg/>"


def test_a_wheels_copy_comes_before_a_checkouts(resources: Path, tmp_path: Path) -> None:
    inside = tmp_path / "absent"
    inside.mkdir()
    assert resources_dir() == inside


def test_yaml_is_read_as_data(resources: Path) -> None:
    (resources / "cards.yaml").write_text("cards: [{name: n150, memory_bytes: 12}]", "utf-8")
    assert read_resource_yaml("cards.yaml") == {"cards": [{"name": "n150", "memory_bytes": 12}]}


def test_yaml_cannot_make_objects(resources: Path) -> None:
    (resources / "bad.yaml").write_text("!!python/object/apply:os.getcwd []", "utf-8")
    with pytest.raises(ResourceError, match=r"bad\.yaml is not valid YAML"):
        read_resource_yaml("bad.yaml")


def test_a_missing_file_names_itself_and_the_remedy(resources: Path) -> None:
    with pytest.raises(ResourceError, match=r"icons/no\.svg is missing .*pip install"):
        resource_path("icons", "no.svg")


def test_a_missing_folder_names_itself_and_the_remedy(resources: Path) -> None:
    resources.rmdir()
    with pytest.raises(ResourceError, match="pip install --force-reinstall trickster"):
        resource_path("README.md")


@pytest.mark.parametrize("parts", [("..", "pyproject.toml"), ("/etc/passwd",), ("a/../../b",)])
def test_nothing_outside_is_reached(resources: Path, parts: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="not inside the resources"):
        resource_path(*parts)


def test_too_large_a_file_is_refused(resources: Path) -> None:
    with (resources / "large.txt").open("wb") as file:
        file.truncate(MAX_RESOURCE_BYTES + 1)
    with pytest.raises(ResourceError, match="more than a resource may have"):
        read_resource_text("large.txt")


def test_what_is_not_text_is_refused(resources: Path) -> None:
    (resources / "binary.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ResourceError, match=r"binary\.txt can't be read"):
        read_resource_text("binary.txt")


def test_a_folder_is_no_text(resources: Path) -> None:
    (resources / "icons").mkdir()
    with pytest.raises(ResourceError, match="icons can't be read"):
        read_resource_text("icons")
