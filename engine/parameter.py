"""The declaration of one parameter: its type, range, unit and help, said once.

Window, command line and documentation all read these declarations; none of them repeats a
range or a help text of its own.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NoReturn

Value = int | float | bool | str | tuple[str, ...] | None
Kind = Literal["integer", "number", "flag", "choice", "text", "texts"]

_TRUE = {"true", "yes", "on", "1"}
_FALSE = {"false", "no", "off", "0"}
_MAX_TEXT = 4096
_MAX_TEXTS = 64
# Whole numbers of more digits are beyond every range; longer texts are not read as numbers at all.
_MAX_DIGITS, _MAX_NUMBER = 18, 400
# 0,001 is a decimal comma and no thousand: a first group never begins with 0.
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(?:,\d{3})+(?:\.\d*)?(?:[eE][+-]?\d+)?[kKmM]?")
_FACTORS = {"k": 1_000, "m": 1_000_000}


class SpecError(ValueError):
    """A value or a combination of values that cannot be built, with a way out.

    Attributes:
        field: name of the guilty parameter (the row that lights up).
        message: the reason, in plain words.
        fix: values to set so that this problem is gone; empty where no single change is right.
    """

    def __init__(self, field: str, message: str, fix: Mapping[str, Value] | None = None) -> None:
        super().__init__(message)
        self.field = field
        self.message = message
        self.fix: dict[str, Value] = dict(fix or {})

    def fix_text(self) -> str:
        """The fix as text, e.g. ``num_heads = 8``; empty when there is none."""
        return ", ".join(f"{name} = {show(value)}" for name, value in self.fix.items())

    def __str__(self) -> str:
        fix = self.fix_text()
        return f"{self.field}: {self.message}" + (f" (fix: {fix})" if fix else "")


@dataclass(frozen=True)
class Parameter:
    """One declared parameter of a spec.

    ``minimum`` and ``maximum`` are inclusive. ``optional`` allows None, which ``none_label``
    puts in words. ``multiple`` is the step of useful values of a linear slider. ``choices`` maps
    each allowed value to the words a person reads.
    """

    label: str
    group: str
    kind: Kind
    help: str
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None
    multiple: int = 1
    choices: Mapping[str, str] | None = None
    optional: bool = False
    none_label: str = "automatic"
    name: str = ""

    def check(self, value: Value) -> Value:
        """Return ``value`` with its exact type, or raise SpecError with the nearest legal value."""
        if value is None:
            if self.optional:
                return None
            raise SpecError(self.name, f"{self.label} needs a value")
        if self.kind == "integer":
            return self._check_integer(value)
        if self.kind == "number":
            return self._check_number(value)
        if self.kind == "flag":
            if not isinstance(value, bool):
                raise SpecError(self.name, f"{show(value)} is neither true nor false")
            return value
        if self.kind == "choice":
            return self._check_choice(value)
        if self.kind == "texts":
            return self._check_texts(value)
        return self._check_text(value)

    def parse(self, text: str) -> Value:
        """Read a value that a person typed; raise SpecError in plain words."""
        word = text.strip()
        if self.optional and word.lower() in {"", "none", "null", "auto", self.none_label}:
            return None
        if self.kind == "integer":
            return self.check(self._typed_integer(word))
        if self.kind == "number":
            return self.check(self._typed_number(_without_separators(self.name, word), word))
        if self.kind == "flag":
            if word.lower() not in _TRUE | _FALSE:
                raise SpecError(self.name, f"{word!r} is neither true nor false")
            return word.lower() in _TRUE
        if self.kind == "texts":
            return self.check(tuple(part for part in text.split("|") if part))
        return self.check(word if self.kind == "choice" else text)

    def _typed_integer(self, word: str) -> int:
        """Digits with or without thousands separators, 32k, 1.5M or 1e3."""
        compact = _without_separators(self.name, word)
        factor = _FACTORS.get(compact[-1:].lower(), 1)
        digits = compact[:-1] if factor > 1 else compact
        if digits.lstrip("+-").isdecimal() and len(digits) <= _MAX_DIGITS:
            try:
                return int(digits) * factor  # exact, as a float is not
            except ValueError:  # several signs
                raise SpecError(self.name, f"{_short(word)} is not a whole number") from None
        number = self._typed_number(digits, word, "is not a whole number") * factor
        if not math.isfinite(number):
            self._refuse_beyond(number, word)
        if number != int(number):
            raise SpecError(self.name, f"{_short(word)} is not a whole number")
        if number >= 10**_MAX_DIGITS:
            self._refuse_beyond(number, word)
        return int(number)

    def _typed_number(self, compact: str, word: str, otherwise: str = "is not a number") -> float:
        """``compact`` as a finite number; errors show ``word``, as it was typed."""
        if len(compact) > _MAX_NUMBER and not compact.lstrip("+-").isdecimal():
            raise SpecError(self.name, f"{_short(word)} {otherwise}")
        try:
            number = float(compact)
        except ValueError:
            raise SpecError(self.name, f"{_short(word)} {otherwise}") from None
        if math.isnan(number) or "inf" in compact.lower():
            what = "is not a finite number" if self.kind == "number" else otherwise
            raise SpecError(self.name, f"{_short(word)} {what}")
        if math.isinf(number):  # 1e400: finite, but beyond what floats hold
            self._refuse_beyond(number, word)
        return number

    def _refuse_beyond(self, number: float, word: str) -> NoReturn:
        self._in_range(number, _short(word))
        raise SpecError(self.name, f"{_short(word)} is too large")

    def _check_integer(self, value: Value) -> int:
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise SpecError(self.name, f"{show(value)} is not a whole number")
        return int(self._in_range(value))

    def _check_number(self, value: Value) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise SpecError(self.name, f"{show(value)} is not a number")
        if isinstance(value, float) and not math.isfinite(value):
            raise SpecError(self.name, f"{value} is not a finite number")
        self._in_range(value)
        try:
            return float(value)
        except OverflowError:
            raise SpecError(self.name, f"{self.label} is too large") from None

    def _in_range(self, value: float, shown: str = "") -> float:
        if self.minimum is not None and value < self.minimum:
            bound, word = self.minimum, "at least"
        elif self.maximum is not None and value > self.maximum:
            bound, word = self.maximum, "at most"
        else:
            return value
        legal = int(bound) if self.kind == "integer" else float(bound)
        message = f"{self.label} must be {word} {show(legal)}, not {shown or show(value)}"
        raise SpecError(self.name, message, {self.name: legal})

    def _check_choice(self, value: Value) -> str:
        assert self.choices is not None
        if isinstance(value, str) and value in self.choices:
            return value
        allowed = ", ".join(self.choices)
        raise SpecError(
            self.name,
            f"{show(value)} is not one of: {allowed}",
            {self.name: next(iter(self.choices))},
        )

    def _check_text(self, value: Value) -> str:
        if not isinstance(value, str):
            raise SpecError(self.name, f"{show(value)} is not text")
        if len(value) > _MAX_TEXT:
            raise SpecError(self.name, f"{self.label} is longer than {_MAX_TEXT:,} characters")
        return value

    def _check_texts(self, value: Value) -> tuple[str, ...]:
        if not isinstance(value, (tuple, list)):
            raise SpecError(self.name, f"{show(value)} is not a list of texts")
        if len(value) > _MAX_TEXTS:
            raise SpecError(self.name, f"{self.label} holds at most {_MAX_TEXTS} texts")
        return tuple(self._check_text(item) for item in value)


def _without_separators(name: str, word: str) -> str:
    """``word`` without spaces, underscores and commas between thousands.

    Raises SpecError for nothing at all and for other commas: 1,5 is one and a half to some.
    """
    compact = "".join(word.replace("_", "").split())
    if not compact:
        raise SpecError(name, "type a number")
    if "," not in compact:
        return compact
    if not _THOUSANDS.fullmatch(compact):
        raise SpecError(
            name, f"{_short(word)}: a comma only separates thousands (1,000); decimals take a point"
        )
    return compact.replace(",", "")


def _short(word: str) -> str:
    return repr(word if len(word) <= 40 else word[:39] + "…")


def show(value: object) -> str:
    """A value as a person reads it: 1,024 · none · yes."""
    if value is None:
        return "automatic"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}" if abs(value) < 10**24 else "a number with too many digits"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, (tuple, list)):
        return " | ".join(str(item) for item in value)
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "…"


def declared(default: Any, parameter: Parameter) -> Any:
    """A dataclass field that carries its declaration."""
    return dataclasses.field(default=default, metadata={"parameter": parameter})


def parameters_of(spec_type: type) -> dict[str, Parameter]:
    """All declarations of a spec class, by field name, in the order they are shown."""
    found = {}
    for field in dataclasses.fields(spec_type):
        parameter = field.metadata.get("parameter")
        if parameter is not None:
            found[field.name] = dataclasses.replace(parameter, name=field.name)
    return found
