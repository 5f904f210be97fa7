"""Programs as PyTorch's documentation teaches them, run twice: as they stand, and with the import lines changed.

In: the modules of `programs/`, each a network and its training, written for PyTorch. Out: with the same weights the
same names, outputs and gradients in float64 and float32, and a training that goes the same way, eager and compiled.

Each program has `build()`, `make_batches(draw)` (NumPy arrays), `loss_of(model, *batch)`, which gives the loss and what
came out, and `train(model, batches, compiled)`, which gives the losses and what was measured afterwards. `compiled`
goes around the function that makes a step: the identity, or `tw.compile`.
"""

from __future__ import annotations

import re
import types
from pathlib import Path

import numpy as np
import pytest

import thalweg as tw

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.peer, pytest.mark.filterwarnings("ignore")]

PROGRAMS = sorted((Path(__file__).parent / "programs").glob("*.py"))
each_program = pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
as_it_stands = {"eager": lambda step: step, "compiled": tw.compile}
each_way = pytest.mark.parametrize("way", as_it_stands)


def in_thalweg(source: str) -> str:
    """The program with other import lines, and nothing else changed."""
    source = re.sub(r"^import torch$", "import thalweg as torch", source, flags=re.MULTILINE)
    return re.sub(r"^(import|from) torch\b", r"\1 thalweg", source, flags=re.MULTILINE)


def run(path: Path, source: str) -> types.ModuleType:
    module = types.ModuleType(path.stem)
    exec(compile(source, str(path), "exec"), vars(module))
    return module


@pytest.fixture
def programs(path, monkeypatch):
    """The program in both libraries. What it draws while it runs is the same in both."""
    for library in (torch, tw):
        monkeypatch.setattr(library, "randn_like", lambda x, of=library: same_numbers(of, x))
    source = path.read_text(encoding="utf-8")
    torch.manual_seed(0)
    return run(path, source), run(path, in_thalweg(source))


def same_numbers(library, like):
    array = np.random.default_rng(7).normal(size=tuple(like.shape))
    return library.from_numpy(array.astype(str(like.dtype).rpartition(".")[2]))


def without_dropout(model):
    """Two libraries never draw the same masks."""
    for module in model.modules():
        for name in ("p", "dropout"):
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)
    return model


def models_of(programs, dtype):
    """The networks of both with the weights that PyTorch's drew."""
    theirs, ours = (without_dropout(each.build()).to(getattr(library, dtype))
                    for each, library in zip(programs, (torch, tw), strict=True))  # fmt: skip
    ours.load_state_dict({name: tw.tensor(value.numpy()) for name, value in theirs.state_dict().items()})
    return theirs, ours


def batches_for(program, library, dtype):
    def cast(array):
        return library.from_numpy(array.astype(dtype) if array.dtype.kind == "f" else array.copy())

    made = program.make_batches(np.random.default_rng(3))
    return [tuple(cast(np.asarray(each)) for each in batch) for batch in made]


def flat(numbers):
    return [each for some in numbers for each in flat(some)] if isinstance(numbers, (list, tuple)) else [numbers]


def arrays_of(value):
    if isinstance(value, (tuple, list)):
        return [array for each in value for array in arrays_of(each)]
    return [value.detach().cpu().numpy()]


@each_program
def test_names_and_shapes_of_the_state_are_the_same(path, programs):
    theirs, ours = (program.build().state_dict() for program in programs)
    assert {name: tuple(each.shape) for name, each in ours.items()} == {
        name: tuple(each.shape) for name, each in theirs.items()
    }


@each_program
@each_way
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-9), ("float32", 3e-4)])
def test_outputs_and_all_gradients_agree(path, programs, way, dtype, tolerance):
    theirs, ours = models_of(programs, dtype)
    loss, outputs = programs[0].loss_of(theirs, *batches_for(programs[0], torch, dtype)[0])
    loss.backward()

    def backward(*batch):
        loss, outputs = programs[1].loss_of(ours, *batch)
        loss.backward()
        return loss, outputs

    backward = tw.compile(backward, keep_gradients=True) if way == "compiled" else backward
    found, results = backward(*batches_for(programs[1], tw, dtype)[0])
    for ours_is, theirs_is in zip(arrays_of([found, results]), arrays_of([loss, outputs]), strict=True):
        assert_close(ours_is, theirs_is, tolerance)
    gradients = {name: each.grad for name, each in ours.named_parameters()}
    assert gradients.keys() == {name for name, _ in theirs.named_parameters()}
    scale = max(float(each.grad.abs().max()) for each in theirs.parameters() if each.grad is not None)
    for name, each in theirs.named_parameters():
        assert (gradients[name] is None) == (each.grad is None), name
        if each.grad is not None:
            assert_close(gradients[name].numpy(), each.grad.numpy(), tolerance, floor=1e-2 * scale, name=name)


def assert_close(ours, theirs, tolerance, floor=0.0, name=""):
    np.testing.assert_allclose(
        ours, theirs, rtol=tolerance, atol=tolerance * max(floor, np.abs(theirs).max(initial=0.0)), err_msg=name
    )


@each_program
@each_way
def test_training_goes_the_same_way(path, programs, way):
    theirs, ours = models_of(programs, "float64")
    losses, measured = programs[0].train(theirs, batches_for(programs[0], torch, "float64"), lambda step: step)
    found, measures = programs[1].train(ours, batches_for(programs[1], tw, "float64"), as_it_stands[way])
    np.testing.assert_allclose(found, losses, rtol=1e-6)
    np.testing.assert_allclose(flat(measures), flat(measured), rtol=1e-6, atol=1e-9)
    assert losses[-1] < losses[0]


@each_program
def test_the_program_as_it_stands_learns_compiled(path, programs):
    """With its own weights and its dropout, which are drawn here."""
    tw.manual_seed(1)
    losses, _ = programs[1].train(programs[1].build(), batches_for(programs[1], tw, "float32"), tw.compile)
    assert np.all(np.isfinite(losses))


@pytest.mark.parametrize("path", [PROGRAMS[0]], ids=["any"])
def test_only_import_lines_change(path):
    for each in PROGRAMS:
        before = each.read_text(encoding="utf-8").splitlines()
        after = in_thalweg("\n".join(before)).splitlines()
        changed = [line for line, new in zip(before, after, strict=True) if line != new]
        assert changed
        assert all(re.match(r"(import|from) torch\b", line) for line in changed)
