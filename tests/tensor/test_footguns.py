"""The footguns of tracing compilers, clause by clause of design rule 5 ("mutable state lives in one kind of cell").

In: real steps with `nn` and `optim`. Out: for every clause at least one test, here or where the table says; a test that
the table names and that is gone fails.
"""

from __future__ import annotations

import itertools
import re
import weakref
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import thalweg as tw
import thalweg.nn.functional as F
from tests.support.compiled import arrays_of, assert_all_agree, executables
from thalweg import nn, optim
from thalweg.compile.executable import compiled_count
from thalweg.errors import GradientError, IndexRangeError, ThalwegError, TraceError
from thalweg.optim import schedules
from thalweg.tensor.core import flush

TESTS = Path(__file__).resolve().parent.parent

# What the design says -> where it is held. Names without a file are in this one.
CLAUSES = {
    "traces the Python function once per signature": ["test_the_python_runs_once_for_each_signature"],
    "every cell read becomes an input": ["test_every_cell_that_is_read_is_an_input", "tensor/test_compile.py::"
        "test_captured_tensors_and_arrays_stay_live"],
    "every cell written an output in place": ["test_parameters_buffers_and_state_stay_where_they_are",
        "tensor/test_compile.py::test_parameters_are_written_in_place", "test_cells_may_trade_places",
        "test_a_cell_that_is_set_to_a_number_is_written_by_every_call",
        "test_a_cell_may_be_replaced_where_its_old_value_is_still_read"],
    "so a schedule never recompiles": ["test_schedules_rates_and_betas_never_compile_again",
        "optim/test_optimizer_contract.py::"
        "test_a_new_learning_rate_reaches_a_compiled_step_without_a_second_compilation"],
    "Python floats passed as arguments are 0-d inputs": [
        "tensor/test_compile.py::test_a_float_argument_is_an_input_and_an_int_is_static"],
    "what decides shapes is static": ["test_what_decides_shapes_is_static",
        "test_a_number_that_decides_the_computation_is_not_taken_as_an_argument"],
    "Closed-over tensors and arrays are live inputs, never frozen constants": [
        "tensor/test_compile.py::test_captured_tensors_and_arrays_stay_live", "test_a_rebound_closure_is_seen"],
    "writing a non-cell attribute during a trace raises": ["test_writing_an_attribute_inside_a_step_raises"],
    "raised by train(), eval()": ["test_train_and_eval_switch_dropout_and_batch_norm",
        "nn/test_module.py::test_train_and_eval_switch_a_compiled_network"],
    "requires_grad_": ["test_freezing_a_layer_takes_effect",
        "tensor/test_compile.py::test_a_rebound_gradient_requirement_is_seen"],
    "attribute and cell rebinding": ["test_a_replaced_layer_or_weight_takes_effect"],
    "param_groups changes": ["test_a_group_added_later_takes_effect"],
    "A ragged last batch is a second signature at its exact size": ["test_a_ragged_last_batch_is_never_padded",
        "tensor/test_compile.py::test_a_short_last_batch_is_a_second_signature_at_its_exact_size"],
    "More than eight signatures of one function warn and name the argument": [
        "tensor/test_compile.py::test_more_than_eight_signatures_warn_and_name_the_argument"],
    "Shapes that depend on values raise a TraceError that names where": [
        "test_a_shape_that_depends_on_values_names_where"],
    ".item(), bool(t) and the like, with line and remedy": [
        "tensor/test_compile.py::test_looking_at_a_value_inside_is_an_error_with_line_and_remedy"],
    "Gradients are written out unless the same program both cleared and consumed them": [
        "test_gradients_are_written_out_unless_cleared_and_used_up",
        "tensor/test_compile.py::test_gradients_accumulate_over_calls_that_do_not_clear_them"],
    "reading .grad raises and names keep_gradients=True. It is never stale": [
        "tensor/test_compile.py::test_gradients_used_up_inside_are_never_stale",
        "test_a_gradient_from_before_the_step_is_not_what_is_read_after_it"],
    "A compiled call is one node of the caller's graph": ["test_loss_around_a_compiled_network_trains_it",
        "tensor/test_compile.py::test_a_compiled_call_is_differentiable"],
    "Nothing detaches silently": ["test_nothing_detaches_silently", "test_second_derivatives_pass_a_compiled_call"],
    "an in-place write is made functional and reaches the base and all live views": [
        "tensor/test_compile.py::test_views_and_in_place_writes_inside_reach_cells_outside",
        "test_views_made_outside_see_what_a_step_writes"],
    "A value saved for backward and then overwritten raises": ["test_a_value_saved_and_then_overwritten_raises_inside"],
    "What is not supported raises": ["test_what_cannot_be_traced_raises"],
    # style.md, point 6
    "dropout differs from step to step": ["test_dropout_differs_from_step_to_step_and_repeats_with_the_seed"],
    "aliased outputs": ["tensor/test_compile.py::test_outputs_that_alias_an_input_or_each_other",
        "test_a_result_that_is_a_cell_keeps_its_value"],
    "shared parameters": ["test_tied_weights_collect_both_gradients"],
    "the message names the argument that caused a re-trace": [
        "tensor/test_compile.py::test_more_than_eight_signatures_warn_and_name_the_argument"],
    "state is written only if all data were good": ["test_bad_labels_change_nothing_anywhere"],
}  # fmt: skip


def test_every_clause_has_its_tests() -> None:
    for clause, names in CLAUSES.items():
        for name in names:
            file, _, test = name.rpartition("::")
            text = (TESTS / file).read_text() if file else Path(__file__).read_text()
            assert re.search(rf"^def {test}\(", text, re.MULTILINE), (clause, name)


# --- steps -----------------------------------------------------------------------------------------------------------


class Training:
    """A network with every kind of cell: parameters, running statistics, dropout's generator, Adam's state."""

    def __init__(self, *, is_compiled: bool = True, seed: int = 1, **options: object) -> None:
        tw.manual_seed(seed)
        layers = nn.Linear(4, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.25), nn.Linear(8, 3)
        self.model = nn.Sequential(*layers).double()
        self.optimizer = optim.Adam(self.model.parameters(), **{"lr": 0.01, **options})  # type: ignore[arg-type]
        self.traces = 0
        self.step = tw.compile(self._step) if is_compiled else self._step

    def _step(self, x: tw.Tensor, y: tw.Tensor) -> tw.Tensor:
        self.__dict__["traces"] += 1
        self.optimizer.zero_grad()
        loss = F.cross_entropy(self.model(x), y)
        loss.backward()
        self.optimizer.step()
        return loss

    def cells(self) -> list[tw.Tensor]:
        state = [value for each in self.model.parameters() for value in self.optimizer.state.get(each, {}).values()]
        return [*self.model.parameters(), *self.model.buffers(), *state]

    def values(self) -> list[np.ndarray]:
        flush()
        return arrays_of(self.cells())


def batch(n: int = 8, seed: int = 0) -> tuple[tw.Tensor, tw.Tensor]:
    generator = np.random.default_rng(seed)
    return tw.tensor(generator.normal(size=(n, 4))), tw.tensor(generator.integers(0, 3, n))


def assert_steps_agree(change: Callable[[Training], object], sizes: tuple[int, ...] = (8, 8, 8)) -> Training:
    """A compiled and a plain training, warmed up, changed alike, then going on alike."""
    found, meant = Training(), Training(is_compiled=False)
    for training in (found, meant):
        tw.manual_seed(5)
        for index, n in enumerate((8, 8, 8, None, *sizes)):
            change(training) if n is None else training.step(*batch(n, index))
    assert_all_agree(found.values(), meant.values(), 1e-9)
    return found


# --- tracing ---------------------------------------------------------------------------------------------------------


def test_the_python_runs_once_for_each_signature() -> None:
    training, before = Training(), compiled_count()
    for n in (8, 8, 5, 8, 5, 8):
        training.step(*batch(n))
    assert training.traces == 2
    assert len(executables(training.step)) == 2
    assert compiled_count() - before <= 2
    assert all(executable.is_native for executable in executables(training.step))


def test_every_cell_that_is_read_is_an_input() -> None:
    """Whoever writes a cell between two calls is heard, whatever kind of cell it is."""

    def change(training: Training) -> None:
        with tw.no_grad():
            for cell in training.cells():
                if cell.is_floating_point():
                    cell.mul_(0.5)

    assert_steps_agree(change)


def test_parameters_buffers_and_state_stay_where_they_are() -> None:
    training = Training()
    training.step(*batch())
    training.step(*batch())
    places = [cell._node.value.ctypes.data for cell in training.cells()]
    before = training.values()
    training.step(*batch())
    assert [cell._node.value.ctypes.data for cell in training.cells()] == places
    assert all((a != b).any() for a, b in zip(before, training.values(), strict=True))


def test_cells_may_trade_places() -> None:
    a, b, c = (tw.tensor([float(i), float(-i)]) for i in (1, 2, 3))

    @tw.compile
    def rotate() -> None:
        kept = a.clone()
        a.copy_(b)
        b.copy_(c)
        c.copy_(kept)

    for turn in range(1, 5):
        rotate()
        assert [each.tolist()[0] for each in (a, b, c)] == [(i + turn) % 3 + 1 for i in range(3)]


def test_cells_trade_places_where_a_program_runs_on_numpy() -> None:
    a, b = tw.tensor([1.0, 2.0]), tw.tensor([3.0, 4.0])

    @tw.compile
    def swap(x: tw.Tensor) -> tuple[tw.Tensor, tw.Tensor]:
        kept = a.clone()
        a.copy_(b)
        b.copy_(kept)
        return kept, x.sort()[0]

    for expected in ([1, 2], [3, 4], [1, 2]):
        kept, _ = swap(tw.tensor([2.0, 1.0]))
        assert kept.tolist() == b.tolist() == expected


def test_a_cell_that_is_set_to_a_number_is_written_by_every_call() -> None:
    for value, total in itertools.product((0.0, -2.5), (tw.zeros(5), tw.zeros((), dtype="float64"))):

        @tw.compile
        def add(x: float, total: tw.Tensor = total) -> None:
            total.add_(x)

        @tw.compile
        def reset(total: tw.Tensor = total, value: float = value) -> None:
            total.fill_(value)

        for _ in range(4):
            add(1.0)
            add(2.0)
            assert (total != value).all()
            reset()
            assert (total == value).all()


def test_a_flag_is_set_by_every_call() -> None:
    seen = tw.tensor([False, True, False])

    @tw.compile
    def mark(x: tw.Tensor) -> tw.Tensor:
        seen.fill_(True)
        return x * 2

    @tw.compile
    def flip(x: tw.Tensor) -> tw.Tensor:
        seen.copy_(seen.logical_not())
        return x + 1

    for _ in range(4):
        mark(tw.ones(2))
        assert seen.all()
        flip(tw.ones(2))
        assert not seen.any()


@pytest.mark.parametrize("n", [1, 5, 64])
def test_a_cell_may_be_replaced_where_its_old_value_is_still_read(n: int) -> None:
    last = tw.zeros(n, dtype="float64")

    @tw.compile
    def difference(x: tw.Tensor) -> tw.Tensor:
        before = last.clone()
        last.copy_(x.tanh())
        return x + before

    expected = np.zeros(n)
    for step in range(4):
        x = np.linspace(-1, 1, n) * (step + 1)
        np.testing.assert_allclose(difference(tw.tensor(x)).numpy(), x + expected, rtol=1e-12)
        expected = np.tanh(x)
        np.testing.assert_allclose(last.numpy(), expected, rtol=1e-12)


def test_a_result_that_is_a_cell_keeps_its_value() -> None:
    count = tw.zeros(2)

    @tw.compile
    def step(x: tw.Tensor) -> tuple[tw.Tensor, tw.Tensor]:
        before = count * 1.0
        count.add_(x)
        return before, count

    results = [step(tw.ones(2)) for _ in range(4)]
    assert [[part.tolist()[0] for part in each] for each in results] == [[i, i + 1] for i in range(4)]


# --- numbers that change ---------------------------------------------------------------------------------------------


def test_a_cell_that_is_only_returned_is_an_input() -> None:
    cell = tw.tensor([1.0, 2.0])
    step = tw.compile(lambda x: (x * 2.0, cell))
    for value in (1.0, 5.0):
        cell.fill_(value)
        assert [each.tolist() for each in step(tw.ones(1))] == [[2.0], [value, value]]


@pytest.mark.parametrize("is_warm", [False, True])
def test_a_pending_value_keeps_the_cell_that_another_step_only_reads(is_warm: bool) -> None:
    w, x = tw.ones(4, requires_grad=True), tw.ones(4)

    @tw.compile
    def write(x: tw.Tensor) -> tw.Tensor:
        with tw.no_grad():
            w.add_(x)
        return x.sum()

    @tw.compile
    def read(x: tw.Tensor) -> tw.Tensor:
        return (w.detach() * x).sum()

    for _ in range(3):
        write(x), read(x)
    pending = (
        w.detach() * 1.0
    )  # holds the cell; the step that only reads it must not hide that from the one that writes
    if is_warm:
        read(x)
    write(x)
    read(x)
    write(x)
    assert pending.tolist() == [4.0] * 4
    assert read(x).item() == 4 * 6.0


def test_schedules_rates_and_betas_never_compile_again() -> None:
    training, scheduled = Training(), Training(lr=schedules.OneCycle(max_lr=0.02, total_steps=50))
    training.step(*batch()), scheduled.step(*batch())
    count, traces = compiled_count(), training.traces
    for _ in range(5):
        scheduled.step(*batch())
    assert scheduled.traces == 1
    for changes in ({"lr": 0.5}, {"betas": (0.8, 0.9)}, {"eps": 1e-6}, {"lr": 0.0}, {"lr": 0.1, "betas": (0.0, 0.9)}):
        training.optimizer.param_groups[0].update(changes)
        training.step(*batch())
    assert (compiled_count(), training.traces) == (count, traces)


@pytest.mark.parametrize("changes", [{"lr": 0.3}, {"betas": (0.5, 0.6)}, {"eps": 0.1}, {"weight_decay": 0.2},
                                     {"maximize": True}, {"amsgrad": True}, {"lr": 0.0}], ids=str)  # fmt: skip
def test_a_changed_number_takes_effect_at_the_next_step(changes: dict) -> None:
    assert_steps_agree(lambda training: training.optimizer.param_groups[0].update(changes))


def test_what_decides_shapes_is_static() -> None:
    step = tw.compile(lambda x, n, dim: x.reshape(n, -1).sum(dim))
    x = tw.arange(12.0)
    for n, dim in ((3, 0), (4, 0), (3, 1), (3, 0)):
        np.testing.assert_array_equal(step(x, n, dim).numpy(), np.arange(12.0).reshape(n, -1).sum(dim))
    assert len(executables(step)) == 3


def test_a_number_that_decides_the_computation_is_not_taken_as_an_argument() -> None:
    """An infinite `p` means a maximum: as a traced input it would silently be a power."""
    x = tw.tensor([[3.0, -4.0]])
    with pytest.raises(ThalwegError, match="close over p"):
        tw.compile(lambda x, p: x.norm(p))(x, float("inf"))
    assert tw.compile(lambda x: x.norm(float("inf")))(x).item() == 4.0
    with pytest.raises(ThalwegError):
        tw.compile(lambda x, p: F.dropout(x, p))(x, 0.5)


def test_a_rebound_closure_is_seen() -> None:
    """A Python name that is bound to another tensor of the same signature."""
    holder = nn.Identity()
    holder.scale = tw.tensor([2.0])
    step = tw.compile(lambda x: x * holder.scale)
    assert step(tw.ones(1)).item() == 2.0
    holder.scale = tw.tensor([5.0])
    assert step(tw.ones(1)).item() == 5.0


def test_writing_an_attribute_inside_a_step_raises() -> None:
    class Counting(nn.Module):
        def forward(self, x: tw.Tensor) -> tw.Tensor:
            self.calls = 1
            return x

    module = Counting()
    with pytest.raises(TraceError, match="calls"):
        tw.compile(module)(tw.ones(2))
    assert not hasattr(module, "calls")


# --- guards ----------------------------------------------------------------------------------------------------------


def test_train_and_eval_switch_dropout_and_batch_norm() -> None:
    assert_steps_agree(lambda training: training.model.eval())
    assert_steps_agree(lambda training: training.model.eval().train())
    assert_steps_agree(lambda training: training.model[1].eval())


def test_freezing_a_layer_takes_effect() -> None:
    training = assert_steps_agree(lambda training: training.model[0].requires_grad_(False))
    assert training.traces == 2


def test_a_replaced_layer_or_weight_takes_effect() -> None:
    def replace_layer(training: Training) -> None:
        training.model[2] = nn.Tanh()

    def replace_weight(training: Training) -> None:
        training.model[0].weight.data = tw.ones(8, 4, dtype="float64")

    def load(training: Training) -> None:
        training.model.load_state_dict({k: v * 0.5 for k, v in training.model.state_dict().items()})

    for change in (replace_layer, replace_weight, load):
        assert_steps_agree(change)


def test_a_group_added_later_takes_effect() -> None:
    a, b = (tw.ones(2, requires_grad=True) for _ in range(2))
    optimizer = optim.SGD([a], lr=0.1)

    @tw.compile
    def step() -> None:
        optimizer.zero_grad()
        (a + b).sum().backward()
        optimizer.step()

    step()
    optimizer.add_param_group({"params": [b], "lr": 0.5})
    b.grad = None
    step()
    np.testing.assert_allclose([a[0].item(), b[0].item()], [0.8, 0.5], rtol=1e-6)


def test_a_ragged_last_batch_is_never_padded() -> None:
    training = assert_steps_agree(lambda training: None, sizes=(8, 3, 8, 8, 3, 2))
    assert training.traces == 3


# --- errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("look", [
    lambda x: x[x > 0], lambda x: (x > 0).nonzero(), lambda x: x.masked_select(x > 0), lambda x: tw.zeros(int(x[0])),
    lambda x: x.repeat_interleave(x.long()) if False else x[: int(x[0])],
])  # fmt: skip
def test_a_shape_that_depends_on_values_names_where(look: Callable[[tw.Tensor], tw.Tensor]) -> None:
    with pytest.raises(TraceError, match=r"(?s)where.*test_footguns\.py:\d+"):
        tw.compile(look)(tw.ones(3))
    with pytest.raises(TraceError, match=r"tw\.where"):
        tw.compile(look)(tw.ones(3))


def test_a_value_saved_and_then_overwritten_raises_inside() -> None:
    w = tw.ones(3, requires_grad=True)

    @tw.compile
    def step(x: tw.Tensor) -> tw.Tensor:
        y = (w * x).exp()
        loss = y.sum()
        y.mul_(2.0)
        loss.backward()
        return loss

    with pytest.raises(GradientError, match=r"overwritten|in place"):
        step(tw.ones(3))


def test_what_cannot_be_traced_raises() -> None:
    w = tw.ones(2, requires_grad=True)
    with pytest.raises(ThalwegError):  # a leaf that requires a gradient is not written outside no_grad
        tw.compile(lambda: w.add_(1.0))()
    assert tw.compile(lambda x: x + 1)(tw.ones(2)).tolist() == [2, 2], "the failed trace is over"
    assert w.tolist() == [1, 1]


def test_bad_labels_change_nothing_anywhere() -> None:
    training = Training()
    for _ in range(3):
        training.step(*batch())
    before, (x, y) = training.values(), batch()
    state = tw.default_generator.get_state() if hasattr(tw, "default_generator") else None
    bad = y.clone()
    bad[2] = 3
    with pytest.raises(IndexRangeError, match="class label out of range"):
        training.step(x, bad)
    for a, b in zip(training.values(), before, strict=True):
        np.testing.assert_array_equal(a, b)
    assert state is None or tw.default_generator.get_state() == state


# --- gradients -------------------------------------------------------------------------------------------------------


def test_gradients_are_written_out_unless_cleared_and_used_up() -> None:
    def gradients_after(clears: bool, uses: bool) -> bool:
        """Whether they can be read afterwards."""
        w = tw.ones(2, requires_grad=True)
        optimizer = optim.SGD([w], lr=0.1)

        @tw.compile
        def step(x: tw.Tensor) -> None:
            if clears:
                optimizer.zero_grad()
            (w * x).sum().backward()
            if uses:
                optimizer.step()

        step(tw.ones(2))
        try:
            return bool((w.grad == 1).all())
        except GradientError:  # that it names keep_gradients is tested below
            return False

    assert gradients_after(clears=True, uses=False)
    assert gradients_after(clears=False, uses=False)
    assert gradients_after(clears=False, uses=True)
    assert not gradients_after(clears=True, uses=True)


def test_a_gradient_from_before_the_step_is_not_what_is_read_after_it() -> None:
    training = Training()
    weight = training.model[0].weight
    (weight * 3.0).sum().backward()
    training.step(*batch())
    with pytest.raises(GradientError, match="keep_gradients=True"):
        _ = weight.grad
    weight.grad = None
    assert weight.grad is None


def test_loss_around_a_compiled_network_trains_it() -> None:
    found, meant = Training(is_compiled=False), Training(is_compiled=False)
    net = tw.compile(found.model)
    for index in range(4):
        x, y = batch(seed=index)
        for training, forward in ((found, net), (meant, meant.model)):
            tw.manual_seed(index)
            training.optimizer.zero_grad()
            F.cross_entropy(forward(x), y).backward()
            training.optimizer.step()
    assert_all_agree(found.values(), meant.values(), 1e-9)


def test_nothing_detaches_silently() -> None:
    w, x = tw.tensor([2.0], requires_grad=True), tw.tensor([3.0], requires_grad=True)
    double = tw.compile(lambda t: {"out": (t * w, t.detach() * w)})
    first, second = double(x)["out"]
    assert first.requires_grad
    assert second.requires_grad
    (first * second).sum().backward()
    assert (w.grad.item(), x.grad.item()) == (2 * 2 * 9, 2 * 2 * 3)
    with tw.no_grad():
        assert not double(x)["out"][0].requires_grad
    assert double(x)["out"][0].requires_grad


def test_second_derivatives_pass_a_compiled_call() -> None:
    cube = tw.compile(lambda t: t * t * t)
    x = tw.tensor(2.0, requires_grad=True)
    (first,) = tw.grad(cube(x), x, create_graph=True)
    (second,) = tw.grad(first, x)
    assert (first.item(), second.item()) == (12, 12)


@pytest.mark.parametrize("how", ["clears", "sweeps another", "sweeps another twice"])
def test_a_result_that_was_not_swept_stays_differentiable(how: str) -> None:
    """Whatever else the step did to gradients."""
    w, v = tw.tensor([2.0], requires_grad=True), tw.tensor([3.0], requires_grad=True)

    def step(x: tw.Tensor) -> tw.Tensor:
        w.grad = None
        for _ in range(["clears", "sweeps another", "sweeps another twice"].index(how)):
            (w * x).sum().backward()
        return (v * w * x).sum()

    compiled = tw.compile(step)
    for _ in range(3):
        outcomes = []
        for chosen in (step, compiled):
            v.grad = None
            result = chosen(tw.tensor([5.0]))
            (result * 2.0).backward()
            outcomes.append((result.item(), w.grad.item(), v.grad.item()))
        assert outcomes[0] == outcomes[1]


def test_gradients_that_are_never_cleared_collect_also_where_they_are_used() -> None:
    def train(is_compiled: bool) -> list[float]:
        w = tw.ones(1, requires_grad=True)
        optimizer = optim.SGD([w], lr=0.1)

        def step(x: tw.Tensor) -> None:
            (w * x).sum().backward()
            optimizer.step()

        chosen = tw.compile(step) if is_compiled else step
        return [(chosen(tw.ones(1)), w.item(), w.grad.item())[1:] for _ in range(4)]

    assert train(True) == train(False)


def test_tied_weights_collect_both_gradients() -> None:
    def train(is_compiled: bool) -> np.ndarray:
        tw.manual_seed(0)
        encoder, decoder = nn.Linear(5, 5, bias=False), nn.Linear(5, 5, bias=False)
        decoder.weight = encoder.weight
        optimizer = optim.SGD(encoder.parameters(), lr=0.1)

        def step(x: tw.Tensor) -> tw.Tensor:
            optimizer.zero_grad()
            loss = ((decoder(encoder(x).tanh()) - x) ** 2).mean()
            loss.backward()
            optimizer.step()
            return loss

        chosen = tw.compile(step) if is_compiled else step
        for _ in range(4):
            chosen(tw.ones(3, 5))
        flush()
        return encoder.weight.detach().numpy()

    np.testing.assert_allclose(train(True), train(False), rtol=1e-5)


# --- views, randomness, memory ---------------------------------------------------------------------------------------


def test_views_made_outside_see_what_a_step_writes() -> None:
    table = tw.zeros(3, 4)
    row, column, turned = table[1], table[:, 2], table.T

    @tw.compile
    def write(x: tw.Tensor) -> None:
        table[0] = x
        table[:, 2] += 10.0
        row.mul_(2.0)

    for _ in range(3):
        write(tw.arange(4.0))
    assert column.tolist() == table[:, 2].tolist() == [12.0, 140.0, 30.0]
    assert turned.tolist() == table.T.tolist()
    assert row.tolist() == [0.0, 0.0, 140.0, 0.0]


def test_dropout_differs_from_step_to_step_and_repeats_with_the_seed() -> None:
    dropout = tw.compile(nn.Dropout(0.5))

    def masks(seed: int) -> list[list[float]]:
        tw.manual_seed(seed)
        return [dropout(tw.ones(64)).tolist() for _ in range(3)]

    first = masks(1)
    assert len({tuple(mask) for mask in first}) == 3
    assert masks(1) == first
    assert masks(2) != first
    tw.manual_seed(1)
    plain = nn.Dropout(0.5)
    assert [plain(tw.ones(64)).tolist() for _ in range(3)] == first


def test_two_dropouts_of_one_step_draw_different_numbers() -> None:
    pair = tw.compile(lambda x: (F.dropout(x), F.dropout(x)))
    a, b = pair(tw.ones(64))
    assert a.tolist() != b.tolist()


def test_a_step_does_not_keep_its_arguments_alive() -> None:
    step = tw.compile(lambda x: x * 2)
    step(tw.ones(3))
    x = tw.ones(3) * 1.0
    x.tolist()
    held = weakref.ref(x)
    step(x)
    del x
    step(tw.ones(3))
    assert held() is None
