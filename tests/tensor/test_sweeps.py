"""Undecorated loops: forward and backward pass come to run as one program, and nothing else about them changes.

In: the same loop with and without the programs that returning structures get. Out: equal numbers, equal errors, few
nodes and few compilations.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import thalweg as tw
import thalweg.nn.functional as F
from thalweg import nn, optim
from thalweg.compile.executable import compiled_count
from thalweg.errors import GradientError
from thalweg.graph import next_serial
from thalweg.tensor import lazy, sweeps

Loop = Callable[["Network"], list[float]]


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Structures are compiled when they come for the second time; the sizes of the sweeps that ran at once."""
    monkeypatch.setattr(lazy, "COMPILE_AFTER", 0)
    found: list[int] = []
    run = sweeps.Sweep.run

    def counted(self: sweeps.Sweep, survey: sweeps.Survey) -> object:
        found.append(len(survey.inner))
        return run(self, survey)

    monkeypatch.setattr(sweeps.Sweep, "run", counted)
    return found


class Network:
    """A small network in float64 with its optimizer and eight batches."""

    def __init__(self, *between: nn.Module) -> None:
        tw.manual_seed(3)
        # No bias in front of batch normalisation: its gradient is 0 but for rounding, which Adam would magnify.
        self.model = nn.Sequential(nn.Linear(4, 6, bias=not between), *between, nn.ReLU(), nn.Linear(6, 3)).double()
        self.optimizer = optim.Adam(self.model.parameters(), lr=0.05)
        draw = np.random.default_rng(4)
        self.batches = [(tw.tensor(draw.normal(size=(5, 4))), tw.tensor(draw.integers(0, 3, 5))) for _ in range(8)]

    def loss(self, x: tw.Tensor, y: tw.Tensor) -> tw.Tensor:
        return F.cross_entropy(self.model(x), y)

    def values(self) -> list[np.ndarray]:
        return [each.detach().numpy() for each in (*self.model.parameters(), *self.model.buffers())]


def simple(network: Network) -> list[float]:
    losses = []
    for x, y in network.batches:
        network.optimizer.zero_grad()
        loss = network.loss(x, y)
        loss.backward()
        network.optimizer.step()
        losses.append(loss.item())
    return losses


def with_results_kept(network: Network) -> list[float]:
    losses, kept = [], []
    for x, y in network.batches:
        network.optimizer.zero_grad()
        out = network.model(x)
        loss = F.cross_entropy(out, y)
        loss.backward()
        network.optimizer.step()
        kept.append(out)
        losses.append(loss.item() + out.sum().item())
    return losses + [each.sum().item() for each in kept]


def accumulated(network: Network) -> list[float]:
    losses = []
    for index, (x, y) in enumerate(network.batches):
        loss = network.loss(x, y) / 2
        loss.backward()
        if index % 2:
            network.optimizer.step()
            network.optimizer.zero_grad()
        losses.append(loss.item())
    return losses


def clipped(network: Network) -> list[float]:
    losses = []
    for x, y in network.batches:
        network.optimizer.zero_grad()
        network.loss(x, y).backward()
        losses.append(nn.utils.clip_grad_norm_(network.model.parameters(), 0.5).item())
        network.optimizer.step()
    return losses


def by_hand(network: Network) -> list[float]:
    losses = []
    for x, y in network.batches * 2:
        loss = network.loss(x, y)
        loss.backward()
        with tw.no_grad():
            for each in network.model.parameters():
                each -= 0.1 * each.grad
                each.grad = None
        losses.append(loss.item())
    return losses


def looked_at_first(network: Network) -> list[float]:
    losses = []
    for x, y in network.batches:
        network.optimizer.zero_grad()
        loss = network.loss(x, y)
        losses.append(loss.item())
        loss.backward()
        network.optimizer.step()
    return losses


def twice_through(network: Network) -> list[float]:
    losses = []
    for x, y in network.batches:
        network.optimizer.zero_grad()
        loss = network.loss(x, y)
        loss.backward(retain_graph=True)
        loss.backward()
        network.optimizer.step()
        losses.append(loss.item())
    return losses


def with_a_cotangent(network: Network) -> list[float]:
    losses = []
    for x, _ in network.batches:
        network.optimizer.zero_grad()
        out = network.model(x)
        out.backward(x[:, :3] * 2)
        network.optimizer.step()
        losses.append(out.sum().item())
    return losses


def with_a_hidden_gradient(network: Network) -> list[float]:
    found = []
    for x, y in network.batches:
        network.optimizer.zero_grad()
        hidden = network.model[0](x)
        hidden.retain_grad()
        F.cross_entropy(network.model[1:](hidden), y).backward()
        network.optimizer.step()
        found += hidden.grad.flatten().tolist()
    return found


def frozen_half_way(network: Network) -> list[float]:
    losses = []
    for index, (x, y) in enumerate(network.batches):
        network.model[0].requires_grad_(index < 4)
        network.optimizer.zero_grad()
        loss = network.loss(x, y)
        loss.backward()
        network.optimizer.step()
        losses.append(loss.item())
    return losses


def against_each_other(network: Network) -> list[float]:
    """Two losses over one graph, as adversarial training has them."""
    losses = []
    for x, y in network.batches:
        network.optimizer.zero_grad()
        out = network.model(x)
        first, second = F.cross_entropy(out, y), (out.detach() * out).mean()
        first.backward(retain_graph=True)
        second.backward()
        network.optimizer.step()
        losses += [first.item(), second.item()]
    return losses


def with_penalties(network: Network) -> list[float]:
    """Gradients that are differentiated again are part of the graph, as ever."""
    losses = []
    for x, y in network.batches:
        network.optimizer.zero_grad()
        loss = network.loss(x, y)
        found = tw.grad(loss, list(network.model.parameters()), create_graph=True)
        total = loss + 0.1 * sum((each * each).sum() for each in found)
        total.backward()
        network.optimizer.step()
        losses.append(total.item())
    return losses


LOOPS = [
    simple, with_results_kept, accumulated, clipped, by_hand, looked_at_first, twice_through, with_a_cotangent,
    with_a_hidden_gradient, frozen_half_way, against_each_other, with_penalties,
]  # fmt: skip


@pytest.mark.parametrize("loop", LOOPS, ids=lambda loop: loop.__name__)
@pytest.mark.parametrize("between", [(), (nn.BatchNorm1d, nn.Dropout)], ids=["plain", "with state"])
def test_a_loop_gives_the_same_numbers_run_at_once(
    loop: Loop, between: tuple, runs: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def layers() -> list[nn.Module]:
        return [kind(6) if kind is nn.BatchNorm1d else kind(0.25) for kind in between]

    network = Network(*layers())
    losses = loop(network)
    assert runs
    monkeypatch.setattr(lazy, "COMPILE_AFTER", 10**12)
    other = Network(*layers())
    np.testing.assert_allclose(losses, loop(other), rtol=1e-8, atol=1e-12)
    for a, b in zip(network.values(), other.values(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-10)


def test_gradients_are_there_at_once_and_are_each_tensors_own(runs: list[int]) -> None:
    network = Network()
    for x, y in network.batches:
        network.optimizer.zero_grad()
        network.loss(x, y).backward()
    assert runs
    before = [each.grad for each in network.model.parameters()]
    values = [each.numpy() for each in before]
    assert all(each.node.value is not None for each in before)
    network.optimizer.zero_grad()
    network.loss(*network.batches[0]).backward()
    for each, value in zip(before, values, strict=True):  # the buffers of gradients that somebody holds are not reused
        np.testing.assert_array_equal(each.numpy(), value)
    before[0].zero_()
    assert network.model[0].weight.grad.abs().sum().item() > 0


# --- errors ----------------------------------------------------------------------------------------------------------


def test_a_bad_label_raises_and_changes_nothing(runs: list[int]) -> None:
    network = Network()
    simple(network)
    before, (x, _) = network.values(), network.batches[0]
    network.optimizer.zero_grad()
    network.loss(x, tw.tensor([0, 1, 7, 0, 0])).backward()
    with pytest.raises(IndexError, match="class label"):
        network.optimizer.step()
    for a, b in zip(network.values(), before, strict=True):
        np.testing.assert_array_equal(a, b)
    simple(network)


def test_a_graph_is_used_once(runs: list[int]) -> None:
    network = Network()
    simple(network)
    out = network.model(network.batches[0][0])
    loss = F.cross_entropy(out, network.batches[0][1])
    loss.backward()
    with pytest.raises(GradientError, match="a second time"):
        loss.backward()
    with pytest.raises(GradientError, match="a second time"):
        out.sum().backward()


def test_a_weight_that_was_updated_cannot_be_swept_again(runs: list[int]) -> None:
    network = Network()
    for x, y in network.batches:
        loss = network.loss(x, y)
        loss.backward(retain_graph=True)
        network.optimizer.step()
        with pytest.raises(GradientError, match="overwritten in place"):
            loss.backward()
    assert runs


@pytest.mark.parametrize("is_early", [False, True])
def test_an_overwritten_value_raises_where_it_is_needed_and_only_there(runs: list[int], is_early: bool) -> None:
    w = tw.tensor([1.0, 2.0], requires_grad=True)
    for _ in range(4):
        h = w * 3
        if is_early:
            h += 1
        y = h.exp() * h
        if not is_early:
            h += 1
        if is_early:
            y.sum().backward()
        else:
            with pytest.raises(GradientError, match="overwritten in place"):
                y.sum().backward()
    assert bool(runs) is is_early


def test_in_place_activations_run_at_once(runs: list[int]) -> None:
    tw.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.ReLU(inplace=True), nn.Linear(6, 1))
    x = tw.ones(3, 4)
    for _ in range(5):
        model.zero_grad()
        model(x).sum().backward()
    assert len(runs) == 3  # the first two also drew the weights


def test_nothing_to_differentiate_by_is_an_error_every_time(runs: list[int]) -> None:
    w = tw.ones(2, requires_grad=True)
    for _ in range(4):
        loss = (w * 2).sum()
        w.requires_grad_(False)
        with pytest.raises(GradientError, match="nothing to differentiate by"):
            loss.backward()
        w.requires_grad_()


def test_debugging_modes_evaluate_operation_by_operation(runs: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    network = Network()
    simple(network)
    runs.clear()
    with tw.detect_anomaly():
        simple(network)
    monkeypatch.setattr(lazy, "eager", True)
    simple(network)
    assert not runs


# --- budgets ---------------------------------------------------------------------------------------------------------


def nodes_of_a_step(network: Network) -> int:
    network.batches = network.batches[:1]
    before = next_serial()
    simple(network)
    return next_serial() - before - 1


def test_a_step_makes_the_nodes_of_its_forward_pass_and_no_others(runs: list[int]) -> None:
    network = Network()
    simple(network)
    assert 20 <= nodes_of_a_step(network) <= 40


def test_a_loop_is_two_programs(runs: list[int]) -> None:
    network, before = Network(), compiled_count()
    for _ in range(3):
        simple(network)
    assert compiled_count() - before <= 2


def test_a_few_passes_are_not_compiled() -> None:
    network, before = Network(), compiled_count()
    simple(network)
    assert compiled_count() == before


def test_a_loop_over_time_comes_to_run_as_one_program(runs: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """The program of a recurrent layer's step is traced anew every time, and is the same structure."""

    def losses() -> list[float]:
        tw.manual_seed(0)
        layer, x = nn.LSTM(2, 3).double(), tw.tensor(np.random.default_rng(0).normal(size=(5, 2, 2)))
        optimizer, found = optim.SGD(layer.parameters(), lr=0.1), []
        for _ in range(5):
            optimizer.zero_grad()
            loss = layer(x)[0].square().mean()
            loss.backward()
            optimizer.step()
            found.append(loss.item())
        return found

    first = losses()
    assert len(runs) == 4  # all but the first
    monkeypatch.setattr(lazy, "eager", True)
    np.testing.assert_allclose(first, losses(), rtol=1e-9)


def rolled(network: Network, looks: bool) -> list[np.ndarray]:
    """The gradients of eight passes through a loop over time, whose result may have been read before."""
    found = []
    for x, _ in network.batches:
        w = tw.tensor(network.model[0].weight[:4].detach().numpy(), requires_grad=True)
        state, outputs = tw.scan(lambda h, row, w=w: ((h @ w + row).tanh(),) * 2, tw.zeros(4, dtype=tw.float64), x)
        if looks:
            state.sum().item()
        ((outputs * outputs).sum() + state.sum()).backward()
        found.append(w.grad.numpy().copy())
    return found


@pytest.mark.parametrize("looks", [False, True])
def test_a_loop_over_time_whose_results_are_known_already(looks: bool, runs: list[int]) -> None:
    compiled = rolled(Network(), looks)
    assert runs
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lazy, "COMPILE_AFTER", 10**12)
        expected = rolled(Network(), looks)
    for mine, meant in zip(compiled, expected, strict=True):
        np.testing.assert_allclose(mine, meant, rtol=1e-9)
