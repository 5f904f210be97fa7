"""Training goes on, and is right, whatever happens to the cache of compiled kernels, and where nothing can be compiled.

In: trainings in processes of their own, killed while they write, on full and read-only disks, in folders of others,
with damaged files, two at once, without LLVM, without executable memory. Out: the weights of an undisturbed training,
at most one line that says what was found, and a next process that is right, too.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.support.processes import Trained, ended, start, trained
from tests.support.sweep import sweep
from thalweg.compile.cache import HEADER_BYTES, _header

posix = pytest.mark.skipif(not hasattr(os, "geteuid"), reason="Windows keeps each user's folders apart by itself")


@pytest.fixture(scope="module")
def undisturbed() -> Trained:
    return trained()


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cache that a training has left, to be copied."""
    folder = tmp_path_factory.mktemp("filled") / "code"
    assert trained(THALWEG_CACHE=folder).compiled
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A cache that is not there yet."""
    return tmp_path / "code"


def is_right(run: Trained, undisturbed: Trained, *, lines: int = 0) -> None:
    """The same bits, in native code, and so many lines about what was found."""
    assert run.native
    assert (run.weights, run.loss, run.prediction) == (undisturbed.weights, undisturbed.loss, undisturbed.prediction)
    assert len(run.said) == lines, run.said
    assert all("\n" not in line and "THALWEG_CACHE" in line for line in run.said)


def recovers(folder: Path, undisturbed: Trained) -> None:
    """The next process is right, and the one after it finds everything."""
    is_right(trained(THALWEG_CACHE=folder), undisturbed)
    last = trained(THALWEG_CACHE=folder)
    is_right(last, undisturbed)
    assert last.compiled == 0


# --- Killed while it writes ------------------------------------------------------------------------------------------

_DIE = """
turn = [{turn}]
def die():
    turn[0] -= 1
    if not turn[0]:
        os.kill(os.getpid(), signal.SIGKILL)
class Dying:
    def __init__(self, stream): self.stream = stream
    def __enter__(self): return self
    def __exit__(self, *_): self.stream.close()
    def write(self, content):
        self.stream.write(content[: len(content) // 2])
        self.stream.flush()
        die()
        self.stream.write(content[len(content) // 2 :])
def made(descriptor, mode):
    die()
    return builtins.open(descriptor, mode)
def replace_and_die(*paths, replace=os.replace):
    replace(*paths)
    die()
def die_and_replace(*paths, replace=os.replace):
    die()
    replace(*paths)
{patch}
"""
_MOMENTS = {
    "the file is made": "cache.open = made",
    "half is written": "cache.open = lambda *given: Dying(builtins.open(*given))",
    "all is written": "os.replace = die_and_replace",
    "the file is in its place": "os.replace = replace_and_die",
}


@posix
@pytest.mark.parametrize("moment", sweep(_MOMENTS, at_least=2))
def test_a_training_that_is_killed_while_it_writes_leaves_nothing_that_harms(folder, undisturbed, moment):
    """The first file is the code of several kernels, the ones after it say which kernel is where."""
    for turn in (1, 4):
        killed = trained(_DIE.format(turn=turn, patch=_MOMENTS[moment]), THALWEG_CACHE=folder)
        assert killed.returncode == -signal.SIGKILL
        assert os.listdir(folder)
    recovers(folder, undisturbed)


# --- Disks -----------------------------------------------------------------------------------------------------------

_FULL = """
class Full:
    def __init__(self, stream): self.stream = stream
    def __enter__(self): return self
    def __exit__(self, *_): self.stream.close()
    def write(self, content):
        self.stream.write(content[:100])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
cache.open = lambda *given: Full(builtins.open(*given))
"""


def test_a_disk_that_is_full_in_the_middle_of_a_write(folder, undisturbed):
    run = trained(_FULL, THALWEG_CACHE=folder)
    is_right(run, undisturbed, lines=1)
    assert "No space left" in run.said[0]
    assert not os.listdir(folder)
    recovers(folder, undisturbed)


@pytest.mark.parametrize("size", ["4k", "64k"])
def test_a_real_disk_that_is_full(disk, undisturbed, size):
    place = disk(f"size={size}")
    run = trained(THALWEG_CACHE=place)
    is_right(run, undisturbed, lines=1)
    assert "No space left" in run.said[0]
    assert not [each for each in os.listdir(place) if each.endswith(".part")]
    is_right(trained(THALWEG_CACHE=place), undisturbed, lines=1)


def test_a_disk_that_can_only_be_read_gives_what_is_on_it(disk, filled, undisturbed):
    place = disk("size=8m")
    shutil.copytree(filled, place, dirs_exist_ok=True)
    place.chmod(0o700)
    subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
    run = trained(THALWEG_CACHE=place)
    is_right(run, undisturbed)
    assert run.compiled == 0


def test_a_disk_that_can_only_be_read_and_is_empty(disk, undisturbed):
    place = disk("size=1m,ro")
    run = trained(THALWEG_CACHE=place)
    is_right(run, undisturbed, lines=1)
    assert "Read-only" in run.said[0]


@posix
def test_a_folder_in_which_nothing_can_be_made(tmp_path, undisturbed):
    """Root may write anywhere: it meets a file where the folder should be."""
    tmp_path.chmod(0o500)
    if os.geteuid() == 0:
        (tmp_path / "closed").write_text("")
        tmp_path = tmp_path / "closed"
    run = trained(THALWEG_CACHE=tmp_path / "code")
    is_right(run, undisturbed, lines=1)


# --- Folders and files of others -------------------------------------------------------------------------------------


@posix
def test_a_folder_of_somebody_else(folder, filled, undisturbed):
    if os.geteuid() == 0:
        shutil.copytree(filled, folder)
        os.chown(folder, 12345, 12345)
    else:
        folder = Path("/usr")
    run = trained(THALWEG_CACHE=folder)
    is_right(run, undisturbed, lines=1)
    assert "belongs to user" in run.said[0]
    assert run.compiled == undisturbed.compiled


@posix
@pytest.mark.parametrize("mode", [0o777, 0o720])
def test_a_folder_that_others_may_write_to(folder, filled, undisturbed, mode):
    shutil.copytree(filled, folder)
    folder.chmod(mode)
    run = trained(THALWEG_CACHE=folder)
    is_right(run, undisturbed, lines=1)
    assert f"mode {mode:o}" in run.said[0]
    assert run.compiled == undisturbed.compiled


# --- Files that are not what they were -------------------------------------------------------------------------------


def flip_a_bit(path: Path, _: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut(path: Path, _: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def empty(path: Path, _: Path) -> None:
    os.truncate(path, 0)


def exchange(path: Path, other: Path) -> None:
    path.write_bytes(other.read_bytes())


def hold_no_code(path: Path, _: Path) -> None:
    """Whole by its checksum, but written by something else than this library."""
    image = b"kernel_of_nobody\nno machine code" + path.read_bytes()[HEADER_BYTES:][:500]
    path.write_bytes(_header(path.name, image) + image)


def hold_no_text(path: Path, _: Path) -> None:
    path.write_bytes(_header(path.name, b"\xff\xfe") + b"\xff\xfe")


def let_others_write(path: Path, _: Path) -> None:
    path.chmod(0o666)


def become_a_folder(path: Path, _: Path) -> None:
    path.unlink()
    path.mkdir()


HARMS = [flip_a_bit, cut, empty, exchange, hold_no_code, hold_no_text, let_others_write]


@posix
@pytest.mark.parametrize("harm", sweep(HARMS, at_least=3))
def test_files_that_are_not_to_be_believed_are_compiled_anew(folder, filled, undisturbed, harm):
    shutil.copytree(filled, folder)
    paths = sorted(folder.iterdir())
    others = [paths[-1].with_name(each.name) for each in [*paths[1:], paths[0]]]
    contents = {each: each.read_bytes() for each in paths}
    for path, other in zip(paths, others, strict=True):
        spare = path.with_suffix(".spare")
        spare.write_bytes(contents[other])
        harm(path, spare)
        spare.unlink()
    run = trained(THALWEG_CACHE=folder)
    is_right(run, undisturbed)
    assert run.compiled == undisturbed.compiled
    assert trained(THALWEG_CACHE=folder).compiled == 0


@pytest.mark.parametrize("image", sweep([b"no machine code", b"", b"\x7fELF", None], at_least=2))
def test_code_that_cannot_be_linked_is_compiled_anew(folder, filled, undisturbed, image):
    """Whole by its checksum and with the right names in it, as another library's mistake would leave it."""
    shutil.copytree(filled, folder)
    path = max(folder.iterdir(), key=lambda each: each.stat().st_size)
    names, _, code = path.read_bytes()[HEADER_BYTES:].partition(b"\n")
    content = names + b"\n" + (code[: len(code) // 2] if image is None else image)
    path.write_bytes(_header(path.name, content) + content)
    is_right(trained(THALWEG_CACHE=folder), undisturbed)
    assert trained(THALWEG_CACHE=folder).compiled == 0


@posix
def test_a_folder_in_place_of_each_file_costs_only_the_cache(folder, filled, undisturbed):
    shutil.copytree(filled, folder)
    for path in folder.iterdir():
        become_a_folder(path, path)
    is_right(trained(THALWEG_CACHE=folder), undisturbed, lines=1)


# --- Several at once -------------------------------------------------------------------------------------------------


def test_processes_that_begin_together_share_a_cache(folder, undisturbed):
    for run in [ended(each) for each in [start(THALWEG_CACHE=folder) for _ in range(3)]]:
        is_right(run, undisturbed)
    recovers(folder, undisturbed)


# --- Where nothing can be compiled -----------------------------------------------------------------------------------

_NO_LLVM = "sys.modules['llvmlite'] = sys.modules['llvmlite.binding'] = None"
_BROKEN_LLVM = """
import importlib.abc
class Broken(importlib.abc.MetaPathFinder):
    def find_spec(self, name, *_):
        if name.startswith("llvmlite"):
            raise OSError("libLLVM.so: cannot open shared object file")
sys.meta_path.insert(0, Broken())
"""
_UNKNOWN_PLATFORM = """
import llvmlite.binding as llvm
def refuse(): raise RuntimeError("No available targets are compatible with triple 'abacus-unknown'")
llvm.initialize_native_target = refuse
"""
_REFUSING_JIT = """
import llvmlite.binding as llvm
def refuse(*_): raise RuntimeError("Failed to materialize symbols: { (library0, { alone }) }")
llvm.JITLibraryBuilder.link = refuse
"""
_NO_EXECUTABLE_MEMORY = """
PR_SET_MDWE = 65
if ctypes.CDLL(None).prctl(PR_SET_MDWE, 1, 0, 0, 0):
    print("null")
    sys.exit()
"""


@pytest.mark.parametrize(
    ("before", "found", "remedy"),
    [
        (_NO_LLVM, "llvmlite cannot be imported", "pip install llvmlite"),
        (_BROKEN_LLVM, "libLLVM.so", "pip install llvmlite"),
        (_UNKNOWN_PLATFORM, "abacus-unknown", "a build of llvmlite for this platform"),
        (_REFUSING_JIT, "Failed to materialize", "a build of llvmlite for this platform"),
        (_NO_EXECUTABLE_MEMORY, "may not make memory executable", "MemoryDenyWriteExecute=no"),
    ],
)
def test_without_machine_code_training_runs_on_numpy_and_one_line_says_why(undisturbed, before, found, remedy):
    run = trained(before)
    if run.numbers is None:
        pytest.skip("this kernel cannot forbid executable memory (prctl PR_SET_MDWE, Linux 6.3)")
    assert not run.native
    (line,) = run.said
    assert "\n" not in line
    assert found in line
    assert "evaluated with NumPy" in line
    assert remedy in line
    assert np.allclose(run.weights, undisturbed.weights, atol=1e-6)
    assert np.allclose(run.prediction, undisturbed.prediction, atol=1e-5)
    assert run.errors == ""


def test_it_is_no_error_where_warnings_are_errors():
    run = trained(_NO_LLVM + "\nwarnings.simplefilter('error')")
    assert run.returncode == 0, run.errors
    assert run.said == []


def test_a_target_that_nobody_knows_is_an_error_and_not_a_slow_training():
    run = trained(THALWEG_TARGET="pentium")
    assert run.returncode == 1
    assert "unknown target" in run.errors
