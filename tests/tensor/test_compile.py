"""`tw.compile`: a traced step does what the Python function does, and the footguns of tracing are covered.

In: small training steps, decorated and not. Out: equal losses, weights and gradients; live inputs; clear errors where a
value is asked for; few compilations.
"""

from __future__ import annotations

import dataclasses
import itertools
import warnings
from collections.abc import Callable

import numpy as np
import pytest

import thalweg as tw
from thalweg.compile import executable as programs
from thalweg.errors import GradientError, IndexRangeError, TraceError
from thalweg.tensor import lazy
from thalweg.tensor.core import flush
from thalweg.tensor.holding import Touches, Version
from thalweg.tensor.trace import Step


class Perceptron:
    """Two layers with hand-written Adam: cells of every sort, no nn or optim involved."""

    def __init__(self, sizes: tuple[int, ...] = (5, 8, 3), dtype: str = "float64") -> None:
        generator = np.random.default_rng(0)
        shapes = [shape for a, b in itertools.pairwise(sizes) for shape in ((b, a), (b,))]
        self.parameters = [
            tw.tensor(generator.normal(size=shape).astype(dtype), requires_grad=True) for shape in shapes
        ]
        self.first = [tw.zeros_like(p) for p in self.parameters]
        self.second = [tw.zeros_like(p) for p in self.parameters]
        self.steps = tw.zeros((), dtype="float64")
        self.lr = tw.tensor(np.array(0.05))

    def forward(self, x: tw.Tensor) -> tw.Tensor:
        w1, b1, w2, b2 = self.parameters
        return (x @ w1.T + b1).tanh() @ w2.T + b2

    def loss(self, x: tw.Tensor, y: tw.Tensor) -> tw.Tensor:
        return -self.forward(x).log_softmax(1).gather(1, y.unsqueeze(1)).mean()

    def zero_grad(self) -> None:
        for parameter in self.parameters:
            parameter.grad = None

    def update(self) -> None:
        with tw.no_grad():
            self.steps.add_(1)
            for p, m, v in zip(self.parameters, self.first, self.second, strict=True):
                g = p.grad
                m.mul_(0.9).add_(0.1 * g)
                v.mul_(0.999).add_(0.001 * g * g)
                p.sub_(self.lr * (m / (1 - 0.9**self.steps)) / ((v / (1 - 0.999**self.steps)).sqrt() + 1e-8))

    def step(self, x: tw.Tensor, y: tw.Tensor) -> tw.Tensor:
        self.zero_grad()
        loss = self.loss(x, y)
        loss.backward()
        self.update()
        return loss

    def values(self) -> list[np.ndarray]:
        flush()
        return [p.detach().numpy() for p in self.parameters]


def batch(n: int = 16, dtype: str = "float64") -> tuple[tw.Tensor, tw.Tensor]:
    generator = np.random.default_rng(1)
    return tw.tensor(generator.normal(size=(n, 5)).astype(dtype)), tw.tensor(generator.integers(0, 3, n))


def only_program(step: Step) -> programs.Executable:
    (compiled,) = step._programs.values()
    return compiled.executable


def test_a_training_step_is_one_native_call_close_to_numpy_to_the_bit() -> None:
    plain, traced = Perceptron(), Perceptron()
    step = tw.compile(traced.step)
    x, y = batch()
    for _ in range(20):
        expected, found = plain.step(x, y), step(x, y)
        flush()
        assert found.item() == pytest.approx(expected.item(), rel=1e-12)
    assert only_program(step).is_native
    for a, b in zip(plain.values(), traced.values(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10)


def test_parameters_are_written_in_place() -> None:
    network = Perceptron()
    step = tw.compile(network.step)
    x, y = batch()
    step(x, y)
    places = [parameter._node.value.ctypes.data for parameter in network.parameters]
    copies = network.values()
    step(x, y)
    assert [parameter._node.value.ctypes.data for parameter in network.parameters] == places
    for before, after in zip(copies, network.values(), strict=True):
        assert (before != after).any()


def test_what_still_shows_the_old_value_keeps_it() -> None:
    network = Perceptron()
    step = tw.compile(network.step)
    x, y = batch()
    step(x, y)
    weight = network.parameters[0]
    old = weight.detach().numpy()
    with tw.no_grad():
        pending, copy = weight * 1.0, weight.clone()
        copy.tolist()
    step(x, y)
    np.testing.assert_array_equal(pending.numpy(), old)
    np.testing.assert_array_equal(copy.numpy(), old)


def test_a_changed_learning_rate_takes_effect_without_compiling_again() -> None:
    plain, traced = Perceptron(), Perceptron()
    step = tw.compile(traced.step)
    x, y = batch()
    plain.step(x, y), step(x, y)
    count = programs.compiled_count()
    for network in (plain, traced):
        network.lr.fill_(0.5)
    plain.step(x, y), step(x, y)
    assert programs.compiled_count() == count
    np.testing.assert_allclose(plain.values()[0], traced.values()[0], rtol=1e-10)


def test_a_float_argument_is_an_input_and_an_int_is_static() -> None:
    step = tw.compile(lambda x, scale, power: x * scale**power)
    x = tw.tensor([1.0, 2.0])
    assert step(x, 2.0, 2).tolist() == [4, 8]
    assert step(x, 3.0, 2).tolist() == [9, 18]
    assert len(step._programs) == 1
    assert step(x, 3.0, 3).tolist() == [27, 54]
    assert len(step._programs) == 2


def test_a_short_last_batch_is_a_second_signature_at_its_exact_size() -> None:
    plain, traced = Perceptron(), Perceptron()
    step = tw.compile(traced.step)
    for n in (16, 16, 5, 16, 5):
        x, y = batch(n)
        assert step(x, y).item() == pytest.approx(plain.step(x, y).item(), rel=1e-10)
        flush()
    assert len(step._programs) == 2


def test_dropout_differs_from_step_to_step_and_repeats_with_the_seed() -> None:
    @tw.compile
    def draw() -> tw.Tensor:
        return tw.rand(6)

    tw.manual_seed(3)
    first, second = draw().tolist(), draw().tolist()
    tw.manual_seed(3)
    assert draw().tolist() == first
    assert first != second
    tw.manual_seed(3)
    assert tw.rand(6).tolist() == first


def test_captured_tensors_and_arrays_stay_live() -> None:
    captured, array = tw.tensor([1.0, 2.0]), np.array([1.0, 1.0], np.float32)
    step = tw.compile(lambda x: x * captured + array)
    x = tw.ones(2)
    assert step(x).tolist() == [2, 3]
    captured.mul_(10)
    array += 5
    assert step(x).tolist() == [16, 26]
    assert len(step._programs) == 1


def test_a_rebound_gradient_requirement_is_seen() -> None:
    w, v = tw.ones(2, requires_grad=True), tw.ones(2, requires_grad=True)

    @tw.compile(keep_gradients=True)
    def step(x: tw.Tensor) -> None:
        w.grad = v.grad = None
        (w * v * x).sum().backward()

    step(tw.ones(2))
    assert v.grad is not None
    v.requires_grad_(False)
    step(tw.ones(2))
    assert v.grad is None
    assert w.grad is not None


def test_outputs_that_alias_an_input_or_each_other() -> None:
    step = tw.compile(lambda x: (x, x.reshape(2, 1), x + 0, x))
    x = tw.tensor([1.0, 2.0])
    results = step(x)
    x.mul_(0)
    assert [each.flatten().tolist() for each in results] == [[1, 2]] * 4


def test_a_shared_parameter_collects_both_gradients() -> None:
    w = tw.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)

    @tw.compile(keep_gradients=True)
    def step(x: tw.Tensor) -> tw.Tensor:
        w.grad = None
        loss = ((x @ w) @ w).sum()
        loss.backward()
        return loss

    x = tw.ones(1, 2)
    step(x)
    found = w.grad.numpy()
    w.grad = None
    ((x @ w) @ w).sum().backward()
    np.testing.assert_allclose(found, w.grad.numpy())


def test_gradients_used_up_inside_are_never_stale() -> None:
    network = Perceptron()
    step = tw.compile(network.step)
    step(*batch())
    with pytest.raises(GradientError, match="keep_gradients=True"):
        _ = network.parameters[0].grad


def test_keep_gradients_writes_them_out() -> None:
    plain, traced = Perceptron(), Perceptron()
    step = tw.compile(traced.step, keep_gradients=True)
    x, y = batch()
    plain.step(x, y), step(x, y)
    for a, b in zip(plain.parameters, traced.parameters, strict=True):
        np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-10)


def test_gradients_accumulate_over_calls_that_do_not_clear_them() -> None:
    w = tw.ones(2, requires_grad=True)

    @tw.compile
    def accumulate(x: tw.Tensor) -> None:
        (w * x).sum().backward()

    for _ in range(3):
        accumulate(tw.tensor([1.0, 2.0]))
    assert w.grad.tolist() == [3, 6]


def test_a_compiled_call_is_differentiable() -> None:
    network = Perceptron()
    net = tw.compile(network.forward)
    x, y = batch()
    x.requires_grad_()
    for forward in (network.forward, net):
        network.zero_grad()
        x.grad = None
        (-forward(x).log_softmax(1).gather(1, y.unsqueeze(1)).mean()).backward()
        if forward is not net:
            expected = [p.grad.numpy() for p in network.parameters] + [x.grad.numpy()]
    for a, b in zip(expected, [p.grad.numpy() for p in network.parameters] + [x.grad.numpy()], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


def test_inference_without_gradients_is_one_program() -> None:
    network = Perceptron()
    net = tw.compile(network.forward)
    x, _ = batch()
    with tw.no_grad():
        found = net(x)
    assert not found.requires_grad
    np.testing.assert_allclose(found.numpy(), network.forward(x).detach().numpy(), rtol=1e-12)
    assert only_program(net).is_native


def test_a_compiled_function_inside_another_is_part_of_its_program() -> None:
    inner = tw.compile(lambda x: x * 2)
    outer = tw.compile(lambda x: inner(x) + 1)
    assert outer(tw.ones(2)).tolist() == [3, 3]
    assert not inner._programs


@dataclasses.dataclass
class Pair:
    first: tw.Tensor
    second: tw.Tensor


def test_nested_arguments_and_results() -> None:
    @tw.compile
    def step(data: dict, pair: Pair, *rest: tw.Tensor, scale: float) -> dict:
        return {"sum": data["x"] + pair.first, "pair": Pair(pair.second * scale, rest[0]), "name": "kept"}

    result = step({"x": tw.ones(2)}, Pair(tw.ones(2), tw.ones(1)), tw.zeros(1), scale=4.0)
    assert result["sum"].tolist() == [2, 2]
    assert result["pair"].first.tolist() == [4]
    assert result["name"] == "kept"


def test_views_and_in_place_writes_inside_reach_cells_outside() -> None:
    buffer = tw.zeros(3, 2)
    row = buffer[1]

    @tw.compile
    def write(x: tw.Tensor) -> tw.Tensor:
        buffer[0] = x
        row.add_(x * 10)
        return buffer.sum()

    assert write(tw.tensor([1.0, 2.0])).item() == 33
    assert buffer.tolist() == [[1, 2], [10, 20], [0, 0]]
    assert row.tolist() == [10, 20]
    assert write(tw.tensor([1.0, 2.0])).item() == 63


@pytest.mark.parametrize(
    "look",
    [
        lambda t: t.item(), lambda t: bool(t > 0), lambda t: float(t), lambda t: t.numpy(), lambda t: t.tolist(),
        lambda t: np.asarray(t), lambda t: list(range(int(t))), lambda t: t[t > 0], lambda t: t.nonzero(),
    ],
)  # fmt: skip
def test_looking_at_a_value_inside_is_an_error_with_line_and_remedy(look: Callable[[tw.Tensor], object]) -> None:
    step = tw.compile(lambda x: look(x.sum()))
    with pytest.raises(TraceError, match=r"(?s)test_compile\.py:\d+.*remedy"):
        step(tw.ones(2))
    assert tw.ones(2).sum().item() == 2, "the failed trace is over"


def test_more_than_eight_signatures_warn_and_name_the_argument() -> None:
    step = tw.compile(lambda x, y: x + y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for n in range(1, 9):
            step(tw.ones(n), tw.ones(1))
    with pytest.warns(UserWarning, match="argument 0"):
        step(tw.ones(9), tw.ones(1))


def test_bad_labels_raise_the_numpy_error_and_change_no_cell() -> None:
    network = Perceptron()
    step = tw.compile(network.step)
    x, y = batch()
    step(x, y)
    before = network.values()
    bad = y.clone()
    bad[3] = 7
    with pytest.raises(IndexRangeError, match="7"):
        step(x, bad)
    for a, b in zip(before, network.values(), strict=True):
        np.testing.assert_array_equal(a, b)
    step(x, y)


def test_equal_structures_share_one_program() -> None:
    x, y = batch()
    tw.compile(Perceptron().step)(x, y)
    count = programs.compiled_count()
    tw.compile(Perceptron().step)(x, y)
    assert programs.compiled_count() == count


def test_a_tensor_that_leaks_out_of_a_trace_says_so() -> None:
    leaked = []
    step = tw.compile(lambda x: leaked.append(x * 2))
    step(tw.ones(2))
    with pytest.raises(TraceError, match="inside a compiled step"):
        leaked[0].tolist()


def test_a_returning_structure_is_compiled_also_without_the_decorator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lazy, "COMPILE_AFTER", 200)
    plain, other = Perceptron((5, 9, 3)), Perceptron((5, 9, 3))
    step = tw.compile(other.step)
    x, y = batch()
    before = programs.compiled_count()
    for _ in range(6):
        plain.step(x, y)
        flush()
        step(x, y)
    # Undecorated: forward and backward pass, run by `backward`, and the update, run when its values are needed.
    assert programs.compiled_count() == before + 3
    for a, b in zip(plain.values(), other.values(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10)


# --- the warm path: a step holds its cells by address until somebody touches them -------------------------------------


def warm_pair() -> tuple[Perceptron, Step, Perceptron, tw.Tensor, tw.Tensor]:
    """A compiled step on its warm path, and its uncompiled twin after as many steps."""
    traced, plain = Perceptron(), Perceptron()
    step = tw.compile(traced.step)
    x, y = batch()
    for _ in range(3):
        step(x, y), plain.step(x, y)
        flush()
    assert step._warm is not None
    return traced, step, plain, x, y


def is_warm(step: Step) -> bool:
    warm = step._warm
    return warm is not None and warm.touches == Touches.number and warm.version == Version.number


def assert_same_after_a_step(pair: tuple) -> None:
    traced, step, plain, x, y = pair
    step(x, y), plain.step(x, y)
    for a, b in zip(traced.values(), plain.values(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9)


def test_looking_at_a_weight_copies_it_and_leaves_the_step_warm() -> None:
    pair = traced, step, _, _, _ = warm_pair()
    seen, listed = np.asarray(traced.parameters[0]), traced.parameters[1].tolist()
    assert is_warm(step)
    assert_same_after_a_step(pair)
    assert (seen != traced.parameters[0].detach().numpy()).any()
    assert listed != traced.parameters[1].tolist()


@pytest.mark.parametrize(
    "touch",
    [
        lambda n: n.parameters[0].mul_(2.0),
        lambda n: n.parameters[1].copy_(tw.ones(8)),
        lambda n: n.parameters[0][1:3].fill_(0.5),
        lambda n: n.lr.fill_(0.3),
        lambda n: n.first[0].zero_(),
        lambda n: n.steps.zero_(),
        lambda n: n.zero_grad(),
        lambda n: setattr(n.parameters[2], "data", tw.zeros(3, 8, dtype="float64")),
    ],
)
def test_whatever_is_written_between_calls_takes_effect(touch: Callable[[Perceptron], object]) -> None:
    pair = traced, _, plain, _, _ = warm_pair()
    with tw.no_grad():
        touch(traced), touch(plain)
    assert_same_after_a_step(pair)
    assert_same_after_a_step(pair)


@pytest.mark.parametrize(
    "hold",
    [
        lambda n: n.parameters[0] * 2.0,
        lambda n: n.parameters[0].detach().clone(),
        lambda n: n.parameters[0].T[1] + 0.0,
        lambda n: tw.stack(list(n.parameters[:1])),
        lambda n: n.forward(tw.ones(2, 5, dtype="float64")),
    ],
)
def test_pending_work_that_reads_a_cell_keeps_the_old_value(hold: Callable[[Perceptron], tw.Tensor]) -> None:
    pair = traced, _, plain, _, _ = warm_pair()
    held, expected = hold(traced), hold(plain).detach().numpy()
    assert_same_after_a_step(pair)
    np.testing.assert_allclose(held.detach().numpy(), expected, rtol=1e-9)
    assert_same_after_a_step(pair)


def test_two_steps_may_hold_the_same_cells() -> None:
    pair = traced, _, plain, x, y = warm_pair()
    evaluate = tw.compile(traced.loss)
    with tw.no_grad():
        for _ in range(3):
            assert evaluate(x, y).item() == pytest.approx(plain.loss(x, y).item(), rel=1e-9)
    for _ in range(2):
        assert_same_after_a_step(pair)
        with tw.no_grad():
            assert evaluate(x, y).item() == pytest.approx(plain.loss(x, y).item(), rel=1e-9)


def test_two_networks_of_one_structure_share_a_program_but_no_cells() -> None:
    first, second = warm_pair(), warm_pair()
    assert_same_after_a_step(first)
    assert_same_after_a_step(second)
    assert_same_after_a_step(first)
    assert (first[0].values()[0] != second[0].values()[0]).any()


def test_results_of_earlier_calls_do_not_change() -> None:
    _, step, _, x, y = warm_pair()
    losses = [step(x, y) for _ in range(3)]
    assert len({loss.item() for loss in losses}) == 3


def test_a_cell_passed_as_an_argument_is_not_its_own_input() -> None:
    scale = tw.tensor([2.0, 3.0])

    @tw.compile
    def step(x: tw.Tensor) -> tw.Tensor:
        with tw.no_grad():
            scale.add_(1.0)
        return (x * scale).sum()

    for expected in (3 + 4, 4 + 5, 5 + 6):
        assert step(tw.ones(2)).item() == expected
    assert step(scale).item() == 5 * 6 + 6 * 7
    assert step(scale).item() == 6 * 7 + 7 * 8


def test_other_arguments_take_the_long_way_and_come_back() -> None:
    _, step, plain, x, y = warm_pair()
    for n in (16, 7, 16, 16):
        x, y = batch(n)
        assert step(x, y).item() == pytest.approx(plain.step(x, y).item(), rel=1e-9)
        flush()
    assert step(x.detach().numpy(), y.numpy()).item() == pytest.approx(plain.step(x, y).item(), rel=1e-9)


def test_bad_labels_on_the_warm_path_raise_and_change_nothing() -> None:
    pair = traced, step, _, x, y = warm_pair()
    before = traced.values()
    bad = y.clone()
    bad[3] = 9
    bad.tolist()
    with pytest.raises(IndexRangeError, match="9"):
        step(x, bad)
    for a, b in zip(before, traced.values(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert_same_after_a_step(pair)


def test_part_of_a_view_from_outside_is_seen_as_it_is_now():
    base = tw.arange(6.0)
    view = base.reshape(2, 3).transpose(0, 1)
    step = tw.compile(lambda x: x + view[:2])
    np.testing.assert_array_equal(step(tw.ones(1)).numpy(), [[1.0, 4.0], [2.0, 5.0]])
    base[0] = 9.0
    np.testing.assert_array_equal(step(tw.ones(1)).numpy(), [[10.0, 4.0], [2.0, 5.0]])
