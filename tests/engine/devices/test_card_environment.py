"""The environment of cards: made, mended, cut short at any moment, and never half-made for good."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from engine.devices import base_python, card_environment, interpreter
from engine.devices.card_environment import make_environment, python_of
from engine.devices.environment_error import CancelledError, CardEnvironmentError
from engine.devices.environment_folder import DOWNLOADS, LOCK, held
from engine.devices.environment_progress import Progress
from engine.devices.interpreter import UNFINISHED, ask, remembered
from tests.engine.devices import fake_base, stand_in
from tests.engine.devices.fake_base import Base

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="cards train on Linux only")


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Base:
    """The only Python here, and the place where the environment belongs."""
    made = Base(tmp_path / "base", tmp_path / "place" / "environment")
    monkeypatch.setattr(interpreter, "own_environment", lambda: made.folder)
    monkeypatch.setattr(base_python, "base_candidates", lambda: (made.python,))
    return made


def refused(**arguments: object) -> CardEnvironmentError:
    with pytest.raises(CardEnvironmentError) as caught:
        make_environment(**arguments)  # type: ignore[arg-type]
    return caught.value


def works(base: Base) -> bool:
    found = ask(python_of(base.folder), deep=True)
    return found.supported and not found.missing() and bool(found.ttnn_folder)


def names(folder: Path) -> set[str]:
    return {entry.name for entry in folder.iterdir()} if folder.exists() else set()


# Making


def test_an_environment_is_made_and_found(base: Base) -> None:
    told: list[Progress] = []
    python = make_environment(on_progress=told.append)
    assert python == base.folder / "bin" / "python"
    assert works(base)
    assert names(base.folder) == {"bin", "lib", "pyvenv.cfg", LOCK}
    texts = list(dict.fromkeys(progress.text for progress in told))
    assert texts == [
        "Looking at what is there", "Making an environment with Python 3.12.4",
        "Asking the package index", *texts[3:-4], "Installing the packages", *texts[-3:-2],
        "Checking that ttnn can be imported", "ttnn 0.81.1 is installed",
    ]  # fmt: skip
    fractions = [progress.fraction for progress in told]
    assert fractions == sorted(fractions)
    assert (fractions[0], fractions[-1]) == (0.0, 1.0)
    assert remembered() == {}


def test_pip_is_told_the_pins_and_installs_without_a_network(base: Base) -> None:
    make_environment()
    download, install = base.said()
    pins = "constraints-tenstorrent.txt ttnn PyYAML filelock numpy<2 platformdirs psutil"
    for line in (download, install):
        assert pins in line
        assert "--only-binary=:all:" in line
    assert download.startswith("download ")
    assert f"-d {base.folder / DOWNLOADS}" in download
    assert "--no-index --find-links" in install
    assert "--no-index" not in download


def test_the_card_that_asked_uses_it_from_now_on(base: Base) -> None:
    python = make_environment(device="n150:0")
    assert remembered() == {("n150:0", "ttnn"): python}


def test_one_that_is_whole_is_left_alone(base: Base) -> None:
    make_environment()
    said = base.said()
    told: list[Progress] = []
    make_environment(base=base.python, on_progress=told.append)
    assert base.said() == said
    assert told[-1].text == "ttnn 0.81.1 is there already"


@pytest.mark.parametrize(
    ("module", "version"), [("ttnn", "0.77.0"), ("ttnn", ""), ("numpy", "2.2.6"), ("yaml", "")]
)
def test_what_is_missing_or_too_old_is_mended_in_place(
    base: Base, module: str, version: str
) -> None:
    make_environment()
    for path in site(base).glob(f"{'PyYAML' if module == 'yaml' else module}*"):
        shutil.rmtree(path)
    shutil.rmtree(site(base) / module, ignore_errors=True)
    if version:
        stand_in.packages(site(base), {module: version}, {})
    (base.folder / "mine").write_text("x")
    base.script("venv", "exit 1")
    removing = f'rm -rf "{site(base)}/{module}"*\n'
    base.script("install", removing + base.laying({module: stand_in.PACKAGES[module]}))
    make_environment()
    assert works(base)
    assert (base.folder / "mine").exists()


def site(base: Base) -> Path:
    return base.folder / "lib" / "python3.12" / "site-packages"


def test_a_package_that_is_still_missing_is_an_error(base: Base) -> None:
    base.brings({k: v for k, v in stand_in.PACKAGES.items() if k != "yaml"})
    error = refused()
    assert error.reason == "failed"
    assert "not all is there: PyYAML" in str(error)
    assert not base.folder.exists()


def test_a_ttnn_that_lacks_a_library_of_the_system_is_no_failure(base: Base) -> None:
    base.brings(stand_in.PACKAGES, {"ttnn": "raise OSError('libnuma.so.1: not found')"})
    told: list[Progress] = []
    make_environment(on_progress=told.append)
    assert "cannot be imported here: OSError: libnuma.so.1: not found" in told[-1].text
    assert not (base.folder / UNFINISHED).exists()


def test_one_whose_ttnn_is_damaged_is_made_anew(base: Base) -> None:
    base.brings(stand_in.PACKAGES, {"ttnn": "raise ImportError('torn')"})
    make_environment()
    (base.folder / "old").write_text("x")
    base.brings(stand_in.PACKAGES)
    make_environment()
    assert works(base)
    assert not (base.folder / "old").exists()


def test_another_version_of_python_makes_it_anew(base: Base, tmp_path: Path) -> None:
    make_environment()
    other = Base(tmp_path / "other", base.folder, version=(3, 10))
    make_environment(base=other.python)
    assert ask(python_of(base.folder)).version_text == "3.10.4"
    assert works(base)


# Cut short


@pytest.mark.parametrize("step", ["venv", "download", "install"])
def test_it_can_be_cancelled_at_any_moment_and_leaves_nothing(base: Base, step: str) -> None:
    base.script(step, base.hanging(f"{step} has begun"))
    with pytest.raises(CancelledError):
        make_environment(stop=base.begun)
    assert not base.folder.exists()
    assert not _children()


def _children() -> list[psutil.Process]:
    return psutil.Process().children(recursive=True)


def test_cancelling_a_download_leaves_the_old_environment_as_it_was(base: Base) -> None:
    base.brings({**stand_in.PACKAGES, "ttnn": "0.77.0"})
    make_environment()
    before = names(base.folder)
    base.script("download", base.hanging(fake_base.DOWNLOADED))
    with pytest.raises(CancelledError):
        make_environment(stop=base.begun)
    assert names(base.folder) == before
    assert works(base)


def test_cancelling_while_packages_are_replaced_leaves_one_that_says_it_is_unfinished(
    base: Base,
) -> None:
    base.brings({**stand_in.PACKAGES, "ttnn": "0.77.0"})
    make_environment()
    base.script("install", base.hanging(fake_base.INSTALLED))
    with pytest.raises(CancelledError):
        make_environment(stop=base.begun)
    found = ask(python_of(base.folder), deep=True)
    assert not found.supported
    assert found.problem == "its environment is not finished: make it again"
    (base.folder / "torn").write_text("x")
    base.brings(stand_in.PACKAGES)
    make_environment()
    assert works(base)
    assert not (base.folder / "torn").exists(), "it was made anew"


def test_what_was_killed_between_two_steps_is_made_anew(base: Base) -> None:
    base.folder.mkdir(parents=True)
    for name in (LOCK, UNFINISHED):
        (base.folder / name).write_text("")
    (base.folder / "lib").mkdir()
    (base.folder / DOWNLOADS).mkdir()
    make_environment()
    assert works(base)
    assert names(base.folder) == {"bin", "lib", "pyvenv.cfg", LOCK}


def test_ctrl_c_undoes_what_was_begun(base: Base) -> None:
    base.script("install", base.hanging(fake_base.INSTALLED))

    def pressed() -> bool:
        if base.begun():
            raise KeyboardInterrupt
        return False

    with pytest.raises(KeyboardInterrupt):
        make_environment(stop=pressed)
    assert not base.folder.exists()
    assert not _children()


# What a person can mend


@pytest.mark.parametrize(
    ("step", "said", "reason", "words"),
    [
        ("download", fake_base.UNREACHED, "network", "cannot be reached"),
        ("download", fake_base.NOT_THERE, "package", "glibc 2.34 or newer"),
        ("download", fake_base.FULL, "disk", "the disk is full"),
        ("install", fake_base.FULL, "disk", "the disk is full"),
        ("install", fake_base.DENIED, "folder", "Permission denied"),
        ("venv", "Error: [Errno 28] No space left on device", "disk", "the disk is full"),
        ("venv", "ensurepip returned 1", "venv", "sudo apt install python3.12-venv"),
        ("install", "\x1b[31mboom", "failed", "pip could not install the packages"),
    ],
)
def test_errors_say_what_to_do(
    base: Base, step: str, said: str, reason: str, words: str
) -> None:  # fmt: skip
    base.script(step, base.failing(said))
    error = refused()
    assert error.reason == reason
    assert words in str(error)
    assert "\x1b" not in str(error)
    assert not base.folder.exists()


def test_a_pip_that_never_ends_is_ended(base: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(card_environment, "_DOWNLOAD_S", 0.5)
    base.script("download", base.hanging(fake_base.DOWNLOADED))
    assert refused().reason == "time"
    assert not _children()


def test_a_pip_that_prints_without_end_is_ended(base: Base) -> None:
    base.script("download", "yes 'Collecting more and more of the same'")
    assert "printed more than" in str(refused())


def test_too_little_disk_is_said_before_anything_is_made(
    base: Base, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=300_000_000))
    error = refused()
    assert error.reason == "disk"
    assert "needs 1.2 GB of free disk" in str(error)
    assert "0.3 GB are free" in str(error)
    assert not base.folder.exists()


@pytest.mark.parametrize("kind", ["file", "folder", "link", "environment of another"])
def test_what_is_not_ours_is_never_touched(base: Base, kind: str, tmp_path: Path) -> None:
    base.folder.parent.mkdir()
    theirs = tmp_path / "theirs"
    if kind == "file":
        base.folder.write_text("precious")
    elif kind == "folder":
        base.folder.mkdir()
        (base.folder / "precious").write_text("x")
    else:
        theirs.mkdir()
        (theirs / ("pyvenv.cfg" if "environment" in kind else "precious")).write_text("x")
        base.folder.symlink_to(theirs)
    before = sorted(tmp_path.rglob("*"))
    error = refused()
    assert error.reason == "folder"
    assert "nothing in it was touched" in str(error)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_link_in_an_environment_is_removed_and_not_followed(base: Base, tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "precious").write_text("x")
    base.folder.mkdir(parents=True)
    (base.folder / UNFINISHED).write_text("")
    (base.folder / "lib").symlink_to(tmp_path / "theirs")
    make_environment()
    assert works(base)
    assert (tmp_path / "theirs" / "precious").exists()


def test_a_lock_that_is_a_link_or_a_folder_is_refused(base: Base, tmp_path: Path) -> None:
    base.folder.mkdir(parents=True)
    (base.folder / LOCK).symlink_to(tmp_path / "elsewhere")
    assert refused().reason == "folder"
    assert not (tmp_path / "elsewhere").exists()
    (base.folder / LOCK).unlink()
    (base.folder / LOCK).mkdir()
    assert refused().reason == "folder"


def test_a_place_that_cannot_be_written_says_so(tmp_path: Path, base: Base) -> None:
    (tmp_path / "file").write_text("x")
    error = refused(folder=tmp_path / "file" / "environment")
    assert error.reason == "folder"
    assert "Check that you may write there" in str(error)
    assert refused(folder=Path("/proc/trickster")).reason == "folder"


def test_two_at_once_do_not_spoil_each_other(base: Base) -> None:
    with held(base.folder):
        error = refused()
    assert error.reason == "busy"
    assert not base.folder.exists()


def test_no_python_no_environment(base: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base_python, "base_candidates", lambda: ())
    error = refused()
    assert error.reason == "python"
    assert "sudo apt install python3.12 python3.12-venv" in str(error)
    assert not base.folder.exists()


def test_cards_train_on_linux(base: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(card_environment.sys, "platform", "darwin")
    assert refused().reason == "platform"
