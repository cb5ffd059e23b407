"""Every meaning can be read on every ground: as sent, after a terminal's reduction, under red light, by any eye."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from rich.color import Color, ColorSystem

import themes
from screens.widgets.parts import TONES
from themes.contrast import CLEAR, READABLE, channels, luminance, pairs, ratio, weak
from themes.palette import STYLED, Palette, whole
from themes.palettes import ANSI16, BY_NAME, COLOURBLIND, CONTRAST, MONO, NIGHT, PALETTES

DRAWN = [palette for palette in PALETTES if not palette.ansi]
IN_SIXTEEN = 3.0
"""What WCAG asks of large text. Sixteen colours are the terminal's, so only a floor can be promised."""
TOLD_APART = 20.0
"""CIE76 distance; 2.3 is the smallest an eye sees."""

# Machado, Oliveira and Fernandes 2009, severity 1.0, on linear RGB
EYES = {
    "protanopia": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deuteranopia": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "tritanopia": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
}


def reduced(palette: Palette, system: ColorSystem) -> Palette:
    """The palette as a terminal with fewer colours gets it from us."""

    def one(colour: str) -> str:
        red, green, blue = Color.parse(colour).downgrade(system).get_truecolor()
        return f"#{red:02x}{green:02x}{blue:02x}"

    return replace(palette, colours={name: one(colour) for name, colour in palette.colours.items()})


def lab(rgb: tuple[float, ...]) -> tuple[float, float, float]:
    red, green, blue = (min(1.0, max(0.0, value)) for value in rgb)
    x = (0.4124564 * red + 0.3575761 * green + 0.1804375 * blue) / 0.95047
    y = 0.2126729 * red + 0.7151522 * green + 0.0721750 * blue
    z = (0.0193339 * red + 0.1191920 * green + 0.9503041 * blue) / 1.08883
    fx, fy, fz = (t ** (1 / 3) if t > 0.008856 else 7.787 * t + 16 / 116 for t in (x, y, z))
    return (116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz))


def test_the_names_are_the_palettes() -> None:
    assert tuple(BY_NAME) == themes.NAMES
    assert set(TONES) <= set(STYLED)


@pytest.mark.parametrize("palette", DRAWN, ids=lambda palette: palette.name)
def test_every_meaning_is_readable_on_every_ground(palette: Palette) -> None:
    assert weak(palette, CLEAR if palette is CONTRAST else READABLE) == []


@pytest.mark.parametrize("palette", DRAWN, ids=lambda palette: palette.name)
def test_it_stays_readable_with_256_colours(palette: Palette) -> None:
    assert weak(reduced(palette, ColorSystem.EIGHT_BIT), CLEAR if palette is CONTRAST else READABLE) == []


@pytest.mark.parametrize("palette", DRAWN, ids=lambda palette: palette.name)
def test_it_stays_readable_with_sixteen_where_the_cursor_line_is_reversed(palette: Palette) -> None:
    few = reduced(palette, ColorSystem.STANDARD)
    assert [one for one in weak(few, IN_SIXTEEN) if one[1] not in ("cursor", "cursor-away")] == []
    assert ratio(few.colours["foreground"], few.colours["background"]) >= READABLE


@pytest.mark.parametrize("palette", DRAWN, ids=lambda palette: palette.name)
@pytest.mark.parametrize("system", [ColorSystem.TRUECOLOR, ColorSystem.EIGHT_BIT], ids=["true", "256"])
def test_grounds_stay_apart_so_that_the_cursor_is_seen(palette: Palette, system: ColorSystem) -> None:
    c = (palette if system is ColorSystem.TRUECOLOR else reduced(palette, system)).colours
    if not palette.reversed("cursor"):
        assert len({c["background"], c["cursor-away"], c["cursor"]}) == 3
        assert ratio(c["cursor"], c["background"]) >= 1.25
        assert "bold" in palette.style("cursor"), "a ground alone does not carry the cursor"


def test_night_is_dim_and_holds_under_red_light() -> None:
    """A red lamp, or a screen filter that takes blue and green away, leaves the red channel alone."""
    c = NIGHT.colours
    assert luminance(c["background"]) < 0.01
    assert all(luminance(colour) < 0.87 for colour in c.values()), "nothing shines"
    for text, ground in pairs(NIGHT):
        low, high = sorted((channels(c[text])[0], channels(c[ground])[0]))
        assert (high + 0.05) / (low + 0.05) >= READABLE, (text, ground)


@pytest.mark.parametrize("eye", EYES)
def test_colourblind_keeps_its_meanings_apart_for_every_eye(eye: str) -> None:
    def seen(name: str) -> tuple[float, float, float]:
        rgb = channels(COLOURBLIND.colours[name])
        return lab(tuple(sum(a * b for a, b in zip(row, rgb, strict=True)) for row in EYES[eye]))

    for one, other in itertools.combinations(("alarm", "caution", "good", "foreground"), 2):
        distance = sum((a - b) ** 2 for a, b in zip(seen(one), seen(other), strict=True)) ** 0.5
        assert distance >= TOLD_APART, (one, other, distance)


def test_without_colours_weights_tell_the_abnormal_apart() -> None:
    assert len({MONO.style(name) for name in ("alarm", "caution", "good")}) == 3
    for palette in (MONO, ANSI16):
        assert palette.reversed("cursor") and not palette.reversed("cursor-away")
        assert palette.style("cursor-away") != "none"


def test_a_palette_with_a_hole_or_a_word_of_its_own_is_refused() -> None:
    with pytest.raises(ValueError, match="lacks the colour alarm"):
        whole(replace(NIGHT, colours={k: v for k, v in NIGHT.colours.items() if k != "alarm"}))
    with pytest.raises(ValueError, match="no colour"):
        whole(replace(NIGHT, colours={**NIGHT.colours, "alarm": "red"}))
    with pytest.raises(ValueError, match="no style"):
        whole(replace(NIGHT, styles={"alarm": "blink"}))


@pytest.mark.parametrize(
    ("environ", "name"),
    [
        ({"TERM": "xterm-256color"}, "night"),
        ({"TERM": "xterm", "COLORTERM": "truecolor"}, "night"),
        ({"TERM": "xterm"}, "ansi16"),
        ({"TERM": "screen"}, "ansi16"),
        ({"TERM": "linux"}, "ansi16"),
        ({"TERM": "vt220"}, "mono"),
        ({"TERM": "xterm-mono"}, "mono"),
        ({"TERM": "xterm-256color", "NO_COLOR": "1"}, "mono"),
        ({"TERM": "xterm-256color", "NO_COLOR": ""}, "night"),
        ({}, "ansi16"),
    ],
)
def test_what_a_terminal_is_given_unasked(environ: dict[str, str], name: str) -> None:
    assert themes.default(environ) == name
