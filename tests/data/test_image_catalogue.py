"""Named sets in colour, with masks or boxes: small files of their kinds, and the real ones where they are at hand.

In: files that the test writes; ../shared/data. Out: the published counts; errors that say which file is missing.
"""

import hashlib
import lzma

import numpy as np
import pytest

from tests.support.shared_data import shared_data
from thalweg.data import bccd, cifar10, image_catalogue, membrane
from thalweg.errors import DataError, FileFormatError


def records(count, value=0):
    return b"".join(bytes([(value + i) % 10]) + bytes([value + i]) * 3072 for i in range(count))


@pytest.fixture
def small_cifar(tmp_path, monkeypatch):
    folder = tmp_path / "all" / "cifar-10-batches-bin"
    folder.mkdir(parents=True)
    (folder / "data_batch_1.bin").write_bytes(records(5))
    (folder / "data_batch_2.bin.xz").write_bytes(lzma.compress(records(3, 100)))
    (folder / "test_batch.bin").write_bytes(records(2, 50))
    sums = {"data_batch_1.bin": hashlib.md5(records(5), usedforsecurity=False).hexdigest()}
    monkeypatch.setattr(image_catalogue, "CIFAR10_CHECKSUMS", sums)
    return folder


def test_whatever_batches_are_there_are_read(small_cifar):
    for folder in (small_cifar, small_cifar.parent):
        data = cifar10(folder, raw=True)
        assert (data.train.images.shape, data.test.images.shape) == ((8, 3, 32, 32), (2, 3, 32, 32))
        assert data.train.images[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4, 100, 101, 102]
        assert data.class_names[0] == "airplane"
    assert cifar10(small_cifar).images.max() <= 1


def test_other_content_missing_batches_and_odd_names_are_refused(small_cifar):
    (small_cifar / "batches.meta.txt").write_text("a b c")
    with pytest.raises(FileFormatError, match="3 names"):
        cifar10(small_cifar)
    (small_cifar / "batches.meta.txt").write_text("\n".join("abcdefghij"))
    assert cifar10(small_cifar).class_names == tuple("abcdefghij")
    (small_cifar / "data_batch_1.bin").write_bytes(records(6))
    with pytest.raises(FileFormatError, match="not what was published"):
        cifar10(small_cifar)
    assert len(cifar10(small_cifar, verify=False).train.labels) == 9
    (small_cifar / "test_batch.bin").unlink()
    with pytest.raises(DataError, match=r"no test_batch.bin") as caught:
        cifar10(small_cifar)
    assert "tw.data.cifar10(folder)" in str(caught.value)


def test_membranes_of_other_arrays_are_refused(tmp_path):
    path = tmp_path / "membrane_train.npz"
    images = np.zeros((8, 4, 4), dtype=np.uint8)
    np.savez(path, images=images, labels=images + 255)
    data = membrane(tmp_path)
    assert (data.train.images.shape, data.test.labels.shape) == ((2, 1, 4, 4), (6, 4, 4))
    assert (data.labels == 1).all()
    np.savez(path, images=images, labels=images + 7)
    with pytest.raises(FileFormatError, match="a value of no class"):
        membrane(tmp_path)
    np.savez(path, images=images)
    with pytest.raises(FileFormatError, match="no labelled images"):
        membrane(tmp_path)


@pytest.mark.parametrize("read", [cifar10, membrane, bccd, lambda folder: bccd(folder, small=True)])
def test_a_missing_set_says_what_is_missing(tmp_path, read):
    with pytest.raises(DataError, match=r"a file of \w+ is missing") as caught:
        read(tmp_path)
    assert str(tmp_path) in str(caught.value)


# --- the real ones ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_cifar10_is_the_published_one():
    data = cifar10(shared_data("cifar10"), raw=True)
    assert (len(data.train.labels), len(data.test.labels)) == (10_000, 1_000)
    assert data.images.shape[1:] == (3, 32, 32)
    assert data.class_names[3] == "cat"
    counts = np.bincount(data.train.labels)
    assert (counts.min(), counts.max()) == (937, 1_032)
    mean = data.train.images.mean(axis=(0, 2, 3)) / 255
    np.testing.assert_allclose(mean, [0.4914, 0.4822, 0.4465], atol=0.004)


def test_membrane_is_the_published_one():
    data = membrane(shared_data("membrane").parent)
    assert (data.train.images.shape, data.test.labels.shape) == ((24, 1, 512, 512), (6, 512, 512))
    assert (data.labels == 0).mean() == pytest.approx(0.220, abs=5e-4)
    assert data.class_names == ("membrane", "inside")


def held(part):
    boxes = part.take(range(len(part)))[1]
    return np.bincount(boxes[..., 4][boxes[..., 4] >= 0].astype(int), minlength=3)


def test_bccd_is_the_published_one():
    data = bccd(shared_data("bccd"), small=True)
    assert [len(part) for part in (data.train, data.validation, data.test)] == [205, 87, 72]
    assert sum(held(part) for part in (data.train, data.validation, data.test)).tolist() == [4_153, 372, 361]
    assert data.class_names == ("RBC", "WBC", "Platelets")


def test_bccd_from_its_zip_has_the_same_boxes():
    pytest.importorskip("PIL")
    small, whole = bccd(shared_data("bccd"), small=True), bccd(shared_data("bccd"), size=(60, 80))
    assert [len(part) for part in (whole.train, whole.validation, whole.test)] == [205, 87, 72]
    problems = [each.place for part in (whole.train, whole.validation, whole.test) for each in part.skipped]
    assert sorted(place[-21:-1] for place in problems) == ["BloodImage_00338.xml", "BloodImage_00343.xml"]
    first, second = small.test.take(range(8)), whole.test.take(range(8))
    for a, b in zip(first[1], second[1], strict=True):
        np.testing.assert_allclose(sorted(a.tolist()), sorted(b.tolist()), atol=1e-4)
    assert np.abs(first[0].astype(int) - second[0]).mean() < 4
