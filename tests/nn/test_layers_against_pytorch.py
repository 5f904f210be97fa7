"""Every layer against PyTorch on the same weights: outputs, gradients of inputs and parameters, running statistics.

In: configurations swept over shapes with 1, primes and extra axes, and over every option. Out: agreement per tensor to
1e-9 in float64 and 1e-5 in float32.
"""

import itertools

import numpy as np
import pytest

import thalweg as tw
from tests.nn.peers import DTYPES, assert_close, compare, draw, share_state
from tests.support.sweep import sweep
from thalweg import nn

pytestmark = pytest.mark.peer
torch = pytest.importorskip("torch")

LEADING = ((), (1,), (5,), (2, 3), (1, 1, 4), (0,))


@pytest.mark.parametrize(
    ("inputs", "outputs", "bias", "leading", "dtype"),
    sweep(itertools.product((1, 2, 7, 64), (1, 3, 13), (True, False), LEADING, DTYPES), seed=1),
)
def test_linear(inputs, outputs, bias, leading, dtype):
    rng = np.random.default_rng(0)
    ours = nn.Linear(inputs, outputs, bias, dtype=dtype)
    theirs = torch.nn.Linear(inputs, outputs, bias, dtype=getattr(torch, dtype))
    share_state(ours, theirs)
    compare(torch, ours, theirs, [draw(rng, (*leading, inputs), dtype)], dtype, rng)


@pytest.mark.parametrize(
    ("rows", "columns", "padding", "shape", "index", "dtype"),
    sweep(
        itertools.product((1, 5, 13), (1, 4), (None, 0, -1), ((), (1,), (7,), (2, 3)), ("int64", "int32"), DTYPES),
        seed=2,
    ),
)
def test_embedding(rows, columns, padding, shape, index, dtype):
    rng = np.random.default_rng(0)
    ours = nn.Embedding(rows, columns, padding, dtype=dtype)
    theirs = torch.nn.Embedding(rows, columns, padding, dtype=getattr(torch, dtype))
    assert ours.padding_idx == theirs.padding_idx
    share_state(ours, theirs)
    compare(torch, ours, theirs, [rng.integers(0, rows, shape).astype(index)], dtype, rng)


@pytest.mark.parametrize(
    ("options", "is_compiled", "dtype"),
    sweep(
        itertools.product(
            [
                {"max_norm": bound, "norm_type": p, "scale_grad_by_freq": frequency, "padding_idx": row}
                for bound in (None, 0.0, 1.0, 100.0) for p in (2.0, 1, 3.5, np.inf)
                for frequency in (False, True) for row in (None, 2)
            ],
            (False, True), DTYPES,
        ),
        seed=5,
    ),
)  # fmt: skip
def test_embedding_with_a_bound_on_norms_and_gradients_by_frequency(options, is_compiled, dtype):
    """Two look-ups before one backward pass: the second may change the table that the first has read."""
    ours = nn.Embedding(6, 3, **options, dtype=dtype)
    theirs = torch.nn.Embedding(6, 3, **options, dtype=getattr(torch, dtype))
    share_state(ours, theirs)
    first, second = np.array([[1, 1, 2], [4, 1, 2]]), np.array([0, 1, 1, 5])

    def step(table, a, b):
        loss = (table(a) * table(b).sum(0)).sum()
        loss.backward()
        return loss

    own = tw.compile(lambda a, b: step(ours, a, b)) if is_compiled else lambda a, b: step(ours, a, b)
    loss = own(tw.tensor(first), tw.tensor(second)).item()
    expected = step(theirs, torch.tensor(first), torch.tensor(second)).item()
    assert_close("loss", loss, expected, dtype, floor=1.0)
    assert_close("table", ours.weight.detach().numpy(), theirs.weight.detach().numpy(), dtype)
    assert_close("gradient", ours.weight.grad.numpy(), theirs.weight.grad.numpy(), dtype, floor=1.0)


def scale_of_terms(x, axes, eps):
    """The gradient of a normalisation is a difference of terms of this size, and may be all rounding."""
    return max(1.0, float((1 / np.sqrt(x.var(axes) + eps)).max()))


@pytest.mark.parametrize(
    ("shape", "momentum", "affine", "tracks", "training", "eps", "dtype"),
    sweep(
        itertools.product(
            ((2, 1), (5, 3), (8, 7), (2, 3, 1), (1, 3, 5), (4, 1, 3), (3, 13, 2)),
            (0.1, None, 0.7, 0.0, 1.0), (True, False), (True, False), (True, False), (1e-5, 1e-2), DTYPES,
        ),
        seed=3,
    ),
)  # fmt: skip
def test_batch_norm(shape, momentum, affine, tracks, training, eps, dtype):
    rng = np.random.default_rng(0)
    arguments = (shape[1], eps, momentum, affine, tracks)
    ours, theirs = (
        nn.BatchNorm1d(*arguments, dtype=dtype),
        torch.nn.BatchNorm1d(*arguments, dtype=getattr(torch, dtype)),
    )
    if affine:
        with torch.no_grad():
            theirs.weight.copy_(torch.tensor(draw(rng, shape[1:2], dtype)))
            theirs.bias.copy_(torch.tensor(draw(rng, shape[1:2], dtype)))
    share_state(ours, theirs)
    for batch in range(3):
        is_training = training or batch < 2  # statistics are gathered before they are used
        ours.train(is_training), theirs.train(is_training)
        ours.zero_grad(), theirs.zero_grad()
        x = draw(rng, shape, dtype) * 3 + 1
        axes = tuple(axis for axis in range(x.ndim) if axis != 1)
        compare(torch, ours, theirs, [x], dtype, rng, floor=scale_of_terms(x, axes, eps))
        for name, buffer in theirs.named_buffers():
            assert_close(name, ours.get_buffer(name).numpy(), buffer.numpy(), dtype)


@pytest.mark.parametrize(
    ("shape", "count", "affine", "bias", "eps", "dtype"),
    sweep(
        itertools.product(
            ((1, 7), (5, 2), (3, 13), (2, 3, 5), (1, 4, 1, 6), (6,)), (1, 2), (True, False), (True, False),
            (1e-5, 1e-1), DTYPES,
        ),
        seed=4,
    ),
)  # fmt: skip
def test_layer_norm(shape, count, affine, bias, eps, dtype):
    rng = np.random.default_rng(0)
    normalized = shape[-min(count, len(shape)) :]
    ours = nn.LayerNorm(normalized, eps, affine, bias, dtype=dtype)
    theirs = torch.nn.LayerNorm(normalized, eps, affine, bias, dtype=getattr(torch, dtype))
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.copy_(torch.tensor(draw(rng, normalized, dtype)))
    share_state(ours, theirs)
    x = draw(rng, shape, dtype)
    axes = tuple(range(x.ndim - len(normalized), x.ndim))
    compare(torch, ours, theirs, [x], dtype, rng, floor=scale_of_terms(x, axes, eps))


@pytest.mark.parametrize("dtype", DTYPES)
def test_batch_norm_without_a_bias(dtype):
    rng = np.random.default_rng(0)
    ours = nn.BatchNorm1d(3, bias=False, dtype=dtype)
    theirs = torch.nn.BatchNorm1d(3, bias=False, dtype=getattr(torch, dtype))
    share_state(ours, theirs)
    compare(torch, ours, theirs, [draw(rng, (5, 3), dtype)], dtype, rng, floor=1.0)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("name", "arguments", "shape"),
    [
        ("Flatten", (), (2, 3, 4)),
        ("Flatten", (), (5, 1)),
        ("Flatten", (0, -1), (2, 3)),
        ("Flatten", (1, 2), (2, 3, 4, 5)),
        ("Flatten", (-2, -1), (7, 3, 1)),
        ("Unflatten", (1, (2, 3)), (4, 6)),
        ("Unflatten", (-1, (3, -1)), (2, 6)),
        ("Unflatten", (0, (1, 7)), (7, 2)),
        ("Identity", (), (3, 2)),
        ("Dropout", (0.0,), (3, 2)),
        ("Dropout", (1.0,), (3, 2)),
    ],
)
def test_shapes_and_degenerate_dropout(name, arguments, shape, dtype):
    rng = np.random.default_rng(0)
    ours, theirs = getattr(nn, name)(*arguments), getattr(torch.nn, name)(*arguments)
    compare(torch, ours, theirs, [draw(rng, shape, dtype)], dtype, rng)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_network_of_all_layers(dtype):
    rng = np.random.default_rng(0)

    def build(library, kind):
        return library.Sequential(
            library.Linear(6, 8, dtype=kind), library.BatchNorm1d(8, dtype=kind), library.ReLU(inplace=True),
            library.Dropout(0.0), library.Linear(8, 12, dtype=kind), library.LayerNorm(12, dtype=kind), library.GELU(),
            library.Unflatten(1, (3, 4)), library.BatchNorm1d(3, dtype=kind), library.Flatten(), library.Tanh(),
            library.Linear(12, 4, bias=False, dtype=kind), library.LogSoftmax(dim=1),
        )  # fmt: skip

    ours, theirs = build(nn, dtype), build(torch.nn, getattr(torch, dtype))
    share_state(ours, theirs)
    compare(torch, ours, theirs, [draw(rng, (9, 6), dtype)], dtype, rng, floor=1.0)
    ours.eval(), theirs.eval()
    ours.zero_grad(), theirs.zero_grad()
    compare(torch, ours, theirs, [draw(rng, (9, 6), dtype)], dtype, rng, floor=1.0)


def test_representations_are_those_of_pytorch():
    def build(library):
        model = library.Sequential(
            library.Linear(6, 8), library.BatchNorm1d(8), library.BatchNorm1d(8, bias=False), library.Dropout(0.1),
            library.ReLU(inplace=True), library.ReLU(), library.LayerNorm(2, bias=False),
            library.LayerNorm((8,)), library.GELU(), library.Embedding(3, 4, 0), library.LeakyReLU(0.2), library.ELU(),
            library.SELU(), library.SiLU(), library.Softplus(), library.LogSigmoid(), library.Softmax(dim=1),
            library.LogSoftmax(dim=1), library.ReLU6(), library.Hardtanh(), library.Sigmoid(), library.Tanh(),
            library.Sequential(library.Flatten(), library.Unflatten(1, (2, 4)), library.Identity()),
        )  # fmt: skip
        model.add_module("named", library.ModuleDict({"a": library.Linear(1, 1, bias=False)}))
        return model

    assert repr(build(nn)) == repr(build(torch.nn))


def test_representations_of_lists_are_those_of_pytorch():
    def build(library):
        same = [library.Linear(2, 2) for _ in range(3)]
        nested = library.ModuleList([library.Sequential(library.Tanh()), library.Sequential(library.Tanh())])
        return library.ModuleList([library.ReLU(), *same, nested, library.Dropout(0.5), library.ModuleList()])

    assert repr(build(nn)) == repr(build(torch.nn))


def test_default_initialisation_has_the_distribution_of_pytorch():
    tw.manual_seed(0)
    torch.manual_seed(0)
    for ours, theirs in (
        (nn.Linear(100, 300), torch.nn.Linear(100, 300)),
        (nn.Embedding(200, 100), torch.nn.Embedding(200, 100)),
    ):
        for name, parameter in theirs.named_parameters():
            a, b = ours.get_parameter(name).detach().numpy(), parameter.detach().numpy()
            assert abs(a.mean() - b.mean()) < 5 * b.std() / np.sqrt(b.size) * 2
            assert a.std() == pytest.approx(b.std(), rel=0.1)
            assert np.abs(a).max() == pytest.approx(np.abs(b).max(), rel=0.15)
