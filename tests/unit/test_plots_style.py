"""Figure files: every format, the same bytes each time, nothing half-written, no state left."""

from itertools import pairwise

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from hearing_asr.errors import InputError
from hearing_asr.plots import style

MAGIC = {"png": b"\x89PNG", "pdf": b"%PDF", "svg": b"<?xml", "jpg": b"\xff\xd8\xff"}


def draw(path, **options):
    with style.figure(path, dpi=40, figsize=(4, 3), **options) as fig:
        ax = fig.subplots()
        for index in range(3):
            ax.plot(np.arange(5) * index, label=f"series {index}", **style.series_style(index))
        ax.imshow(np.eye(4), extent=(0, 1, 0, 1))
        ax.bar([2, 3], [1, 2], hatch="//")
        style.shared_legend(fig, [ax])


@pytest.mark.parametrize("suffix", sorted(MAGIC))
def test_every_format_repeats_byte_for_byte(tmp_path, suffix):
    first, second = tmp_path / f"a.{suffix}", tmp_path / "elsewhere" / f"b.{suffix}"
    draw(first)
    draw(second)
    assert first.read_bytes().startswith(MAGIC[suffix])
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("suffix", ["pdf", "svg", "png"])
def test_no_date_and_no_temporary_name_in_the_file(tmp_path, suffix):
    draw(tmp_path / f"a.{suffix}")
    content = (tmp_path / f"a.{suffix}").read_bytes()
    assert b"CreationDate" not in content
    assert b"dc:date" not in content
    assert b".part" not in content
    assert b"Software" not in content


def test_size_is_inches_times_dpi(tmp_path):
    draw(tmp_path / "a.png")
    assert Image.open(tmp_path / "a.png").size == (160, 120)


def test_jpg_has_a_white_background(tmp_path):
    draw(tmp_path / "a.jpg")
    assert min(Image.open(tmp_path / "a.jpg").getpixel((0, 0))) >= 250


@pytest.mark.parametrize("name", ["a.gif", "a", "a.PNGX"])
def test_another_suffix_names_those_possible(tmp_path, name):
    with pytest.raises(InputError, match="png, pdf, svg, jpg"):
        draw(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_a_failure_while_drawing_leaves_the_former_file(tmp_path):
    draw(tmp_path / "a.png")
    former = (tmp_path / "a.png").read_bytes()
    with pytest.raises(RuntimeError), style.figure(tmp_path / "a.png"):
        raise RuntimeError
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
    assert (tmp_path / "a.png").read_bytes() == former


def test_settings_of_the_user_neither_count_nor_change(tmp_path):
    draw(tmp_path / "a.png")
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red"}):
        before = dict(matplotlib.rcParams)
        draw(tmp_path / "b.png")
        assert dict(matplotlib.rcParams) == before
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_thirty_series_differ_and_neighbours_differ_without_colour():
    looks = [style.series_style(index) for index in range(30)]
    assert len({(look["color"], str(look["linestyle"])) for look in looks}) == 30
    for one, other in pairwise(looks):
        assert one["linestyle"] != other["linestyle"]
        assert one["marker"] != other["marker"]


def test_colours_are_those_of_okabe_and_ito():
    """Okabe & Ito (2008), fig. 16, in RGB of 0 to 255."""
    published = {
        (0, 114, 178), (213, 94, 0), (0, 158, 115), (204, 121, 167), (230, 159, 0), (86, 180, 233),
    }  # fmt: skip
    assert {
        tuple(round(255 * part) for part in to_rgb(color)) for color in style.COLORS
    } == published


def test_legend_names_each_series_once_with_gaps_last(tmp_path):
    with style.figure(tmp_path / "a.png", dpi=20, figsize=(4, 3)) as fig:
        left, right = fig.subplots(1, 2)
        left.plot([1], label=style.NOT_FINITE)
        left.plot([1], label="one")
        right.plot([1], label="one")
        right.plot([1], label="two")
        assert list(style.legend_entries([left, right])) == ["one", "two", style.NOT_FINITE]


@pytest.mark.parametrize("names", [["a"], ["a long name of a variant " * 2] * 12])
def test_legend_stays_within_the_figure(tmp_path, names):
    with style.figure(tmp_path / "a.png", dpi=40, figsize=(12, 8)) as fig:
        ax = fig.subplots()
        for index, name in enumerate(names):
            ax.plot([1], label=f"{name}{index}")
        style.shared_legend(fig, [ax])
        fig.draw_without_rendering()
        box = fig.legends[0].get_window_extent()
        assert box.x0 >= 0
        assert box.x1 <= fig.bbox.x1
