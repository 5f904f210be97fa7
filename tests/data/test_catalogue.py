"""Named data sets: the digits that come with the package, and four IDX files from a folder or a server on loopback.

In: the shipped file, small IDX files with their own checksums, a server that serves good, wrong, cut and absent files.
Out: images, labels; a folder that never holds a bad file.
"""

import dataclasses
import functools
import gzip
import hashlib
import http.server
import lzma
import threading

import numpy as np
import pytest

from thalweg.data import catalogue, digits, mnist, write_idx
from thalweg.data.catalogue import cache_folder
from thalweg.data.download import download_checked
from thalweg.errors import ArgumentError, DataError, FileFormatError


def test_the_digits_are_uci_s():
    data = digits(raw=True)
    assert data.images.shape == (1797, 8, 8)
    assert (data.images.dtype, data.labels.dtype) == (np.uint8, np.int64)
    assert data.images.sum() == 561718
    assert np.bincount(data.labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert data.labels[:10].tolist() == list(range(10))
    assert "CC BY 4.0" in data.origin


def test_the_test_part_of_the_digits_is_a_fixed_stratified_fifth():
    data = digits()
    assert (len(data.train.labels), len(data.test.labels)) == (1438, 359)
    shares = np.bincount(data.test.labels) / np.bincount(data.labels)
    assert np.abs(shares - 0.2).max() < 0.01
    rows = [image.tobytes() for part in (data.train, data.test) for image in part.images]
    assert sorted(rows) == sorted(image.tobytes() for image in data.images)
    assert data.test.labels[:8].tolist() == digits().test.labels[:8].tolist() == FIXED
    assert data.images.dtype == np.float32
    assert (data.images.min(), data.images.max()) == (0.0, 1.0)


FIXED = [0, 4, 6, 9, 2, 0, 3, 5]


def test_the_licence_lies_beside_the_file():
    text = (catalogue.resources.files("thalweg.data") / "files" / "LICENCE.txt").read_text()
    packed = (catalogue.resources.files("thalweg.data") / "files" / "digits.csv.gz").read_bytes()
    assert "Creative Commons Attribution 4.0" in text
    assert hashlib.md5(packed, usedforsecurity=False).hexdigest() in text


IMAGES = {"train": np.arange(6 * 4, dtype=np.uint8).reshape(6, 2, 2), "t10k": np.full((2, 2, 2), 255, dtype=np.uint8)}
LABELS = {"train": np.array([0, 1, 2, 3, 4, 9], dtype=np.uint8), "t10k": np.array([5, 6], dtype=np.uint8)}


def write_four(folder, suffix=".gz"):
    folder.mkdir(parents=True, exist_ok=True)
    for part in ("train", "t10k"):
        write_idx(folder / f"{part}-images-idx3-ubyte{suffix}", IMAGES[part])
        write_idx(folder / f"{part}-labels-idx1-ubyte{suffix}", LABELS[part])
    return folder


@pytest.fixture
def small(tmp_path, monkeypatch):
    """MNIST with other content: four small files, and their checksums."""
    folder = write_four(tmp_path / "published", "")
    sums = {name: hashlib.md5((folder / name).read_bytes()).hexdigest() for name in catalogue.MNIST.checksums}
    source = dataclasses.replace(catalogue.MNIST, checksums=sums, largest_download=100_000)
    monkeypatch.setattr(catalogue, "MNIST", source)
    return source


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("inner", ["", "raw", "MNIST/raw"])
def test_four_files_are_found_and_paired(small, tmp_path, suffix, inner):
    write_four(tmp_path / "data" / inner, suffix)
    data = mnist(tmp_path / "data", raw=True)
    np.testing.assert_array_equal(data.train.images, IMAGES["train"])
    np.testing.assert_array_equal(data.test.labels, LABELS["t10k"])
    assert data.labels.dtype == np.int64
    assert mnist(tmp_path / "data").test.images.max() == np.float32(1.0)


def test_a_folder_of_all_data_sets_serves_for_each(small, tmp_path, monkeypatch):
    write_four(tmp_path / "all" / "mnist")
    np.testing.assert_array_equal(mnist(tmp_path / "all", raw=True).train.images, IMAGES["train"])
    monkeypatch.setenv("THALWEG_DATA", str(tmp_path / "all"))
    np.testing.assert_array_equal(mnist(raw=True).train.images, IMAGES["train"])


def test_files_packed_by_xz_are_read(small, tmp_path):
    folder = write_four(tmp_path / "data", "")
    for path in list(folder.iterdir()):
        path.with_name(f"{path.name}.xz").write_bytes(lzma.compress(path.read_bytes()))
        path.unlink()
    assert mnist(folder).train.labels.tolist() == LABELS["train"].tolist()


def test_a_file_of_other_content_is_refused_unless_that_is_meant(small, tmp_path):
    folder = write_four(tmp_path / "data")
    write_idx(folder / "train-labels-idx1-ubyte.gz", LABELS["train"][::-1])
    with pytest.raises(FileFormatError, match="not what was published") as caught:
        mnist(folder)
    assert "train-labels-idx1-ubyte.gz" in str(caught.value)
    assert mnist(folder, verify=False).train.labels[0] == 9


@pytest.mark.parametrize(
    ("name", "array", "fragment"),
    [
        ("train-labels-idx1-ubyte", np.zeros(3, dtype=np.uint8), "do not fit together"),
        ("train-labels-idx1-ubyte", np.full(6, 10, dtype=np.uint8), "labels out of range"),
        ("train-images-idx3-ubyte", np.zeros((6, 3, 3), dtype=np.uint8), "differ in size"),
        ("train-images-idx3-ubyte", np.zeros(6, dtype=np.uint8), "do not fit together"),
    ],
)
def test_files_that_do_not_fit_together_are_refused(tmp_path, name, array, fragment):
    write_idx(write_four(tmp_path / "data", "") / name, array)
    with pytest.raises(FileFormatError, match=fragment):
        mnist(tmp_path / "data", verify=False)


def test_a_missing_file_says_which_and_how_to_get_it(tmp_path):
    with pytest.raises(DataError, match="no train-images-idx3-ubyte") as caught:
        mnist(tmp_path)
    assert "download=True" in str(caught.value)


def test_the_cache_folder_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder("mnist") == tmp_path / "thalweg" / "data" / "mnist"
    monkeypatch.setenv("THALWEG_DATA", str(tmp_path / "mine"))
    assert cache_folder("mnist") == tmp_path / "mine" / "mnist"


class Server(http.server.BaseHTTPRequestHandler):
    """Serves a dictionary: path -> (status, body, declared length)."""

    def __init__(self, files, requests, *arguments):
        self.files, self.requests = files, requests
        super().__init__(*arguments)

    def do_GET(self):
        self.requests.append(self.path)
        status, body, length = self.files.get(self.path, (404, b"not here", 8))
        self.send_response(status)
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    files, requests = {}, []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Server, files, requests)) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}/", files, requests
        running.shutdown()
        thread.join()


def publish(files, folder):
    for path in folder.iterdir():
        body = gzip.compress(path.read_bytes())
        files[f"/{path.name}.gz"] = (200, body, len(body))


@pytest.mark.usefixtures("small")
def test_a_good_download_is_kept_and_not_repeated(tmp_path, server):
    url, files, requests = server
    publish(files, tmp_path / "published")
    for _ in range(2):
        data = mnist(tmp_path / "new" / "folder", download=True, url=url)
        assert len(data.train.labels) == 6
    assert len(requests) == 4
    assert len(list((tmp_path / "new" / "folder").iterdir())) == 4
    assert len(mnist(tmp_path / "new" / "folder").test.labels) == 2


NAME = "t10k-labels-idx1-ubyte"
GOOD = gzip.compress(b"\0\0\x08\x01\0\0\0\x02\x05\x06")
BAD_ANSWERS = {
    "other content": ((200, gzip.compress(b"\0\0\x08\x01\0\0\0\x02\x06\x05"), None), "checksum is not the published"),
    "a page": ((200, b"<html>please log in</html>", 26), "checksum is not the published"),
    "cut": ((200, GOOD[:20], len(GOOD)), "truncated"),
    "cut, of unknown length": ((200, GOOD[:20], None), "damaged"),
    "damaged": ((200, GOOD[:12] + b"\xff\xff" + GOOD[14:], len(GOOD)), "damaged"),
    "not found": ((404, b"", 0), "404"),
    "server error": ((500, b"", 0), "500"),
    "too large": ((200, b"x" * 200_000, 200_000), "more than this file can have"),
    "empty": ((200, b"", 0), "checksum is not the published"),
}


@pytest.mark.parametrize("answer", BAD_ANSWERS)
@pytest.mark.usefixtures("small")
def test_a_bad_download_leaves_everything_as_it_was(tmp_path, server, answer):
    url, files, _ = server
    publish(files, tmp_path / "published")
    files[f"/{NAME}.gz"], fragment = BAD_ANSWERS[answer]
    folder = write_four(tmp_path / "data")
    (folder / f"{NAME}.gz").write_bytes(b"was bad before")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(DataError, match=fragment) as caught:
        mnist(folder, download=True, url=url)
    assert f"{url}{NAME}.gz" in str(caught.value)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.usefixtures("small")
def test_a_damaged_file_is_replaced_by_a_good_download(tmp_path, server, suffix):
    url, files, requests = server
    publish(files, tmp_path / "published")
    folder = write_four(tmp_path / "data", suffix)
    (folder / f"{NAME}{suffix}").write_bytes(b"damaged")
    assert mnist(folder, download=True, url=url).test.labels.tolist() == [5, 6]
    assert requests == [f"/{NAME}.gz"]
    assert len(list(folder.iterdir())) == 4


@pytest.mark.usefixtures("small")
def test_no_network_is_a_clear_error(tmp_path, server):
    url = server[0].rsplit(":", 1)[0] + ":9/"
    with pytest.raises(DataError, match="is there a network"):
        mnist(tmp_path / "data", download=True, url=url)
    assert not (tmp_path / "data").exists()


def test_a_download_takes_no_other_scheme(tmp_path):
    (tmp_path / "secret").write_text("x")
    with pytest.raises(ArgumentError, match="http or https"):
        download_checked(f"file://{tmp_path}/secret", tmp_path / "copy", None, 100)


def test_a_folder_that_cannot_be_made_is_a_clear_error(tmp_path, server):
    url, files, _ = server
    files["/a"] = (200, b"abc", 3)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match="cannot be stored"):
        download_checked(url + "a", tmp_path / "file" / "a", None, 100)
