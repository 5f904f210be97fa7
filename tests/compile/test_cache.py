"""The store of compiled kernels: what comes back, what is refused, and that nothing that happens to it stops training.

In: folders in every state, other owners, full disks, processes that are killed while they write. Out: the right bytes
or None, never an exception, never a wrong byte, never a file of somebody else removed.
"""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thalweg.compile import cache as module
from thalweg.compile.cache import HOUR, MIB, CodeCache, cache, key_of, user_folder
from thalweg.errors import ConfigurationError

IMAGE = bytes(range(256)) * 20
KEY = key_of("define void @k()", "skylake +avx2", "0.1")
posix = pytest.mark.skipif(not hasattr(os, "geteuid"), reason="Windows keeps each user's folders apart by itself")


@pytest.fixture
def store(tmp_path) -> CodeCache:
    folder = tmp_path / "code"
    folder.mkdir(0o700)
    return CodeCache(str(folder))


@pytest.fixture
def entry(store) -> Path:
    """The file of KEY, which holds IMAGE."""
    store.put(KEY, IMAGE)
    (path,) = Path(store.folder).iterdir()
    return path


@pytest.fixture
def chosen(tmp_path, monkeypatch) -> Path:
    """The folder that THALWEG_CACHE names, not made yet."""
    monkeypatch.setenv("THALWEG_CACHE", str(tmp_path / "chosen"))
    return tmp_path / "chosen"


def names(store) -> list[str]:
    return sorted(os.listdir(store.folder))


def in_a_process(script: str, *arguments: object) -> str:
    """Run a script that has the library imported, and `fork_all(count, work)` to run work in children of it."""
    prelude = """
import os, random, signal, sys, time, warnings
from thalweg.compile.cache import CodeCache, key_of
def fork_all(count, work):
    children = []
    for number in range(count):
        child = os.fork()
        if not child:
            try:
                work(number)
                os._exit(0)
            except BaseException as error:
                os.write(2, repr(error).encode())
                os._exit(1)
        children.append(child)
    return children
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", prelude + script, *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
    assert result.returncode == 0, result.stderr
    return result.stdout


# --- What comes back -------------------------------------------------------------------------------------------------


def test_what_was_put_comes_back_and_nothing_else_does(store):
    assert store.get(KEY) is None
    store.put(KEY, IMAGE)
    store.put(b"\x00\xff raw", b"")
    assert store.get(KEY) == IMAGE
    assert store.get(b"\x00\xff raw") == b""
    assert store.get(key_of("another", "skylake +avx2")) is None
    assert CodeCache(store.folder).get(KEY) == IMAGE


def test_a_second_image_takes_the_place_of_the_first(store):
    store.put(KEY, IMAGE)
    store.put(KEY, b"new")
    assert store.get(KEY) == b"new"
    assert len(names(store)) == 1


@pytest.mark.parametrize("key", ["../../escaped", "a/b", "", "ü" * 300, b"/etc"])
def test_any_key_is_a_file_in_the_folder(store, key):
    store.put(key, IMAGE)
    assert store.get(key) == IMAGE
    assert len(names(store)) == 1


def test_the_key_depends_on_everything_that_decides_about_the_code():
    keys = [
        key_of("text", "cpu", "1", "2"), key_of("texT", "cpu", "1", "2"), key_of("text", "cpu +amx", "1", "2"),
        key_of("text", "cpu", "1", "3"), key_of("text", "cpu", "12"), key_of("textcpu", "", "1", "2"),
    ]  # fmt: skip
    assert len(set(keys)) == len(keys)
    assert key_of("text", "cpu", "1", "2") == keys[0]


def test_another_format_has_other_keys(monkeypatch):
    before = key_of("text", "cpu")
    monkeypatch.setattr(module, "FORMAT", module.FORMAT + 1)
    assert key_of("text", "cpu") != before


# --- Which folder ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["off", "OFF", "0"])
def test_the_cache_can_be_turned_off(monkeypatch, value):
    monkeypatch.setenv("THALWEG_CACHE", value)
    assert cache() is None


def test_the_chosen_folder_is_made_for_this_user_alone(chosen):
    before = os.umask(0)
    try:
        found = cache()
        found.put(KEY, IMAGE)
    finally:
        os.umask(before)
    assert found.folder == str(chosen)
    assert cache() is found
    (path,) = chosen.iterdir()
    if hasattr(os, "geteuid"):
        assert stat.S_IMODE(chosen.stat().st_mode) == 0o700
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_without_a_choice_it_lies_among_the_caches_of_the_user(monkeypatch, tmp_path):
    monkeypatch.delenv("THALWEG_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache().folder == str(tmp_path / "thalweg" / "code")


@pytest.mark.parametrize(
    ("platform", "end"), [("linux", ".cache"), ("darwin", "Library/Caches"), ("win32", "AppData/Local")]
)
def test_each_system_has_its_place_for_caches(monkeypatch, tmp_path, platform, end):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.delenv("LOCALAPPDATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setattr(sys, "platform", platform)
    assert Path(user_folder()) == tmp_path / end


def test_a_relative_folder_stays_where_it_was_when_the_process_moves(monkeypatch, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("THALWEG_CACHE", f"relative-{tmp_path.name}")
    found = cache()
    monkeypatch.chdir("elsewhere")
    assert cache() is found
    assert found.folder == str(tmp_path / f"relative-{tmp_path.name}")


def test_the_size_can_be_chosen(monkeypatch, chosen):
    assert cache().limit == 256 * MIB
    monkeypatch.setenv("THALWEG_CACHE_SIZE", " 5 ")
    assert cache().limit == 5 * MIB


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "many", "1e3", "²", "9" * 5000])
def test_a_size_that_is_none_is_refused(monkeypatch, chosen, value):
    monkeypatch.setenv("THALWEG_CACHE_SIZE", value)
    with pytest.raises(ConfigurationError, match="THALWEG_CACHE_SIZE"):
        cache()


# --- Who may write there ---------------------------------------------------------------------------------------------


def refused(fragment: str) -> None:
    """The cache is off, and that is said on one line, once."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        assert cache() is None
        assert cache() is None
    (line,) = [str(each.message) for each in said]
    assert fragment in line
    assert "THALWEG_CACHE" in line
    assert "\n" not in line


@posix
@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702])
def test_a_folder_that_others_may_write_to_is_refused(chosen, mode):
    chosen.mkdir()
    chosen.chmod(mode)
    refused(f"mode {mode:o}")


@posix
def test_a_folder_that_others_may_only_read_is_taken(chosen):
    chosen.mkdir()
    chosen.chmod(0o755)
    assert cache() is not None


@posix
def test_a_folder_of_another_user_is_refused(chosen, monkeypatch):
    chosen.mkdir(0o700)
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    refused("not to user 12345")


def test_a_symbolic_link_is_refused(chosen, tmp_path):
    (tmp_path / "real").mkdir(0o700)
    chosen.symlink_to(tmp_path / "real")
    refused("symbolic link")


def test_a_link_to_nowhere_is_refused(chosen, tmp_path):
    chosen.symlink_to(tmp_path / "nothing")
    refused(str(chosen))


def test_a_file_is_refused(chosen):
    chosen.write_text("mine")
    refused(str(chosen))
    assert chosen.read_text() == "mine"


def test_a_folder_that_cannot_be_made_is_said_once(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("THALWEG_CACHE", str(tmp_path / "file" / "code"))
    refused("Not a directory" if os.name == "posix" else "file")


def test_a_user_without_a_home_has_no_cache(monkeypatch):
    monkeypatch.delenv("THALWEG_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    refused("no home folder")


def test_a_refusal_is_no_error_where_warnings_are_errors(chosen):
    chosen.write_text("")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert cache() is None


# --- Files that are not to be believed -------------------------------------------------------------------------------


def gone_and_replaced(store, entry: Path) -> None:
    assert store.get(KEY) is None
    assert not entry.exists()
    store.put(KEY, IMAGE)
    assert store.get(KEY) == IMAGE


@given(data=st.data())
def test_damaged_bytes_are_never_given_out(data, tmp_path_factory):
    store = CodeCache(str(tmp_path_factory.mktemp("code")))
    store.put(KEY, IMAGE)
    (entry,) = Path(store.folder).iterdir()
    good = entry.read_bytes()
    bad = bytearray(good)
    for place in data.draw(st.sets(st.integers(0, len(good) - 1), max_size=3)):
        bad[place] = data.draw(st.integers(0, 255))
    bad = bad[: data.draw(st.just(len(good)) | st.integers(0, len(good)))] + data.draw(st.binary(max_size=8))
    entry.write_bytes(bad)
    if bytes(bad) == good:
        assert store.get(KEY) == IMAGE
    else:
        gone_and_replaced(store, entry)


@pytest.mark.parametrize("content", [b"", b"\0" * 5000, b"\x7fELF" + IMAGE, IMAGE])
def test_a_foreign_file_is_removed_and_replaced(store, entry, content):
    entry.write_bytes(content)
    gone_and_replaced(store, entry)


def test_a_whole_entry_under_the_name_of_another_is_not_given_out(store, entry):
    store.put("another", b"other code")
    (other,) = [path for path in Path(store.folder).iterdir() if path != entry]
    entry.write_bytes(other.read_bytes())
    gone_and_replaced(store, entry)


@posix
@pytest.mark.parametrize("mode", [0o666, 0o620])
def test_a_file_that_others_may_write_to_is_not_believed(store, entry, mode):
    entry.chmod(mode)
    gone_and_replaced(store, entry)


@posix
def test_a_file_of_another_user_is_not_believed(store, entry, monkeypatch):
    real = os.fstat

    def foreign(descriptor):
        fields = list(real(descriptor))
        fields[stat.ST_UID] = 12345
        return os.stat_result(fields)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fstat", foreign)
        assert store.get(KEY) is None
    gone_and_replaced(store, entry)


def test_a_link_in_place_of_an_entry_is_not_followed(store, entry, tmp_path):
    entry.rename(tmp_path / "elsewhere")
    entry.symlink_to(tmp_path / "elsewhere")
    assert store.get(KEY) is None
    store.put(KEY, b"new")
    assert store.get(KEY) == b"new"
    assert not entry.is_symlink()
    assert (tmp_path / "elsewhere").stat().st_size > len(IMAGE)


@posix
def test_a_pipe_in_place_of_an_entry_is_not_waited_for(store, entry):
    entry.unlink()
    os.mkfifo(entry)
    gone_and_replaced(store, entry)


def test_a_file_that_is_too_large_is_not_read(store, entry, monkeypatch):
    read = []
    monkeypatch.setattr(os, "read", lambda *request: read.append(request) or b"")
    os.truncate(entry, 2 * store.limit)  # sparse: it takes no room
    assert store.get(KEY) is None
    assert not entry.exists()
    assert not read


@pytest.mark.filterwarnings("ignore:compiled kernels are not kept")
def test_a_folder_in_place_of_an_entry_costs_only_that_entry(store, entry):
    entry.unlink()
    entry.mkdir()
    assert store.get(KEY) is None
    store.put(KEY, IMAGE)
    assert store.get(KEY) is None
    assert names(store) == [entry.name]


# --- Disks ------------------------------------------------------------------------------------------------------------


def quietly_not_kept(store, fragment: str) -> None:
    """Two kernels cannot be kept: that is said on one line, once, and nothing is left behind."""
    before = names(store)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        store.put("first", IMAGE)
        store.put("second", IMAGE)
    (line,) = [str(each.message) for each in said]
    assert fragment in line
    assert store.get("first") is None
    assert names(store) == before


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES, errno.EDQUOT, errno.EMFILE])
def test_a_folder_that_can_only_be_read_is_read(store, entry, monkeypatch, code):
    real = os.open

    def without_writing(path, flags, *rest, **others):
        if flags & os.O_CREAT:
            raise OSError(code, os.strerror(code), path)
        return real(path, flags, *rest, **others)

    def without_times(*_):
        raise OSError(code, os.strerror(code))

    aged(store, KEY, 2 * HOUR)
    monkeypatch.setattr(os, "open", without_writing)
    monkeypatch.setattr(os, "utime", without_times)
    quietly_not_kept(store, os.strerror(code))
    assert store.get(KEY) == IMAGE


def test_a_disk_that_fills_up_in_the_middle_of_a_write_leaves_nothing(store, entry):
    """The limit on the size of a file is the one real full disk that needs no disk."""
    said = in_a_process(
        """
import resource
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
store = CodeCache(sys.argv[1])
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    for number in range(3):
        store.put(f"large {number}", bytes(5000))
    store.put("small", b"fits")
assert store.get("large 0") is None and store.get("small") == b"fits"
print(len(said), said[0].message)
""",
        store.folder,
    )
    assert said.startswith("1 compiled kernels are not kept in " + store.folder)
    assert len(names(store)) == 2
    assert store.get(KEY) == IMAGE


def test_a_failed_rename_leaves_nothing(store, monkeypatch):
    def fails(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", fails)
    quietly_not_kept(store, os.strerror(errno.ENOSPC))


def test_a_failure_while_reading_is_a_miss(store, entry, monkeypatch):
    def fails(*_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patched:
        patched.setattr(os, "read", fails)
        assert store.get(KEY) is None
    assert store.get(KEY) == IMAGE


def test_a_folder_that_was_removed_is_made_again(store, entry):
    entry.unlink()
    os.rmdir(store.folder)
    assert store.get(KEY) is None
    store.put(KEY, IMAGE)
    assert store.get(KEY) == IMAGE
    if hasattr(os, "geteuid"):
        assert stat.S_IMODE(os.stat(store.folder).st_mode) == 0o700


def test_what_takes_the_place_of_a_removed_folder_is_looked_at_again(store, tmp_path):
    os.rmdir(store.folder)
    os.symlink(tmp_path / "nothing", store.folder)
    with pytest.warns(RuntimeWarning, match="not kept"):
        store.put(KEY, IMAGE)
    assert not (tmp_path / "nothing").exists()


# --- Room ------------------------------------------------------------------------------------------------------------


def aged(store, key, seconds: float) -> None:
    path = os.path.join(store.folder, module._name(key))
    os.utime(path, (time.time() - seconds,) * 2)


def test_what_was_not_used_for_longest_goes_first(store):
    store.limit = 20 * (len(IMAGE) + module.HEADER_BYTES)
    for number in range(21):
        store.put(str(number), IMAGE)
        aged(store, str(number), (100 - number) * HOUR)
    assert store.get("0") == IMAGE  # and so it was used now
    store._make_room()
    kept = [number for number in range(21) if store.get(str(number))]
    assert kept == [0, *range(5, 21)]


def test_the_folder_stays_within_the_limit(store):
    store.limit = 100 * len(IMAGE)
    for number in range(400):
        store.put(str(number), IMAGE)
    held = sum(path.stat().st_size for path in Path(store.folder).iterdir())
    assert 0.7 * store.limit < held < 1.2 * store.limit
    assert store.get("399") == IMAGE


def test_short_processes_keep_the_limit_together(store):
    """Each puts one kernel: it is the name of the kernel that says who looks through the folder."""
    limit = 100 * len(IMAGE)
    for number in range(1000):
        CodeCache(store.folder, limit).put(str(number), IMAGE)
    assert sum(path.stat().st_size for path in Path(store.folder).iterdir()) < 5 * limit


def test_an_image_larger_than_the_limit_is_not_kept(store):
    store.limit = 1000
    store.put(KEY, IMAGE)
    assert not names(store)


def test_unfinished_files_go_when_they_are_old(store, entry):
    old, young = (entry.with_name(f"{entry.name}.{name}.part") for name in ("old", "young"))
    for path in (old, young):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 2 * HOUR,) * 2)
    store._make_room()
    assert names(store) == [entry.name, young.name]


def test_files_of_others_in_the_folder_are_never_touched(store, entry):
    thesis = [Path(store.folder, name) for name in ("thesis.code", "notes.part", "a" * 64, "b" * 64 + ".txt")]
    for path in thesis:
        path.write_bytes(bytes(5000))
        os.utime(path, (0, 0))
    store.limit = 100
    store._make_room()
    assert all(path.exists() for path in thesis)
    assert not entry.exists()


# --- Many at once ----------------------------------------------------------------------------------------------------


def test_threads_share_the_cache(store):
    wrong = []

    def work(first: int) -> None:
        for number in range(first, first + 60):
            key = str(number % 20)
            image = key.encode() * 999
            if store.get(key) not in (None, image):
                wrong.append(key)
            store.put(key, image)

    threads = [threading.Thread(target=work, args=(7 * number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert len(names(store)) == 20


@posix
def test_processes_share_the_cache(store):
    """Six write and read the same twenty kernels, in a folder with room for half of them."""
    in_a_process(
        """
def work(number):
    store, rng = CodeCache(sys.argv[1], 10 * 9000), random.Random(number)
    for _ in range(300):
        key = str(rng.randrange(20))
        found = store.get(key)
        assert found in (None, key.encode() * 9000 if len(key) == 1 else key.encode() * 4500), key
        if found is None:
            store.put(key, key.encode() * (9000 // len(key)))
        assert not store._has_complained
        if rng.random() < 0.05:
            store._make_room()
for child in fork_all(6, work):
    assert os.waitpid(child, 0)[1] == 0
""",
        store.folder,
    )
    assert all(name.endswith(".code") for name in names(store))


@posix
def test_a_kill_in_the_middle_of_a_write_leaves_no_wrong_entry(store):
    in_a_process(
        """
def work(number):
    store = CodeCache(sys.argv[1])
    for turn in range(10 ** 9):
        key = str(turn % 10)
        store.put(key, key.encode() * 200_000)
rng = random.Random(0)
for _ in range(40):
    children = fork_all(2, work)
    time.sleep(0.002 + 0.01 * rng.random())
    for child in children:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
""",
        store.folder,
    )
    written = [name for name in names(store) if name.endswith(".code")]
    found = [store.get(str(number)) for number in range(10)]
    assert [image for image in found if image] == [str(n).encode() * 200_000 for n in range(10) if found[n]]
    assert len(written) == len([image for image in found if image]) > 0  # no whole name with half the content
    for number in range(10):  # what the killed ones left is in nobody's way
        store.put(str(number), IMAGE)
        assert store.get(str(number)) == IMAGE
    for name in names(store):
        os.utime(os.path.join(store.folder, name), (0, 0))
    store._make_room()
    assert all(name.endswith(".code") for name in names(store))


@posix
def test_the_process_that_comes_next_finds_what_this_one_put(store, entry):
    found = in_a_process("print(len(CodeCache(sys.argv[1]).get(sys.argv[2])))", store.folder, KEY)
    assert int(found) == len(IMAGE)
