"""Convolutions, poolings, normalisations, padding and enlarging against PyTorch: eager and compiled, two derivatives.

In: the configurations of `image_layers`, with PyTorch's weights. Out: outputs, gradients and gradients of gradients of
inputs and parameters, and running statistics, equal to 1e-9 in float64 and 1e-5 in float32; or errors on both sides.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import thalweg as tw
from tests.nn.image_layers import CONFIGURATIONS, Configuration
from tests.nn.peers import assert_close, compare, draw, share_state
from tests.support.compiled import executables
from tests.support.sweep import sweep
from thalweg import nn
from thalweg.errors import ThalwegError

pytestmark = [pytest.mark.peer, pytest.mark.filterwarnings("ignore:Using padding=.same. with even kernel")]
torch = pytest.importorskip("torch")


def build(configuration: Configuration, dtype: str) -> tuple[Any, Any]:
    """Both sides with the same weights; None where PyTorch refuses the arguments."""
    arguments = dict(configuration.arguments)
    kind = getattr(torch.nn, configuration.name)
    takes_dtype = (
        configuration.name.startswith(("Conv", "BatchNorm", "GroupNorm", "Inst")) and "Pad" not in kind.__name__
    )
    options = [{"dtype": each} if takes_dtype else {} for each in (dtype, getattr(torch, dtype))]
    try:
        theirs = kind(**arguments, **options[1])
    except (ValueError, RuntimeError):
        theirs = None
    try:
        ours = getattr(nn, configuration.name)(**arguments, **options[0])
    except ThalwegError:
        return None, theirs
    if theirs is not None:
        with torch.no_grad():
            for number, parameter in enumerate(theirs.parameters()):
                parameter.copy_(torch.tensor(draw(np.random.default_rng(number), parameter.shape, dtype)))
        share_state(ours, theirs)
    return ours, theirs


def data(configuration: Configuration, dtype: str) -> np.ndarray:
    """Uniform numbers; with ties, what a ReLU leaves of few different ones."""
    x = draw(np.random.default_rng(7), configuration.shape, dtype)
    return np.maximum(np.round(x), 0).astype(dtype) if configuration.has_ties else x


def refuses(function: Any, *arguments: Any) -> bool:
    try:
        result = function(*arguments)
    except (ThalwegError, ValueError, RuntimeError, NotImplementedError):
        return True
    return bool(0 in result.shape)


def floor_of(configuration: Configuration) -> float:
    """The scale of terms that cancel: in the gradient of a normalisation of nearly equal entries, in an average."""
    return 10.0 if "Norm" in configuration.name else 1.0 if "Avg" in configuration.name else 0.0


def derivatives(library: Any, module: Any, x: Any) -> list[Any]:
    """The output, the gradients of a weighted sum of its squares, and the gradients of such a sum of those."""
    gradient = library.autograd.grad if library is torch else library.grad
    leaves = [x, *module.parameters()]
    found = last = [module(x)]
    for _ in range(2):
        total = sum((each * (each + weights(library, each))).sum() for each in last if each.requires_grad)
        if isinstance(total, int):
            break
        last = gradient(total, leaves, create_graph=True, allow_unused=True)
        found, last = [*found, *last], [each for each in last if each is not None]
    return found


def weights(library: Any, like: Any) -> Any:
    count = int(np.prod(tuple(like.shape)))
    return library.arange(count, dtype=like.dtype).reshape(tuple(like.shape)) * 0.1 + 1.0


def compare_derivatives(ours: list[Any], theirs: list[Any], dtype: str, floor: float, what: str) -> None:
    assert len(ours) == len(theirs)
    for position, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        given = [np.asarray(each.detach().numpy()) if each is not None else np.zeros(1) for each in (a, b)]
        if not any(each.any() for each in given):
            continue  # None and zeros mean the same
        scale = max(floor, 1e-3 * largest(theirs))
        assert_close(f"{what} {position}", *given, dtype, scale)


def largest(values: list[Any]) -> float:
    return max(float(np.abs(each.detach().numpy()).max(initial=0)) for each in values if each is not None)


def run(configuration: Configuration) -> None:
    floor = floor_of(configuration)
    for dtype in ("float32", "float64"):
        ours, theirs = build(configuration, dtype)
        x = data(configuration, dtype)
        if ours is None or theirs is None or refuses(theirs, torch.tensor(x)):
            assert ours is None or refuses(ours, tw.tensor(x)), f"only PyTorch refuses {configuration}"
            return
        share_state(ours, theirs)
        compare(torch, ours, theirs, [x], dtype, np.random.default_rng(0), floor)
        for name, buffer in theirs.named_buffers():
            assert_close(name, ours.get_buffer(name).numpy(), buffer.numpy(), dtype)
    # in float64, where rounding cannot hide a wrong derivative
    share_state(ours, theirs)
    meant = derivatives(torch, theirs, torch.tensor(x, requires_grad=True))
    own = derivatives(tw, ours, tw.tensor(x, requires_grad=True))
    compare_derivatives(own, meant, dtype, floor, "eager")

    def step(given: tw.Tensor) -> list[Any]:
        return [each if each is None else each.detach() for each in derivatives(tw, ours, given)]

    compiled = tw.compile(step)
    compare_derivatives(compiled(tw.tensor(x, requires_grad=True)), meant, dtype, floor, "compiled")
    assert len(executables(compiled)) == 1


@pytest.fixture(autouse=True)
def seeded() -> None:
    tw.manual_seed(0)
    torch.manual_seed(0)


def numbered(group: str, seed: int) -> Any:
    return pytest.mark.parametrize("configuration", sweep(CONFIGURATIONS[group], seed=seed), ids=str)


@numbered("convolution", 11)
def test_convolution(configuration):
    run(configuration)


@numbered("transposed", 12)
def test_transposed_convolution(configuration):
    run(configuration)


@numbered("pooling", 13)
def test_pooling(configuration):
    run(configuration)


@numbered("normalisation", 14)
def test_normalisation(configuration):
    run(configuration)


@numbered("shape", 15)
def test_padding_and_enlarging(configuration):
    run(configuration)


def test_there_are_enough_configurations():
    counts = {group: len(rows) for group, rows in CONFIGURATIONS.items()}
    assert counts["convolution"] + counts["transposed"] >= 250
    assert counts["pooling"] >= 150
    assert counts["normalisation"] >= 60


# --- what no sweep of random numbers meets ---------------------------------------------------------------------------


SPECIAL = np.array(
    [[[[1, np.nan, -np.inf, 2, 2], [np.nan, 0, -np.inf, -np.inf, 2], [np.inf, np.inf, 5, 5, -0.0], [5, 5, 0, 5, 0]]]]
)


@pytest.mark.parametrize(
    ("kernel", "stride", "padding"), [(2, 2, 0), (2, 1, 1), (3, 1, 1), (3, 2, 1), ((4, 5), None, 0)]
)
def test_maxima_of_special_values_and_where_they_stand(kernel, stride, padding):
    for x in (SPECIAL, np.nan_to_num(SPECIAL, nan=5.0, posinf=5.0, neginf=-5.0), np.zeros((2, 3, 4, 5))):
        ours, theirs = tw.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
        a, places = tw.nn.functional.max_pool2d(ours, kernel, stride, padding, return_indices=True)
        b, expected = torch.nn.functional.max_pool2d(theirs, kernel, stride, padding, return_indices=True)
        np.testing.assert_array_equal(a.detach().numpy(), b.detach().numpy())
        np.testing.assert_array_equal(places.numpy(), expected.numpy())
        assert places.dtype == "int64"
        a.sum().backward(), b.sum().backward()
        if not np.isinf(x).any():  # a window of nothing but -inf gives its gradient to the padding here
            np.testing.assert_array_equal(ours.grad.numpy(), theirs.grad.numpy())


@pytest.mark.parametrize("size", [1, 2, 3, 5, (2, 7), (None, 1)])
def test_adaptive_maxima_and_where_they_stand(size):
    x = np.maximum(np.round(draw(np.random.default_rng(0), (2, 3, 7, 9), "float64")), 0)
    a, places = nn.AdaptiveMaxPool2d(size, return_indices=True)(tw.tensor(x))
    b, expected = torch.nn.AdaptiveMaxPool2d(size, return_indices=True)(torch.tensor(x))
    np.testing.assert_array_equal(a.numpy(), b.numpy())
    np.testing.assert_array_equal(places.numpy(), expected.numpy())


@pytest.mark.parametrize("name", ["MaxPool1d", "MaxPool2d"])
def test_maxima_of_whole_numbers(name):
    x = np.random.default_rng(0).integers(-9, 9, (2, 3, 6) + (6,) * (name == "MaxPool2d"))
    ours, theirs = getattr(nn, name)(3, 2, 1), getattr(torch.nn, name)(3, 2, 1)
    np.testing.assert_array_equal(ours(tw.tensor(x)).numpy(), theirs(torch.tensor(x).double()).numpy())


def test_a_size_is_chosen_for_a_transposed_convolution():
    for size in ((8, 9), (9, 10), (8, 10)):
        ours, theirs = nn.ConvTranspose2d(2, 3, 3, (2, 2), 1), torch.nn.ConvTranspose2d(2, 3, 3, (2, 2), 1)
        share_state(ours, theirs)
        x = draw(np.random.default_rng(0), (2, 2, 4, 5), "float32")
        outcomes = []
        for module, library in ((ours, tw), (theirs, torch)):
            try:
                outcomes.append(module(library.tensor(x), output_size=size).detach().numpy())
            except (ValueError, RuntimeError):
                outcomes.append(None)
        assert (outcomes[0] is None) == (outcomes[1] is None)
        if outcomes[1] is not None:
            assert_close(f"size {size}", *outcomes, "float32")


def test_states_have_the_names_and_shapes_of_pytorch():
    def names_and_shapes(library):
        model = library.Sequential(
            library.Conv2d(3, 6, 3, groups=3), library.BatchNorm2d(6), library.ConvTranspose1d(6, 4, 2, groups=2),
            library.Conv1d(4, 2, 5, bias=False), library.GroupNorm(2, 4), library.ConvTranspose2d(2, 6, (2, 3)),
            library.InstanceNorm2d(3, affine=True, track_running_stats=True), library.InstanceNorm1d(2),
        )  # fmt: skip
        return [(name, tuple(value.shape)) for name, value in model.state_dict().items()]

    assert names_and_shapes(nn) == names_and_shapes(torch.nn)


def test_running_statistics_of_instances():
    ours = nn.InstanceNorm2d(3, affine=True, track_running_stats=True, momentum=0.3, dtype="float64")
    theirs = torch.nn.InstanceNorm2d(3, affine=True, track_running_stats=True, momentum=0.3, dtype=torch.float64)
    share_state(ours, theirs)
    rng = np.random.default_rng(0)
    for batch in range(3):
        x = draw(rng, (4, 3, 5, 2), "float64") * (batch + 1) + batch
        compare(torch, ours, theirs, [x], "float64", rng, floor=10.0)
    for name, buffer in theirs.named_buffers():
        assert_close(name, ours.get_buffer(name).numpy(), buffer.numpy(), "float64")
    ours.eval(), theirs.eval()
    compare(torch, ours, theirs, [x], "float64", rng, floor=10.0)


def test_representations_are_those_of_pytorch():
    def build(library):
        return library.Sequential(
            library.Conv2d(3, 6, 3, padding="same", groups=3, padding_mode="reflect"), library.BatchNorm2d(6),
            library.Conv1d(4, 2, 5, stride=2, padding=1, dilation=3, bias=False),
            library.ConvTranspose2d(2, 6, (2, 3), stride=2, output_padding=1), library.ConvTranspose1d(2, 6, 2),
            library.MaxPool2d(2), library.MaxPool2d((2, 3), 1, padding=1, ceil_mode=True), library.MaxPool1d(2),
            library.AvgPool1d(2), library.AvgPool2d(2, count_include_pad=False), library.AdaptiveAvgPool2d((1, None)),
            library.AdaptiveMaxPool1d(3), library.GroupNorm(2, 4), library.InstanceNorm1d(3), library.Dropout2d(0.2),
            library.InstanceNorm2d(3, affine=True, track_running_stats=True), library.Dropout1d(),
            library.ZeroPad2d(1), library.ConstantPad1d((1, 2), 3.5), library.ReflectionPad2d((1, 2, 3, 4)),
            library.ReplicationPad1d(1), library.CircularPad2d(1), library.Upsample(scale_factor=2),
            library.Upsample(size=(2, 3), mode="bilinear"), library.UpsamplingNearest2d(scale_factor=(2, 3)),
            library.UpsamplingBilinear2d(3), library.PixelShuffle(2), library.PixelUnshuffle(3), library.Unfold(2),
            library.Fold((3, 3), 2, padding=1), library.Unflatten(1, (2, 3)),
        )  # fmt: skip

    assert repr(build(nn)) == repr(build(torch.nn))


def test_initialisation_has_the_bounds_of_pytorch():
    for name in ("Conv1d", "Conv2d", "ConvTranspose1d", "ConvTranspose2d"):
        ours, theirs = getattr(nn, name)(16, 24, 5, groups=2), getattr(torch.nn, name)(16, 24, 5, groups=2)
        for part, parameter in theirs.named_parameters():
            a, b = ours.get_parameter(part).detach().numpy(), parameter.detach().numpy()
            assert np.abs(a).max() == pytest.approx(np.abs(b).max(), rel=0.25 if part == "bias" else 0.02)


@pytest.mark.parametrize("shape", [(3, 3, 3), (2, 4, 3, 3), (6, 2, 1, 4), (4, 1, 5)])
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_the_weight_that_passes_channels_on(shape, groups):
    if shape[0] % groups == 0:
        expected = torch.nn.init.dirac_(torch.ones(shape), groups).numpy()
        np.testing.assert_array_equal(nn.init.dirac_(tw.ones(*shape), groups).numpy(), expected)
