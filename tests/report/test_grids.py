"""Grids of pictures, drawings on them, and the report that holds them.

In: made-up pictures, boxes, masks. Out: PNG files and HTML; their looks are judged by eye, their robustness here.
"""

import numpy as np
import pytest
from PIL import Image

from thalweg.report import annotated, grids
from thalweg.report.run_report import RunReport, Shown

pytest.importorskip("matplotlib")
NAMES = ["a class $ of long names", "b"]


def is_png(path):
    return path.read_bytes().startswith(b"\x89PNG")


def pictures(count, channels, size=(16, 24), dtype=np.uint8):
    values = np.random.default_rng(0).integers(0, 256, (count, channels, *size))
    return values.astype(np.uint8) if dtype == np.uint8 else (values / 255).astype(np.float32)


@pytest.mark.parametrize("count", [1, 5, 24])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_classified_pictures_are_drawn(tmp_path, count, channels):
    images, names = pictures(count, channels), [NAMES[i % 2] for i in range(count)]
    shares = np.linspace(0, 1, count)
    assert is_png(grids.draw_classified(tmp_path / "a.png", images, names, names[::-1], shares))
    assert is_png(grids.draw_mistakes(tmp_path / "b.png", images, names, names, shares))


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_masks_are_drawn(tmp_path, dtype):
    images, masks = pictures(3, 1, dtype=dtype), np.zeros((3, 16, 24), np.int64)
    masks[:, 4:8], masks[:, 0] = 1, -100
    assert is_png(grids.draw_masks(tmp_path / "a.png", images, masks, 0 * masks, NAMES))
    assert is_png(grids.draw_sure_pixels(tmp_path / "b.png", images, np.zeros((3, 16, 24))))


@pytest.mark.parametrize("rows", [0, 1, 40])
def test_boxes_are_drawn(tmp_path, rows):
    boxes = np.tile([[2.0, 3.0, 9.0, 12.0, 0.7, 1.0]], (rows, 1)).reshape(rows, 6)
    images = pictures(2, 3)
    true = [boxes[:, [0, 1, 2, 3, 5]]] * 2
    assert is_png(grids.draw_boxes(tmp_path / "a.png", images, true, [boxes] * 2, NAMES))
    if rows:
        assert is_png(grids.draw_wrong_boxes(tmp_path / "b.png", [images[0]] * rows, boxes, NAMES))


@pytest.mark.parametrize("shape", [(8, 1, 5, 5), (100, 3, 3, 3), (1, 4, 7, 7), (10, 1, 28, 28)])
def test_filters_are_drawn(tmp_path, shape):
    assert is_png(grids.draw_filters(tmp_path / "a.png", np.random.default_rng(0).normal(size=shape)))
    assert is_png(grids.draw_filters(tmp_path / "b.png", np.zeros(shape)))


def test_a_box_changes_its_border_and_nothing_inside():
    picture = np.zeros((3, 40, 40), np.uint8)
    drawn = annotated.with_boxes(picture, np.array([[10.0, 10.0, 30.0, 30.0, 1.0]]), NAMES)
    assert tuple(drawn[10, 20]) == annotated.colour_of(1)
    assert not drawn[15:25, 15:25].any()
    assert not drawn[:9].any()


def test_boxes_outside_the_picture_and_empty_rows_do_no_harm():
    picture = np.zeros((1, 200, 300), np.uint8)
    rows = np.array([[-50.0, -50.0, 900.0, 900.0, 0.5, 0.0], [-1.0] * 6])
    assert annotated.with_boxes(picture, rows, NAMES).shape == (200, 300, 3)


def test_a_mask_file_holds_the_classes(tmp_path):
    mask = np.arange(12).reshape(3, 4) % 3
    annotated.save_mask(mask, tmp_path / "m.png")
    with Image.open(tmp_path / "m.png") as image:
        np.testing.assert_array_equal(np.asarray(image), mask)
        assert len(set(image.convert("RGB").get_flattened_data() if hasattr(image, "get_flattened_data")
                       else image.convert("RGB").getdata())) == 3  # fmt: skip


def test_pixels_of_no_class_stay_clear():
    picture, mask = np.full((1, 4, 4), 100, np.uint8), np.full((4, 4), -100)
    mask[0] = 1
    drawn = annotated.with_mask(picture, mask, NAMES)
    assert (drawn[1:] == 100).all()
    assert (drawn[0] != 100).any()


def test_a_report_escapes_what_it_is_told(tmp_path):
    Image.new("RGB", (3, 3)).save(tmp_path / "a.png")
    shown = [Shown("<b>", "a & b", tmp_path / "a.png")]
    report = RunReport("<title>", "1 < 2", [("x", "<y>")], [("t", ["n"], [["<z>"]])], shown, "run '<'", ["<note>"])
    text = report.write(tmp_path / "r.html").read_text(encoding="utf-8")
    for each in ("<b>", "<y>", "<z>", "<note>", "1 < 2"):
        assert each not in text
    assert text.count("<table>") == text.count("</table>") == 2
    assert "data:image/png;base64,iVBOR" in text
