"""Which files are damaged, and who reads them: a valid sample of each, made by the library that writes it.

In: an empty folder. Out: `READERS`: for each name its samples, the name of the file that is exchanged, the call that
reads it, and how its files are taken apart.
"""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
from safetensors.numpy import load

import thalweg as tw
from bench.reliability import _mutations as mutations
from thalweg import data, nn
from thalweg.data.file_tree import open_tree
from thalweg.data.sound_files import write_sound
from thalweg.data.voc_xml import read_annotation
from thalweg.diagnose.record import Record
from thalweg.recipes.predictor import load_predictor, settings_of
from thalweg.recipes.reporting import write_report
from thalweg.recipes.run_folder import RunFolder
from thalweg.recipes.settings import settings_from
from thalweg.recipes.settings_file import read_settings_file
from thalweg.recipes.train import train
from thalweg.train import load_checkpoint, load_weights, read_metadata, save_checkpoint, save_weights
from thalweg.train.checkpoint import checksum

MIB = 1 << 20
PLAIN, LIBRARY = 100_000, 5_000
JSON_WORDS = (b"{", b"}", b"[", b"]", b'"', b":", b",", b"null", b"true", b"1e999", b"NaN", b"-", b"\\u0000",
    b"\\ud800",
              b"[[[[[[[[", b"9" * 5000, b"\xff\xfe", b"\xef\xbb\xbf")  # fmt: skip


@dataclass(frozen=True)
class Reader:
    """One kind of file.

    Attributes:
        prepare: fills a folder with what belongs there; gives the samples.
        file: the name that each input gets in this folder.
        read: reads it; everything but a result or a ThalwegError with a message is a failure.
        code: files of Python code (parts of their paths) whose lines say that an input is something new.
        memory: how many MiB reading may take, beyond what the process had.
    """

    prepare: Callable[[Path], Sequence[bytes]]
    file: str
    read: Callable[[Path], object]
    code: tuple[str, ...] = ()
    shapes: tuple[mutations.Mutation, ...] = ()
    words: tuple[bytes, ...] = ()
    inputs: int = PLAIN
    memory: int = 256


# --- samples ---------------------------------------------------------------------------------------------------------


def _idx(folder: Path) -> list[bytes]:
    arrays = [
        np.arange(24, dtype=np.uint8).reshape(2, 3, 4),
        np.arange(3, dtype=np.float64),
        np.zeros((0, 5), np.int32),
    ]
    for number, array in enumerate(arrays):
        data.idx.write_idx(folder / f"{number}.idx", array)
    plain = [(folder / f"{number}.idx").read_bytes() for number in range(len(arrays))]
    return [*plain, gzip.compress(plain[0], mtime=0)]


def _csv(folder: Path) -> list[bytes]:
    plain = b'age,job,"pay, a week"\n39,clerk,1.5\n?,"sm""ith",-2e3\n|a comment\n\n41,,nan\n'
    return [plain, plain.replace(b",", b";"), b"\xef\xbb\xbf" + plain.replace(b"\n", b"\r\n"), b"1\n2\n3\n",
            gzip.compress(plain, mtime=0), b"a\tb\n" + b"0.25\tx\n" * 40]  # fmt: skip


def _npz(folder: Path) -> list[bytes]:
    made = []
    for save in (np.savez, np.savez_compressed):
        save(stream := io.BytesIO(), x=np.arange(6.0).reshape(2, 3), y=np.array([1, 2]), names=np.array(["a", "bc"]))
        made.append(stream.getvalue())
    return made


def _npy(folder: Path) -> list[bytes]:
    made = []
    for array in (np.arange(6.0).reshape(2, 3).T, np.zeros((0, 3), np.uint8), np.array(["a", "bc"]), np.array(1.5)):
        np.save(stream := io.BytesIO(), array)
        made.append(stream.getvalue())
    return made


def _safetensors(folder: Path) -> list[bytes]:
    state = {"0.weight": np.ones((3, 2), np.float32), "0.bias": np.zeros(3, np.float16), "n": np.array(7)}
    save_weights(folder / "a", state, {"made": "by hand"})
    save_weights(folder / "b", {"w": np.zeros((0, 4)), "flags": np.array([True, False])})
    return [(folder / name).read_bytes() for name in "ab"]


def _trainer(optimizer: str) -> tw.Trainer:
    tw.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    return tw.Trainer(model, optimizer=optimizer, lr=0.1, progress=False, compile=False)


def _checkpoints(folder: Path) -> list[bytes]:
    trainer = _trainer("adam")
    x = np.random.default_rng(0).normal(size=(12, 2)).astype(np.float32)
    trainer.fit((x, np.arange(12) % 3), epochs=2, batch_size=4)
    save_checkpoint(folder / "c", trainer)
    save_checkpoint(folder / "d", _trainer("adam"))
    return [(folder / name).read_bytes() for name in "cd"]


def _with_checksum(content: bytes, draw: Random) -> bytes:
    """A checkpoint changed as any safetensors file, its checksum right, so that what is behind it is reached."""
    changed = mutations.in_safetensors(content, draw)
    size = int.from_bytes(changed[:8], "little")
    header = json.loads(changed[8 : 8 + size])
    texts = header["__metadata__"]
    texts["sha256"] = checksum(load(changed), texts["details"])
    head = json.dumps(header).encode()
    return len(head).to_bytes(8, "little") + head + changed[8 + size :]


def _into_a_trainer() -> Callable[[Path], object]:
    trainer = _trainer("adam")
    return lambda path: load_checkpoint(path, trainer)


def _toml(folder: Path) -> list[bytes]:
    return [
        b'recipe = "digits"\nepochs = 5\nbatch-size = 64\nlayers = [128, 64]\nactivation = "gelu"\nlr = 1e-3\n'
        b"augment = true\nvalidation = 0.2\n",
        b'# a comment\nrecipe = "table"\ndata = "a.csv"\ntarget = "y"\ncategorical = ["a", "b"]\ndelimiter = ";"\n'
        b"test_fraction = 0.25\nseed = 0\nno_header = false\n",
    ]


def _settings(path: Path) -> object:
    values = read_settings_file(str(path))
    recipe = values.pop("recipe", "table")
    known = recipe if recipe in ("digits", "table") else "table"
    values.pop("data", None)
    return settings_from(known, {}, values, str(path))


def _run(folder: Path) -> Path:
    """A run of a few steps."""
    rows = [f"{i % 7},{'abc'[i % 3]},{i % 2}" for i in range(60)]
    (folder / "rows.csv").write_text("\n".join(["size,colour,kind", *rows]) + "\n")
    flags = {"data": str(folder / "rows.csv"), "target": "kind", "run": str(folder / "run"), "epochs": 2, "layers": [4],
             "batch_size": 16, "no_pictures": True, "quiet": True}  # fmt: skip
    train(settings_from("table", flags, {}), say=lambda line: None)
    return folder / "run"


def _of_a_run(name: str) -> Callable[[Path], list[bytes]]:
    """The file of this name of a run, whose other files lie beside it."""

    def prepare(folder: Path) -> list[bytes]:
        made = _run(folder)
        for each in made.iterdir():
            each.rename(folder / each.name)
        return [(folder / name).read_bytes()]

    return prepare


def _config(path: Path) -> object:
    folder = RunFolder(path.parent)
    settings_of(folder.read_config(), str(path))
    return load_predictor(folder)


def _report(path: Path) -> object:
    return write_report([str(path.parent)], str(path.parent / "report.html"))


def _images(folder: Path) -> list[bytes]:
    from PIL import Image  # noqa: PLC0415  # an extra

    pixels = np.random.default_rng(0).integers(0, 256, (9, 11, 3), dtype=np.uint8)
    picture, made = Image.fromarray(pixels), []
    for form in ("PNG", "JPEG", "BMP", "GIF", "PPM", "TIFF", "WEBP"):
        picture.save(stream := io.BytesIO(), form)
        made.append(stream.getvalue())
    for mode in ("1", "L", "P", "RGBA", "LA", "I;16"):
        picture.convert("L" if mode == "I;16" else mode).convert(mode).save(stream := io.BytesIO(), "PNG")
        made.append(stream.getvalue())
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.save(stream := io.BytesIO(), "JPEG", exif=exif)
    picture.save(tiff := io.BytesIO(), "TIFF", compression="tiff_lzw")
    return [*made, stream.getvalue(), tiff.getvalue()]


def _read_image(path: Path) -> object:
    content = path.read_bytes()
    data.image_files.decode_mask(content, str(path)) if len(content) % 4 == 0 else None
    return data.read_image(path)


def _waves(folder: Path) -> list[bytes]:
    write_sound(folder / "a.wav", np.sin(np.arange(200) / 5), 8000)
    write_sound(folder / "b.wav", np.sin(np.arange(300).reshape(2, 150) / 5), 44100)
    return [(folder / name).read_bytes() for name in ("a.wav", "b.wav")]


def _sounds(folder: Path) -> list[bytes]:
    import soundfile  # noqa: PLC0415  # an extra

    samples, made = np.sin(np.arange(400) / 9).astype(np.float32), []
    for form, kind in (("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("WAV", "FLOAT"), ("WAVEX", "PCM_24"), ("AIFF", "PCM_16"),
                       ("AU", "PCM_16"), ("MP3", "MPEG_LAYER_III"), ("WAV", "MS_ADPCM")):  # fmt: skip
        soundfile.write(stream := io.BytesIO(), samples, 8000, format=form, subtype=kind)
        made.append(stream.getvalue())
    return made


def _annotations(folder: Path) -> list[bytes]:
    box = "<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>30</xmax><ymax>40.5</ymax></bndbox>"
    whole = (f"<annotation><size><width>50</width><height>60</height></size><object><name>a cell</name>{box}</object>"
             f"<object><name>b</name><difficult>1</difficult>{box}</object></annotation>")  # fmt: skip
    return [whole.encode(), b'<?xml version="1.0" encoding="utf-8"?>\n' + whole.replace("><", ">\n <").encode()]


def _tokenizers(folder: Path) -> list[bytes]:
    made = []
    for kind, size in (("characters", None), ("words", None), ("whitespace", None), ("bpe", 300)):
        made_of = data.Tokenizer.train("to be or not to be, that is the question", kind, vocabulary_size=size)
        made_of.save(folder / kind)
        made.append((folder / kind).read_bytes())
    return [content for content in made if len(content) < mutations.LARGEST]


def _read_tokenizer(path: Path) -> object:
    made = data.Tokenizer.load(path)
    return made.decode(made.encode("to be, or not")), made.vocabulary


def _texts(folder: Path) -> list[bytes]:
    plain = "eins\nzwei, drei\n\nvier é ü\n".encode()
    return [plain, gzip.compress(plain, mtime=0), __import__("lzma").compress(plain), b"\xef\xbb\xbf" + plain]


def _archives(folder: Path) -> list[bytes]:
    files = {"a/1.txt": b"one", "a/b/2.txt": b"two" * 50, "c.txt": b""}
    with zipfile.ZipFile(packed := io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    made = [packed.getvalue()]
    for mode in ("w", "w:gz", "w:xz"):
        with tarfile.open(fileobj=(stream := io.BytesIO()), mode=mode) as tar:
            for name, content in files.items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
        made.append(stream.getvalue())
    return made


def _read_archive(path: Path) -> object:
    tree = open_tree(path, "the archive")
    return {name: tree.read(name) for name in tree.names}


def _of_weights(path: Path) -> object:
    read_metadata(path)
    return load_weights(path)


READERS: dict[str, Reader] = {
    "idx": Reader(_idx, "a.idx", data.read_idx, ("data/idx", "data/files"), (mutations.gzipped(mutations.in_bytes),),
                  (b"\0\0\x08\x01", b"\0\0\x0e\x20", b"\0\0\x0d\0", b"\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff")),
    "csv": Reader(_csv, "a.csv", data.read_csv, ("data/csv_", "data/columns", "data/files", "data/table"),
                  (mutations.gzipped(mutations.in_bytes), mutations.in_lines),
                  (b'"', b'""', b",", b"\n", b"\r", b"\r\n", b"|", b";", b"\t", b"1e999", b"nan", b"-inf", b"0x10",
                  b"1_0",
                   b"\xff", b"\0", b"," * 3000, b"\n" * 3000, b'"' * 99, "\u2028\u0663".encode(), b"9" * 400)),
    "safetensors": Reader(_safetensors, "a.safetensors", _of_weights, ("train/checkpoint", "safetensors/"),
                          (mutations.in_safetensors,), JSON_WORDS),
    "checkpoint": Reader(_checkpoints, "a.safetensors", _into_a_trainer(),
                         ("train/", "nn/state", "optim/optimizer", "safetensors/"),
                         (mutations.in_safetensors, _with_checksum, _with_checksum), JSON_WORDS),
    "toml": Reader(_toml, "a.toml", _settings, ("recipes/settings", "recipes/kinds", "tomllib/"), (mutations.in_lines,),
                   (b"=", b"[", b"]", b"[[", b"]]", b".", b'"', b'"""', b"'''", b"{", b"}", b"inf", b"nan", b"0x",
                   b"1979-05-27",
                    b"\\u0000", b"\\UFFFFFFFF", b"a." * 500, b"[" * 2000, b"9" * 5000, b"\r", b"#", b"lr", b"layers",
                    b"[x]\ny.z = {a = 1979-05-27T07:32:00Z}\n")),
    "config": Reader(_of_a_run("config.json"), "config.json", _settings, ("recipes/settings", "recipes/kinds"),
                     (mutations.in_json,), JSON_WORDS),
    "run": Reader(_of_a_run("config.json"), "config.json", _config, ("recipes/", "data/table_encoder", "data/numeric",
                  "data/categories"), (mutations.in_json,), JSON_WORDS, inputs=20_000),
    "report": Reader(_of_a_run("results.json"), "results.json", _report,
                     ("recipes/reporting",), (mutations.in_json,), JSON_WORDS, inputs=LIBRARY),
    "metrics": Reader(_of_a_run("metrics.jsonl"), "metrics.jsonl", _report,
                      ("recipes/",), (mutations.in_lines,), JSON_WORDS, inputs=LIBRARY),
    "record": Reader(_of_a_run("record.npz"), "record.npz", Record.load, ("diagnose/", "data/npz"),
                     (mutations.zipped(mutations.in_npy), mutations.zipped(mutations.in_bytes)), mutations.NPY_WORDS,
                     inputs=20_000),
    "npz": Reader(_npz, "a.npz", data.read_npz, ("data/npz", "zipfile"),
                  (mutations.zipped(mutations.in_npy), mutations.zipped(mutations.in_bytes)), mutations.NPY_WORDS),
    "npy": Reader(_npy, "a.npy", data.read_npy, ("data/npz",), (mutations.in_npy,), mutations.NPY_WORDS),
    "annotation": Reader(_annotations, "a.xml", lambda path: read_annotation(path.read_bytes(), str(path)),
                         ("data/voc",), (), (b"<", b">", b"</", b"/>", b"<!DOCTYPE a [<!ENTITY b 'c'>]>", b"&b;",
                         b"&#0;",
                         b"<![CDATA[", b"]]>", b"<!--", b"<?x?>", b"<a>" * 40, b"1e999", b"nan", b"\xff\xfe",
                         b"\n" * 300,
                         b"<object>", b"<name>", b"<size>", b"encoding='utf-16'")),
    "archive": Reader(_archives, "a.zip", _read_archive, ("data/file", "zipfile", "tarfile"),
                      (mutations.zipped(mutations.in_bytes), mutations.gzipped(mutations.in_bytes)), inputs=20_000),
    "text": Reader(_texts, "a.txt", data.read_lines, ("data/text_files", "data/files"),
                   (mutations.gzipped(mutations.in_bytes),), (b"\xff", b"\0", b"\r\n", b"\xc3", b"\xed\xa0\x80")),
    "tokenizer": Reader(_tokenizers, "a.json", _read_tokenizer, ("data/token", "data/vocabulary"), (mutations.in_json,),
                        JSON_WORDS, inputs=LIBRARY),
    "image": Reader(_images, "a.png", _read_image, ("data/image_files", "PIL/"), (mutations.in_png,),
                    (b"IHDR", b"IDAT", b"eXIf", b"GIF89a", b"\xff\xda", b"II*\0", b"MM\0*"), inputs=LIBRARY,
                    memory=1024),
    "wave": Reader(_waves, "a.wav", lambda path: data.read_sound(path, sample_rate=16000), ("data/sound_files",
        "wave.py"), (mutations.in_riff,),
                   (b"data", b"fmt ", b"LIST", b"\xff\xff\xff\xff", b"\x03\0", b"\xfe\xff"), inputs=LIBRARY),
    "sound": Reader(_sounds, "a.snd", data.read_sound, ("data/sound_files", "soundfile.py"), (),
                    (b"fLaC", b"OggS", b"ID3", b".snd", b"FORM", b"\xff\xfb"), inputs=LIBRARY, memory=512),
}  # fmt: skip
"""By name. `PLAIN` inputs for what is read here, `LIBRARY` where another library does the work."""


def samples_of(reader: Reader, folder: Path) -> list[bytes]:
    """The valid files, each of which can be read."""
    made = list(reader.prepare(folder))
    for content in made:
        (folder / reader.file).write_bytes(content)
        reader.read(folder / reader.file)
    return made
