"""The two themes by the numbers: contrast, and colours that the colour-blind can tell apart."""

from __future__ import annotations

import itertools

import pytest
from PySide6.QtGui import QFont
from pytestqt.qtbot import QtBot

from trickster_gui.style import palette, style_sheet
from trickster_gui.theme import DARK, LIGHT, Theme, ThemeSource, tabular

Linear = tuple[float, float, float]
THEMES = pytest.mark.parametrize("theme", [LIGHT, DARK], ids=lambda theme: theme.name)

# Viénot, Brettel and Mollon (1999), "Digital video colourmaps for checking the legibility of
# displays by dichromats": linear RGB as a protanope and a deuteranope see it.
PROTANOPE = ((0.11238, 0.88762, 0.0), (0.11238, 0.88762, 0.0), (0.00401, -0.00401, 1.0))
DEUTERANOPE = ((0.29275, 0.70725, 0.0), (0.29275, 0.70725, 0.0), (-0.02234, 0.02234, 1.0))
NORMAL = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))


def linear(colour: str) -> Linear:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return red, green, blue


def contrast(first: str, second: str) -> float:
    """WCAG 2.2 contrast ratio."""
    lights = sorted(
        0.2126 * r + 0.7152 * g + 0.0722 * b for r, g, b in (linear(first), linear(second))
    )
    return (lights[1] + 0.05) / (lights[0] + 0.05)


def seen(colour: str, by: tuple[Linear, Linear, Linear]) -> Linear:
    rgb = linear(colour)
    red, green, blue = (
        max(0.0, sum(part * value for part, value in zip(row, rgb, strict=True))) for row in by
    )
    return red, green, blue


def lab(rgb: Linear) -> Linear:
    """CIELAB of linear sRGB, white point D65."""
    r, g, b = rgb
    x = (0.4124 * r + 0.3576 * g + 0.1805 * b) / 0.95047
    y = 0.2126 * r + 0.7152 * g + 0.0722 * b
    z = (0.0193 * r + 0.1192 * g + 0.9505 * b) / 1.08883
    fx, fy, fz = (t ** (1 / 3) if t > 0.008856 else 7.787 * t + 16 / 116 for t in (x, y, z))
    return 116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)


def distance(first: str, second: str, by: tuple[Linear, Linear, Linear]) -> float:
    """ΔE (1976) between two colours as somebody sees them."""
    one, other = lab(seen(first, by)), lab(seen(second, by))
    return sum((a - b) ** 2 for a, b in zip(one, other, strict=True)) ** 0.5


def test_contrast_of_black_on_white_is_21() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21.0)


@THEMES
@pytest.mark.parametrize("role", ["text", "muted", "faint", "danger", "warning", "success"])
@pytest.mark.parametrize("ground", ["background", "surface", "raised"])
def test_text_has_the_contrast_that_wcag_aa_asks_for(theme: Theme, role: str, ground: str) -> None:
    assert contrast(getattr(theme, role), getattr(theme, ground)) >= 4.5


@THEMES
def test_text_on_the_accent_and_the_accent_as_text_can_be_read(theme: Theme) -> None:
    assert contrast(theme.accent_text, theme.accent) >= 4.5
    assert contrast(theme.accent, theme.surface) >= 4.5


@THEMES
def test_marks_stand_out_from_what_they_lie_on(theme: Theme) -> None:
    """WCAG asks 3:1 of graphics; small marks always carry a label as well."""
    for name in ("train", "validation"):
        assert contrast(theme.series[name], theme.surface) >= 3.0, name


@THEMES
@pytest.mark.parametrize("family", ["components", "memory"])
@pytest.mark.parametrize(
    ("by", "least"),
    [(NORMAL, 20.0), (PROTANOPE, 10.0), (DEUTERANOPE, 10.0)],
    ids=["normal", "protanope", "deuteranope"],
)
def test_colours_of_a_family_can_be_told_apart(
    theme: Theme, family: str, by: tuple[Linear, Linear, Linear], least: float
) -> None:
    colours = getattr(theme, family)
    near = {
        (one, other): round(distance(colours[one], colours[other], by), 1)
        for one, other in itertools.combinations(colours, 2)
    }
    closest = min(near, key=lambda pair: near[pair])
    assert near[closest] >= least, (closest, near[closest])


@THEMES
def test_style_and_palette_use_nothing_but_the_theme(theme: Theme, qtbot: QtBot) -> None:
    sheet = style_sheet(theme)
    assert theme.surface in sheet
    other = LIGHT if theme is DARK else DARK
    assert other.background not in sheet
    assert palette(theme).window().color().name() == theme.background


def test_the_source_follows_a_choice_and_tells(qtbot: QtBot) -> None:
    source = ThemeSource("light")
    with qtbot.waitSignal(source.changed) as told:
        source.choose("dark")
    assert told.args == [DARK]
    assert source.current is DARK
    source.choose("system")
    assert source.choice == "system"
    assert source.current in (LIGHT, DARK)


def test_tabular_figures_are_asked_for(qtbot: QtBot) -> None:
    font = tabular(QFont())
    assert font.featureValue(QFont.Tag("tnum")) == 1
