"""Axes, numbers and maps."""

import base64
import re
import struct
import zlib

import numpy as np
import pytest

from rnla.dashboard import maps
from rnla.dashboard.axes import Axis, Frame, counting, linear, logarithmic
from rnla.dashboard.spelling import captured, duration, number, percent, probability

SPELT = [
    (number(0.012361), "0.01236"),
    (number(255.37128), "255.4"),
    (number(1234567.0), "1.235\N{MULTIPLICATION SIGN}10⁶"),
    (number(-1e-7), "\N{MINUS SIGN}10⁻⁷"),
    (number(9.9999e-4), "0.001000"),
    (number(0), "0"),
    (number(np.inf), "∞"),
    (number(None), "not known"),
    (number(float("nan")), "not known"),
    (percent(0.12345), "12.3\N{NO-BREAK SPACE}%"),
    (percent(0), "0\N{NO-BREAK SPACE}%"),
    (captured(1 - 3e-8), "all but 3\N{MULTIPLICATION SIGN}10⁻⁸"),
    (captured(1), "100\N{NO-BREAK SPACE}%"),
    (probability(1 - 1e-6), "99.9999\N{NO-BREAK SPACE}%"),
    (probability(0.99), "99\N{NO-BREAK SPACE}%"),
    (probability(1 - 1e-12), "1 \N{MINUS SIGN} 10⁻¹²"),
    (duration(0.4237), "0.424 s"),
    (duration(245), "4 min 5 s"),
    (duration(7380), "2 h 3 min"),
]


@pytest.mark.parametrize(("found", "wanted"), SPELT)
def test_numbers_are_spelt_as_people_read_them(found, wanted):
    assert found == wanted


AXES = [
    linear("x", [0, 1]),
    linear("x", [-3.2e-9, 7e-9]),
    linear("x", [5.0]),
    linear("x", [0.0, 0.0]),
    linear("x", [1e6, 1e6 + 1]),
    linear("x", [np.nan]),
    logarithmic("x", [1e-300, 1e300]),
    logarithmic("x", [1e-310, 3e-310]),
    logarithmic("x", [5e-324, 1e-320]),
    logarithmic("x", [1e307, 1.7e308]),
    logarithmic("x", [3, 4]),
    logarithmic("x", [2.0]),
    logarithmic("x", [0.0]),
    logarithmic("x", [1, 2000]),
    counting("x", 1),
    counting("x", 50),
    counting("x", 1000),
]


@pytest.mark.parametrize("axis", AXES)
def test_ticks_lie_on_the_axis_are_few_and_differ(axis):
    values = [value for value, _ in axis.ticks]
    texts = [text for _, text in axis.ticks]
    assert 1 <= len(values) <= 12
    assert len(set(texts)) == len(texts)
    room = 1e-9 * (axis.high - axis.low)
    assert all(axis.low - room <= value <= axis.high + room for value in values)


@pytest.mark.parametrize("low", [0.06, 0.0031, 0.21, 1.0, 4.4e-4, 3e-9])
@pytest.mark.parametrize("factor", [1.3, 2.5, 7.5, 12, 80, 900, 1e5, 1e12])
def test_ticks_of_a_logarithmic_axis_leave_no_part_of_it_without_and_are_spelt_in_one_way(low, factor):
    axis = logarithmic("x", [low, factor * low])
    ticks = axis.ticks
    at = axis.fractions([value for value, _ in ticks])
    assert len(ticks) >= 3
    assert np.diff(np.concatenate([[0], at, [1]])).max() < 0.42
    assert len({any(sign in text for sign in "⁻⁰¹²³⁴⁵⁶⁷⁸⁹") for _, text in ticks}) == 1
    assert axis.title == "x, logarithmic"


def test_values_fall_where_the_axis_says():
    np.testing.assert_allclose(Axis("x", 1, 100, log=True).fractions([1, 10, 100, 0]), [0, 0.5, 1, 0])
    frame = Frame(Axis("x", 0, 1), Axis("y", 0, 1))
    left, top, width, height = frame.box
    np.testing.assert_allclose(frame.across([0, 1]), [left, left + width])
    np.testing.assert_allclose(frame.down([0, 1]), [top + height, top])


def decoded(png):
    """Palette indices of a PNG, read by the letter of the specification."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    parts, at = {}, 8
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        kind, data = png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        assert struct.unpack(">I", png[at + 8 + length : at + 12 + length])[0] == zlib.crc32(kind + data)
        parts[kind] = data
        at += 12 + length
    columns, rows, depth, colour, *_ = struct.unpack(">IIBBBBB", parts[b"IHDR"])
    assert (depth, colour) == (8, 3)
    lines = np.frombuffer(zlib.decompress(parts[b"IDAT"]), np.uint8).reshape(rows, columns + 1)
    assert (lines[:, 0] == 0).all()
    return lines[:, 1:], np.frombuffer(parts[b"PLTE"], np.uint8).reshape(-1, 3)


def test_map_is_grey_on_land_white_at_zero_and_symmetric():
    field = np.array([[-1.0, 0.0, 1.0], [np.nan, -0.5, 0.5]])
    pixels, colours = decoded(maps.png(maps.indices(field, 1.0), maps.palette()))
    np.testing.assert_array_equal(pixels, [[1, 128, 255], [0, 65, 191]])
    assert tuple(colours[0]) == maps.GREY
    assert tuple(colours[128]) == (247, 247, 247)
    assert colours[1][2] > colours[1][0]  # blue below zero
    assert colours[255][0] > colours[255][2]  # red above


def test_world_holds_its_image_ticks_and_units():
    lat, lon = np.arange(88.0, -89, -2), np.arange(0.0, 360, 2)
    field = np.cos(np.deg2rad(lat))[:, None] * np.sin(np.deg2rad(lon))
    svg = maps.world(field, lat, lon, "degC", "a wave")
    images = re.findall(r"base64,([^\"]+)", svg)
    assert decoded(base64.b64decode(images[0]))[0].shape == field.shape
    for text in ("60°E", "180°", "60°W", "30°N", "60°S", "degC", "land"):
        assert text in svg
