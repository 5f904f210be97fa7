"""Every layer and function of `thalweg.nn`, compiled, gives what NumPy evaluation gives: two derivatives included.

In: the table of modules, and one of functions; both are checked for completeness. Out: equal results, first and second
gradients, buffers and generator, in training and in evaluation mode, in float32 and float64.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pytest

import thalweg as tw
import thalweg.nn.functional as F
from tests.nn.catalogue import CASES, SEQUENCES, SHELF, Case, first
from tests.nn.shelf import FUNCTIONS as RARE_FUNCTIONS
from tests.support.compiled import LANES, arrays_of, assert_all_agree, eagerly, executables, is_real, with_derivatives
from tests.support.fallbacks import FUNCTIONALS, MODULES
from tests.support.sweep import sweep, sweep_each
from thalweg import nn

PLAIN = [case for case in CASES if case.is_called and case not in SEQUENCES and case not in SHELF]
RARE = [case for case in SHELF if case.is_called]
every_float = pytest.mark.parametrize("dtype", ["float32", "float64"])
TOLERANCE = {"float32": 3e-5, "float64": 1e-11}


def run_module(case: Case, mode: str, dtype: str, is_compiled: bool) -> tuple[list[np.ndarray], Any]:
    """Three steps: what the last one gave, the buffers after it, and the next random number."""
    tw.manual_seed(2)
    module = getattr(case.build().to(dtype), mode)()
    inputs = [each.requires_grad_() if is_real(each) else each for each in case.inputs(dtype)]
    leaves = list(module.parameters())

    def step(*arguments: tw.Tensor) -> list[tw.Tensor]:
        return with_derivatives(first(module(*arguments)), [*leaves, *filter(is_real, arguments)])

    chosen = tw.compile(step) if is_compiled else step
    for _ in range(3):
        results = chosen(*inputs)
    return arrays_of([*results, *module.buffers(), tw.rand(3)]), chosen


@pytest.mark.parametrize(
    ("case", "mode", "dtype"),
    [
        *sweep_each(PLAIN, ["train", "eval"], ["float32", "float64"], fraction=0.5, seed=1),
        *sweep(sweep_each(SEQUENCES, ["train", "eval"], ["float32", "float64"], seed=2), fraction=0.5, seed=3),
        *sweep(sweep_each(RARE, ["train", "eval"], ["float32", "float64"], seed=4), fraction=0.2, seed=5),
    ],
)
def test_a_compiled_module_equals_numpy(case: Case, mode: str, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found, step = run_module(case, mode, dtype, is_compiled=True)
    (executable,) = executables(step)
    assert executable.is_native == (case.name not in MODULES)
    meant, _ = eagerly(monkeypatch, lambda: run_module(case, mode, dtype, is_compiled=False))
    assert_all_agree(found, meant, TOLERANCE[dtype], is_joint=True)


def test_the_stated_fallbacks_exist() -> None:
    assert {case.name for case in CASES} >= set(MODULES)
    assert set(FUNCTIONALS) <= ROWS


# --- functions -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """Arguments as arrays: floating-point ones are differentiated, whole numbers are labels or rows."""

    call: Callable[..., Any]
    arguments: tuple[np.ndarray, ...]


rng = np.random.default_rng(5)
IMAGE_SHAPES = [(1, 5), (2, LANES + 1)]
SHAPES = [(1, 1), (5, 3), (7, LANES + 1), (LANES, 13), (2, 2 * LANES - 1)]


def real(*shape: int) -> np.ndarray:
    return rng.uniform(-2, 2, shape)


def share(*shape: int) -> np.ndarray:
    return rng.uniform(0.1, 0.9, shape)


def labels(count: int, below: int) -> np.ndarray:
    return rng.integers(0, below, count)


def activation(function: Callable[..., Any], *shape: int, **options: Any) -> Row:
    return Row(lambda x: function(x, **options), (real(*shape),))


def loss(function: Callable[..., Any], make: Callable[..., np.ndarray], *shape: int, **options: Any) -> Row:
    return Row(lambda x, y: function(x, y, **options), (make(*shape), make(*shape)))


def rows_of(n: int, m: int) -> dict[str, list[Row]]:
    """All functions on n rows of m entries."""
    entrywise = [F.relu, F.relu6, F.leaky_relu, F.elu, F.selu, F.silu, F.sigmoid, F.tanh, F.hardtanh, F.softplus,
                 F.logsigmoid, F.gelu]  # fmt: skip
    rows = {function.__name__: [activation(function, n, m)] for function in entrywise}
    rows["gelu"].append(activation(F.gelu, n, m, approximate="tanh"))
    rows["softplus"].append(activation(F.softplus, n, m, beta=3.0, threshold=2.0))
    rows["softmax"] = [activation(F.softmax, n, m, dim=dim) for dim in (0, 1)]
    rows["log_softmax"] = [activation(F.log_softmax, n, m, dim=dim) for dim in (0, 1)]
    rows["linear"] = [
        Row(F.linear, (real(n, m), real(4, m), real(4))),
        Row(F.linear, (real(m), real(LANES + 1, m))),
        Row(F.linear, (real(2, n, m), real(1, m), real(1))),
    ]
    rows["embedding"] = [
        Row(F.embedding, (labels(n, 6), real(6, m))),
        Row(lambda i, w: F.embedding(i, w, padding_idx=2), (labels(n, 6).reshape(1, n), real(6, m))),
    ]
    rates = ((0.4, True), (0.4, False), (0.0, True))
    rows["dropout"] = [activation(F.dropout, n, m, p=p, training=training) for p, training in rates]
    rows["batch_norm"] = [
        Row(lambda x, *w: F.batch_norm(x, None, None, *w, training=True), (real(n + 1, m), real(m), real(m))),
        Row(lambda x, a, v: F.batch_norm(x, a, v), (real(n, m), real(m), share(m))),
    ]
    rows["layer_norm"] = [
        Row(lambda x, *w: F.layer_norm(x, (m,), *w), (real(n, m), real(m), real(m))),
        Row(lambda x: F.layer_norm(x, (n, m)), (real(3, n, m),)),
    ]
    rows["rms_norm"] = [Row(lambda x, w: F.rms_norm(x, (m,), w, 1e-2), (real(n, m), real(m)))]
    attend = F.scaled_dot_product_attention
    rows["scaled_dot_product_attention"] = [
        Row(attend, (real(2, n, 3), real(2, m, 3), real(2, m, 2))),
        Row(partial(attend, is_causal=True), (real(n, 3), real(m, 3), real(m, 2), real(n, m))),
    ]
    lengths = np.array([m, 1])
    rows["ctc_loss"] = [
        Row(lambda x, y: F.ctc_loss(x.log_softmax(2), y, lengths, [1, 1]), (real(m, 2, 4), labels((2, 1), 3) + 1))
    ]
    rows["one_hot"] = [Row(lambda i: F.one_hot(i, m), (labels(n, m),))]
    rows["normalize"] = [activation(F.normalize, n, m, p=p, dim=dim) for p, dim in ((2.0, 1), (1.0, 0), (3.0, 1))]
    rows["pad"] = [activation(F.pad, n, m, pad=(1, 2, 0, 1), value=0.5), activation(F.pad, n, m, pad=(0, 1))]
    for reduction in ("mean", "sum", "none"):
        for name, row in _losses(n, m, reduction):
            rows.setdefault(name, []).append(row)
    return rows


def _losses(n: int, m: int, reduction: str) -> list[tuple[str, Row]]:
    options: dict[str, Any] = {"reduction": reduction}
    weighted = {**options, "ignore_index": 0, "label_smoothing": 0.2}
    kl = {**options, "log_target": True}
    return [
        ("mse_loss", loss(F.mse_loss, real, n, m, **options)),
        ("l1_loss", loss(F.l1_loss, real, n, m, **options)),
        ("huber_loss", loss(F.huber_loss, real, n, m, delta=0.7, **options)),
        ("smooth_l1_loss", loss(F.smooth_l1_loss, real, n, m, beta=0.3, **options)),
        ("kl_div", loss(F.kl_div, share, n, m, **options)),
        ("kl_div", loss(F.kl_div, real, n, m, **kl)),
        ("binary_cross_entropy", loss(F.binary_cross_entropy, share, n, m, **options)),
        ("binary_cross_entropy_with_logits", loss(F.binary_cross_entropy_with_logits, share, n, m, **options)),
        ("cross_entropy", loss(F.cross_entropy, share, n, m, **options)),
        ("cross_entropy", Row(lambda x, y: F.cross_entropy(x, y, **options), (real(n, m), labels(n, m)))),
        ("cross_entropy", Row(lambda x, w, y: F.cross_entropy(x, y, w, **weighted),
                              (real(n, m), share(m), labels(n, m)))),
        ("cross_entropy", Row(lambda x, y: F.cross_entropy(x, y, **options), (real(n, m, 3), labels((n, 3), m)))),
        ("nll_loss", Row(lambda x, y: F.nll_loss(x, y, **options), (real(n, m), labels(n, m)))),
    ]  # fmt: skip


def overlap(loss: Callable[..., Any], *corners_and_sizes: tw.Tensor) -> tw.Tensor:
    """A loss of pairs of boxes, each given as a corner and its size."""
    a, width_a, b, width_b = corners_and_sizes
    result: tw.Tensor = loss(tw.cat([a, a + width_a], 1), tw.cat([b, b + width_b], 1))
    return result


def rows_of_images(n: int, m: int) -> dict[str, list[Row]]:
    """All functions on n images of 2 channels and m x m pixels, and on signals alike."""
    plane, line = (n, 2, m, m), (n, 2, m)
    rows = {
        "conv1d": [Row(F.conv1d, (real(*line), real(3, 2, 2), real(3)))],
        "conv2d": [
            Row(
                lambda x, w, b: F.conv2d(x, w, b, padding=1), (real(*plane), real(LANES + 1, 2, 3, 3), real(LANES + 1))
            ),
            Row(lambda x, w: F.conv2d(x, w, stride=2, groups=2), (real(*plane), real(4, 1, 2, 3))),
        ],
        "conv_transpose1d": [Row(F.conv_transpose1d, (real(*line), real(2, 3, 2), real(3)))],
        "conv_transpose2d": [Row(lambda x, w: F.conv_transpose2d(x, w, stride=2), (real(*plane), real(2, 3, 2, 2)))],
        "unfold": [activation(F.unfold, *plane, kernel_size=2, padding=1)],
        "fold": [activation(F.fold, n, 8, (m - 1) ** 2, output_size=m, kernel_size=2)],
        "max_pool1d": [activation(F.max_pool1d, *line, kernel_size=2)],
        "max_pool2d": [
            activation(F.max_pool2d, *plane, kernel_size=2),
            activation(F.max_pool2d, *plane, kernel_size=3, stride=1, padding=1),
            Row(lambda x: F.max_pool2d(x, 3, return_indices=True)[0], (real(*plane),)),
        ],
        "avg_pool1d": [activation(F.avg_pool1d, *line, kernel_size=3)],
        "avg_pool2d": [
            activation(F.avg_pool2d, *plane, kernel_size=3),
            activation(F.avg_pool2d, *plane, kernel_size=2, stride=1, padding=1, count_include_pad=False),
        ],
        "interpolate": [
            activation(F.interpolate, *plane, scale_factor=2),
            activation(F.interpolate, *plane, scale_factor=2, mode="bilinear"),
            activation(F.interpolate, *plane, size=m + 2, mode="bilinear", align_corners=True),
            activation(F.interpolate, *line, size=m + 2),
        ],
        "pixel_shuffle": [activation(F.pixel_shuffle, n, 8, m, 1, upscale_factor=2)],
        "pixel_unshuffle": [activation(F.pixel_unshuffle, n, 1, 2 * m, 2, downscale_factor=2)],
        "dropout1d": [activation(F.dropout1d, *line)],
        "dropout2d": [activation(F.dropout2d, *plane)],
        "instance_norm": [Row(lambda x, w, b: F.instance_norm(x, None, None, w, b), (real(*plane), real(2), real(2)))],
        "group_norm": [Row(lambda x, w, b: F.group_norm(x, 2, w, b), (real(n, 4, m), real(4), real(4)))],
    }
    for kind, size in (("avg", 2), ("max", 2)):
        rows[f"adaptive_{kind}_pool1d"] = [activation(getattr(F, f"adaptive_{kind}_pool1d"), *line, output_size=size)]
        rows[f"adaptive_{kind}_pool2d"] = [
            activation(getattr(F, f"adaptive_{kind}_pool2d"), *plane, output_size=each) for each in (size, 1)
        ]
    for name in ("box_iou_loss", "generalized_box_iou_loss", "distance_box_iou_loss"):
        rows[name] = [Row(partial(overlap, getattr(F, name)), (real(m, 2), share(m, 2), real(m, 2), share(m, 2)))]
    for name in ("sigmoid_focal_loss", "heatmap_focal_loss"):
        rows[name] = [Row(partial(getattr(F, name), reduction="sum"), (real(*line), share(*line)))]
    rows["dice_loss"] = [Row(F.dice_loss, (real(*plane), labels((n, m, m), 2)))]
    modes = ("reflect", "replicate", "circular")
    rows["pad"] = [activation(F.pad, *plane, pad=(2, 1, 0, 1), mode=mode) for mode in modes]
    return rows


TABLES = [*[rows_of(*shape) for shape in SHAPES], *[rows_of_images(*shape) for shape in IMAGE_SHAPES]]
ROWS = {name for table in TABLES for name in table}
FUNCTION_CASES = [
    pytest.param(name, row, id=f"{name}-{index}-{'x'.join(map(str, shape))}")
    for shape, table in zip([*SHAPES, *IMAGE_SHAPES], TABLES, strict=True)
    for name, rows in table.items()
    for index, row in enumerate(rows)
]


def run_row(row: Row, dtype: str, is_compiled: bool) -> tuple[list[np.ndarray], Any]:
    tw.manual_seed(3)
    arrays = [array.astype(dtype) if array.dtype.kind == "f" else array for array in row.arguments]
    inputs = [tw.tensor(array, requires_grad=array.dtype.kind == "f") for array in arrays]

    def step(*arguments: tw.Tensor) -> list[tw.Tensor]:
        return with_derivatives(row.call(*arguments), list(filter(is_real, arguments)))

    chosen = tw.compile(step) if is_compiled else step
    chosen(*inputs)
    return arrays_of([*chosen(*inputs), tw.rand(2)]), chosen


def test_every_function_has_a_row() -> None:
    assert set(F.__all__) == ROWS | RARE_FUNCTIONS


@pytest.mark.parametrize(("name", "row"), sweep(FUNCTION_CASES, fraction=0.15, seed=7))
@every_float
def test_a_compiled_function_equals_numpy(name: str, row: Row, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found, step = run_row(row, dtype, is_compiled=True)
    (executable,) = executables(step)
    assert executable.is_native == (name not in FUNCTIONALS)
    meant, _ = eagerly(monkeypatch, lambda: run_row(row, dtype, is_compiled=False))
    assert_all_agree(found, meant, TOLERANCE[dtype], is_joint=True)


# --- shapes of layers ------------------------------------------------------------------------------------------------

WIDTHS = [(n, k, m) for n in (1, 2, 7, LANES + 1) for k in (1, 13, LANES - 1) for m in (1, 3, LANES, 2 * LANES + 1)]


@pytest.mark.parametrize(("n", "k", "m"), sweep(WIDTHS, seed=9))
@every_float
def test_a_dense_network_of_awkward_widths_equals_numpy(
    n: int, k: int, m: int, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def build() -> nn.Module:
        norms = [nn.BatchNorm1d(m)] if n > 1 else []
        return nn.Sequential(nn.Linear(k, m), *norms, nn.SiLU(), nn.LayerNorm(m), nn.Dropout(0.3), nn.Linear(m, k))

    case = Case(build, ((n, k),), (n, k))
    found, _ = run_module(case, "train", dtype, is_compiled=True)
    meant, _ = eagerly(monkeypatch, lambda: run_module(case, "train", dtype, is_compiled=False))
    assert_all_agree(found, meant, 10 * TOLERANCE[dtype], is_joint=True)
