"""Pascal VOC: lists, annotations and pictures; bad boxes are refused with the file named, or left out and reported.

In: small folders in VOC's layout, XML that strangers wrote. Out: samples (image, boxes).
"""

import io
import tracemalloc
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thalweg.data import DataLoader, RandomHorizontalFlip, VOCDetection
from thalweg.data.checks import part_of
from thalweg.data.voc_xml import parse_xml, read_annotation
from thalweg.errors import DataError, FileFormatError

Image = pytest.importorskip("PIL.Image")


def annotation(boxes, size=(20, 30)):
    objects = "".join(
        f"<object><name>{name}</name><difficult>{hard}</difficult><bndbox><xmin>{box[0]}</xmin><ymin>{box[1]}</ymin>"
        f"<xmax>{box[2]}</xmax><ymax>{box[3]}</ymax></bndbox></object>"
        for name, box, hard in ((*each, 0)[:3] for each in boxes)
    )
    declared = f"<size><width>{size[1]}</width><height>{size[0]}</height><depth>3</depth></size>" if size else ""
    return f'<?xml version="1.0"?><annotation><folder>x</folder>{declared}{objects}</annotation>'


BOXES = {
    "a": [("cat", (1, 2, 10, 12)), ("dog", (5, 5, 30, 20))],
    "b": [("dog", (0, 0, 4, 4), 1)],
    "c": [],
}


def write_voc(root, boxes=BOXES, size=(20, 30), parts=None):
    for folder in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for number, (name, objects) in enumerate(boxes.items()):
        stream = io.BytesIO()
        Image.new("RGB", (30, 20), (number, 0, 0)).save(stream, "PNG")  # PNG called .jpg, as people do
        (root / "JPEGImages" / f"{name}.jpg").write_bytes(stream.getvalue())
        (root / "Annotations" / f"{name}.xml").write_text(annotation(objects, size))
    for part, names in (parts or {"train": "a\nb  1\n\n", "test": "c"}).items():
        (root / "ImageSets" / "Main" / f"{part}.txt").write_text(names)
    return root


@pytest.fixture
def root(tmp_path):
    return write_voc(tmp_path / "VOC2012")


def test_parts_classes_and_rows(root):
    data = VOCDetection(root, "train")
    assert (len(data), data.class_names, data.most_boxes) == (2, ("cat", "dog"), 2)
    image, boxes = data[0]
    assert (image.shape, boxes.shape, boxes.dtype) == ((3, 20, 30), (2, 5), np.float32)
    assert boxes.tolist() == [[1, 2, 10, 12, 0], [5, 5, 30, 20, 1]]
    assert data[1][1].tolist() == [[0, 0, 4, 4, 1], [-1] * 5]
    assert (data.with_split("test")[0][1] == -1).all()
    assert len(data.with_split(None)) == 3


def test_an_archive_is_read_like_its_folder(root, tmp_path):
    with zipfile.ZipFile(tmp_path / "voc.zip", "w") as archive:
        for path in root.rglob("*.*"):
            archive.write(path, f"VOCdevkit/VOC2012/{path.relative_to(root)}")
    for first, second in zip(VOCDetection(root)[0], VOCDetection(tmp_path / "voc.zip")[0], strict=True):
        np.testing.assert_array_equal(first, second)


def test_boxes_are_scaled_and_flipped_with_their_picture(root):
    assert VOCDetection(root, size=(10, 15))[0][1][0].tolist() == [0.5, 1, 5, 6, 0]
    (_, boxes), *_ = DataLoader(VOCDetection(root, "train", RandomHorizontalFlip(1.0)), 2)
    assert boxes[0, 0].tolist() == [20, 2, 29, 12, 0]
    assert (boxes[1, 1] == -1).all()


def test_difficult_objects_and_chosen_classes(root):
    assert (VOCDetection(root, difficult=False)[1][1] == -1).all()
    assert VOCDetection(root, classes=["dog", "cat"], most_boxes=5)[0][1][:2, 4].tolist() == [1, 0]
    with pytest.raises(DataError, match="not known") as caught:
        VOCDetection(root, classes=["dog"])
    assert "a.xml" in str(caught.value)
    with pytest.raises(DataError, match="no such split") as caught:
        VOCDetection(root, "val")
    assert "'test', 'train'" in str(caught.value)


BAD_BOXES = [
    ("no width", (5, 5, 5, 9), "no area", None),
    ("no height", (5, 9, 8, 9), "no area", None),
    ("the wrong way round", (9, 5, 5, 9), "no area", None),
    ("wholly outside", (40, 5, 50, 9), "outside its picture", None),
    ("sticking out", (25, 15, 31, 21), "outside its picture", [25, 15, 30, 20]),
    ("negative", (-3, 2, 4, 5), "outside its picture", [0, 2, 4, 5]),
]


@pytest.mark.parametrize("size", [(20, 30), None])
@pytest.mark.parametrize(("box", "words", "left"), [row[1:] for row in BAD_BOXES], ids=[row[0] for row in BAD_BOXES])
def test_bad_boxes_are_named_clipped_or_left_out(tmp_path, box, words, left, size):
    root = write_voc(tmp_path / "voc", {"a": [("cat", (1, 1, 9, 9)), ("cat", box)]}, size, {"train": "a"})
    with pytest.raises(FileFormatError, match=words) as caught:
        VOCDetection(root)[0]
    assert str(root / "Annotations" / "a.xml") in str(caught.value)
    assert f"xmin {box[0]}" in str(caught.value)
    data = VOCDetection(root, bad_boxes="skip")
    kept = [row[:4].tolist() for row in data[0][1] if row[4] >= 0]
    assert kept == [[1, 1, 9, 9], *([left] if left else [])]
    if size:
        assert [each.place for each in data.skipped] == [str(root / "Annotations" / "a.xml")]


def test_what_cannot_be_used_is_left_out_on_request(tmp_path):
    names = {name: [("cat", (1, 1, 9, 9))] for name in "abcdefg"}
    root = write_voc(tmp_path / "voc", names, parts={"train": "\n".join("abcdefgh")})
    (root / "Annotations" / "b.xml").write_text("<annotation><object>")
    (root / "Annotations" / "c.xml").unlink()
    (root / "JPEGImages" / "d.jpg").unlink()
    (root / "JPEGImages" / "e.jpg").write_bytes(b"text")
    (root / "Annotations" / "f.xml").write_text(annotation([("cat", (1, 1, 9, 9))], (21, 30)))
    with pytest.raises(DataError):
        VOCDetection(root)
    with pytest.warns(RuntimeWarning, match="leaves out 6"):
        data = VOCDetection(root, on_error="skip")
    assert [entry.image for entry in data.entries] == ["JPEGImages/a.jpg", "JPEGImages/g.jpg"]
    told = " ".join(f"{each.place}: {each.reason}" for each in data.skipped)
    for words in (
        "b.xml",
        "no Annotations/c.xml",
        "no JPEGImages/d",
        "e.jpg: this is no picture",
        "20 x 30",
        "JPEGImages/h",
    ):
        assert words in told


def test_a_picture_of_another_size_than_annotated_is_named(tmp_path):
    root = write_voc(tmp_path / "voc", {"a": []}, (30, 20), {"train": "a"})
    with pytest.raises(FileFormatError, match="another size than its annotation") as caught:
        VOCDetection(root)[0]
    assert "a.jpg" in str(caught.value)


def test_a_folder_of_something_else(tmp_path):
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "1.png").write_bytes(b"x")
    with pytest.raises(DataError, match="no folder of Pascal VOC"):
        VOCDetection(tmp_path)


# --- XML that strangers wrote ----------------------------------------------------------------------------------------

LAUGHS = '<?xml version="1.0"?><!DOCTYPE annotation [<!ENTITY a "ha">' + "".join(
    f'<!ENTITY {chr(98 + i)} "{("&" + chr(97 + i) + ";") * 10}">' for i in range(9)
)
OBJECT = "<annotation><object>{}</object></annotation>"
BOX = "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>{}</xmax><ymax>5</ymax></bndbox>"
BAD_XML = [
    ("a billion laughs", LAUGHS + "]><annotation>&j;</annotation>", "document type"),
    (
        "a file from outside",
        '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><annotation>&x;</annotation>',
        "document type",
    ),
    ("a document type alone", '<!DOCTYPE annotation SYSTEM "http://x/y.dtd"><annotation/>', "document type"),
    ("an entity that is not known", "<annotation>&x;</annotation>", "undefined entity"),
    ("nothing", "", "no element found"),
    ("no XML", "xmin=3", "not well-formed"),
    ("cut", "<annotation><object>", "no element found"),
    ("another root", "<html></html>", "<html>"),
    ("nested without end", "<annotation>" + "<a>" * 5000, "nested deeper"),
    ("an object without a name", OBJECT.format(BOX.format(5)), "<name>"),
    ("no box", OBJECT.format("<name>cat</name>"), "bndbox/xmin"),
    ("a corner of text", OBJECT.format("<name>cat</name>" + BOX.format("five")), "'five'"),
    ("a corner that is no number", OBJECT.format("<name>cat</name>" + BOX.format("nan")), "'nan'"),
    ("an unknown encoding", '<?xml version="1.0" encoding="klingon"?><annotation/>', "encoding"),
    ("an endless size", "<annotation><size><width>1e999</width><height>3</height></size></annotation>", "1e999"),
]


@pytest.mark.parametrize(("text", "words"), [row[1:] for row in BAD_XML], ids=[row[0] for row in BAD_XML])
def test_bad_xml_is_refused(text, words):
    tracemalloc.start()
    with pytest.raises(FileFormatError) as caught:
        read_annotation(text.encode(), "a.xml")
    assert tracemalloc.get_traced_memory()[1] < 5e6
    tracemalloc.stop()
    assert words in str(caught.value)
    assert part_of(caught.value, "where") == "a.xml"


@given(st.integers(0, 600), st.integers(0, 255))
def test_damage_never_ends_in_another_error(place, byte):
    content = bytearray(annotation(BOXES["a"]).encode())
    content[place % len(content)] = byte
    try:
        told = f"a: {read_annotation(bytes(content), 'a')}"
    except FileFormatError as error:
        told = part_of(error, "where")
    assert told.startswith("a")


def test_other_encodings_and_unknown_elements_are_read():
    text = annotation([("Kätzchen", (1, 1.5, 9, 9))]).replace("<annotation>", "<annotation><odd a='1'/>")
    for encoding in ("utf-8", "utf-16", "latin-1"):
        declared = text.replace('version="1.0"', f'version="1.0" encoding="{encoding}"')
        assert read_annotation(declared.encode(encoding), "a").boxes[0].name == "Kätzchen"
    assert parse_xml(b"<a><b>x</b></a>", "a").text_at("b") == "x"
