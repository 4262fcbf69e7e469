"""What training on a card needs of the Python that a worker runs under."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from engine.devices.check import Check
from engine.devices.host_checks import Places
from engine.devices.interpreter import SUPPORTED, TTNN_VERSION, Interpreter

_COMPILER_NAMES = "compiler/bin/riscv*-g++"
_VERSIONS = " or ".join(f"{major}.{minor}" for major, minor in SUPPORTED)
_NOT_TTML = (
    "The package called ttml on PyPI is something else: do not install it. tt-train's is built "
    "from source together with tt-metal."
)


def interpreter_checks(
    device: str, interpreter: Interpreter | None, places: Places, environment: Mapping[str, str]
) -> tuple[Check, ...]:
    """Everything about the interpreter, as far as it can be told."""
    python = _python(device, interpreter)
    checks = [python]
    if interpreter is not None and interpreter.version:
        checks += [_packages(device, interpreter), _ttnn(device, interpreter)]
        if "numpy" in interpreter.packages:
            checks.append(_numpy(device, interpreter))
    checks.append(_compiler(interpreter, places, environment))
    if interpreter is not None and interpreter.version:
        checks.append(_ttml(interpreter))
    return tuple(checks)


def _python(device: str, interpreter: Interpreter | None) -> Check:
    title = "Python for the worker"
    name_one = f"Or name one: python -m engine preflight --device {device} --python PATH"
    advice = (
        "Install one (Debian, Ubuntu: sudo apt install python3.12 python3.12-venv), then:\n"
        f"{_making(device)}\n{name_one}"
    )
    if interpreter is None:
        said = f"no Python {_VERSIONS} was found, and ttnn exists for no other"
        return Check("python", title, "missing", said, advice)
    if not interpreter.version:
        said = f"{interpreter.path} cannot be used: {interpreter.problem}"
        return Check("python", title, "missing", said, advice)
    said = f"{interpreter.path} (Python {interpreter.version_text})"
    if not interpreter.supported:
        said += f", but ttnn exists only for {_VERSIONS}"
        return Check("python", title, "missing", said, advice)
    return Check("python", title, "ok", said)


def _making(device: str) -> str:
    """How to have the environment made or mended."""
    return (
        "“Make it” in the window's checklist makes one with all that is needed; so does\n"
        f"python -m engine card-environment --device {device} (in a checkout also: make "
        "tenstorrent-env)"
    )


def _installing(device: str, interpreter: Interpreter, packages: str) -> str:
    """How to install packages: never into a Python that belongs to the system."""
    if not interpreter.is_environment:
        return _making(device)
    return f"{_making(device)}\nOr install by hand: {interpreter.path} -m pip install {packages}"


def _packages(device: str, interpreter: Interpreter) -> Check:
    title, missing = "The engine's packages", interpreter.missing()
    if not missing:
        return Check("packages", title, "ok", "all there")
    quoted = " ".join(f"'{name}'" if "<" in name else name for name in missing)
    count = f"{len(missing)} package{'s' if len(missing) > 1 else ''} that the engine needs"
    return Check(
        "packages", title, "missing",
        f"{count} {'are' if len(missing) > 1 else 'is'} missing in the worker's Python",
        f"Missing: {', '.join(missing)}\n{_installing(device, interpreter, quoted)}",
    )  # fmt: skip


def _ttnn(device: str, interpreter: Interpreter) -> Check:
    install = _installing(device, interpreter, f"ttnn=={TTNN_VERSION} 'numpy<2'")
    version = interpreter.packages.get("ttnn")
    if version is None:
        said = "ttnn is not installed in the worker's Python"
        return Check("ttnn", "ttnn", "missing", said, install)
    if interpreter.ttnn_error:
        said = f"ttnn cannot be imported: {interpreter.ttnn_error}"
        return Check("ttnn", "ttnn", "missing", said, f"Install it again.\n{install}")
    if not interpreter.ttnn_folder:
        said = f"whether ttnn can be imported is not told: {interpreter.problem or 'no answer'}"
        return Check("ttnn", "ttnn", "unknown", said)
    other = f"; this version was made with {TTNN_VERSION}" if version != TTNN_VERSION else ""
    return Check("ttnn", "ttnn", "ok", f"{version or 'built from source'}{other}")


def _numpy(device: str, interpreter: Interpreter) -> Check:
    title, version = "numpy below 2", interpreter.packages.get("numpy", "")
    major = version.partition(".")[0]
    if not major.isdigit():
        return Check("numpy", title, "unknown", "its version is not told")
    if int(major) >= 2:
        said = f"numpy {version}, but ttnn needs one below 2"
        return Check("numpy", title, "missing", said, _installing(device, interpreter, "'numpy<2'"))
    return Check("numpy", title, "ok", version)


def _compiler(
    interpreter: Interpreter | None, places: Places, environment: Mapping[str, str]
) -> Check:
    title = "Kernel compiler sfpi"
    roots = [environment[name] for name in ("TT_METAL_RUNTIME_ROOT", "TT_METAL_HOME")
             if environment.get(name)]  # fmt: skip
    if interpreter is not None and interpreter.ttnn_folder:
        roots.append(interpreter.ttnn_folder)
    folders = [*(Path(root) / "runtime" / "sfpi" for root in roots), places.compiler]
    for folder in folders:
        if any(folder.glob(_COMPILER_NAMES)):
            return Check("sfpi", title, "ok", str(folder))
    return Check(
        "sfpi", title, "missing", f"not found at {' or '.join(map(str, folders))}",
        "It is not in ttnn's wheel. Install it from https://github.com/tenstorrent/sfpi/releases",
    )  # fmt: skip


def _ttml(interpreter: Interpreter) -> Check:
    """tt-train's bindings: another way to train, which nothing here depends on."""
    title = "tt-train's ttml (optional)"
    if interpreter.ttml_real is None:
        return Check("ttml", title, "missing", "not installed; not needed", _NOT_TTML, False)
    if not interpreter.ttml_real:
        said = "the ttml that is installed is another package of that name"
        advice = f"{interpreter.path} -m pip uninstall ttml\n{_NOT_TTML}"
        return Check("ttml", title, "missing", said, advice, False)
    if interpreter.ttml_error:
        said = f"it cannot be imported: {interpreter.ttml_error}"
        return Check("ttml", title, "missing", said, _NOT_TTML, False)
    return Check("ttml", title, "ok", "tt-train's is importable", needed=False)
