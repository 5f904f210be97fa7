"""Compiled steps are the default, and nobody has to know: callbacks run, gradients can be changed, odd models train."""

from __future__ import annotations

import math
import sys
import warnings

import numpy as np
import pytest

import thalweg as tw
from tests.support.training import classes, close, fitted, is_same, network, trainer, weights
from thalweg import callbacks as cb
from thalweg import nn, optim
from thalweg.errors import GradientError
from thalweg.tensor import lazy
from thalweg.tensor.trace import Step


def nothing(_):
    pass


# --- Python beside a compiled step -----------------------------------------------------------------------------------


@pytest.mark.parametrize("event", ["batch_begin", "loss", "gradients", "weights", "update", "slice_end", "batch_end"])
@pytest.mark.parametrize("every", [1, 3])
def test_a_callback_beside_the_step_changes_no_bit_and_no_number(event, every):
    seen = []
    listener = cb.LambdaCallback(every_steps=every, **{f"on_{event}": lambda t: seen.append(t.state.step)})
    assert is_same(fitted(listener), fitted())
    assert seen[-1] == 11 if event == "slice_end" else seen == list(range(0, 12, every))


def test_a_callback_in_the_step_sees_values_every_time():
    losses, norms = [], []

    def look(t):
        losses.append(t.state.loss.item())
        norms.append(math.sqrt(sum(float((p.grad.numpy() ** 2).sum()) for p in t.model.parameters())))

    measured = cb.GradientNorms()
    history = trainer(callbacks=[cb.LambdaCallback(on_gradients=look), measured]).fit(classes(), batch_size=20)
    assert losses == history.steps["loss"]
    together = np.sqrt(sum(np.square(values) for values in measured.norms.values()))
    np.testing.assert_allclose(norms, together, rtol=1e-5)


def halve_in_place(t):
    with tw.no_grad():
        for parameter in t.model.parameters():
            parameter.grad.mul_(0.5)


def halve_anew(t):
    for parameter in t.model.parameters():
        parameter.grad = parameter.grad * 0.5


@pytest.mark.parametrize("halve", [halve_in_place, halve_anew])
def test_a_callback_may_change_gradients(halve):
    changed = fitted(cb.LambdaCallback(on_gradients=halve), optimizer="sgd")
    assert close(changed[0], fitted(cb.LambdaCallback(on_gradients=halve), optimizer="sgd", compile=False)[0], 1e-4)
    assert not close(changed[0], fitted(optimizer="sgd")[0], 1e-4)


def test_a_callback_may_drop_a_gradient():
    def freeze(t):
        t.model[0].weight.grad = None

    made = trainer(callbacks=[cb.LambdaCallback(on_gradients=freeze)])
    before = weights(made.model)
    made.fit(classes(), epochs=2, batch_size=20)
    after = weights(made.model)
    assert np.array_equal(before["0.weight"], after["0.weight"])
    assert not np.array_equal(before["2.weight"], after["2.weight"])


@pytest.mark.parametrize("event", ["update", "batch_end"])
def test_who_is_called_after_a_step_finds_its_gradients(event):
    found = []
    for compile in (True, False):
        norms = []
        look = cb.LambdaCallback(**{f"on_{event}": lambda t, n=norms: n.append(t.model[0].weight.grad.numpy())})
        trainer(callbacks=[look], compile=compile, clip_norm=0.1).fit(classes(), batch_size=20)
        found.append(norms)
    np.testing.assert_allclose(found[0], found[1], rtol=1e-4, atol=1e-6)


def test_who_comes_too_late_for_gradients_is_told():
    look = cb.LambdaCallback(on_epoch_end=lambda t: t.model[0].weight.grad)
    with pytest.raises(GradientError, match="used up"):
        trainer(callbacks=[look]).fit(classes())


@pytest.mark.parametrize("compile", [True, False])
def test_training_leaves_no_gradients_to_add_to(compile):
    made = trainer(compile=compile)
    made.fit(classes())
    assert all(parameter.grad is None for parameter in made.model.parameters())


def test_the_programs_of_another_fit_are_not_taken_for_those_of_this_one():
    made = trainer()
    results = []
    for name in ("first", "second"):
        watch = cb.LambdaCallback(traced=True, on_loss=lambda t, n=name: t.state.watched.update({n: t.state.loss * 2}))
        results.append(made.fit(classes(), callbacks=[watch]).steps)
    assert "first" in results[0]
    assert "second" in results[1]
    assert "first" not in results[1]
    assert len(made.steps._programs) == 0


# --- what cannot be compiled -----------------------------------------------------------------------------------------


class Branching(nn.Module):
    def __init__(self):
        super().__init__()
        tw.manual_seed(0)
        self.linear = nn.Linear(2, 3)

    def forward(self, x):
        y = self.linear(x)
        return y if y.sum().item() > 0 else y * 2


class Counting(nn.Module):
    def __init__(self):
        super().__init__()
        tw.manual_seed(0)
        self.linear, self.calls = nn.Linear(2, 3), 0

    def forward(self, x):
        self.calls += 1
        return self.linear(x) / self.calls


class LosesPatience:
    def __init__(self):
        self.calls = 0

    def __call__(self, prediction, target):
        self.calls += 1
        return nn.functional.cross_entropy(prediction, target) * (1 + 1 / self.calls)


class FadingDescent(optim.Optimizer):
    def __init__(self, params, lr=0.1):
        super().__init__(params, {"lr": lr})

    def update(self, grad, param, state, hyper):
        self.calls = getattr(self, "calls", 0) + 1
        return param - hyper["lr"] / self.calls * grad, state


class Peeking(cb.Callback):
    traced = True

    def on_gradients(self, trainer):
        trainer.state.loss.item()


class Remembering(cb.Callback):
    traced = True

    def __init__(self):
        self.seen = []

    def on_loss(self, trainer):
        self.seen.append(trainer.state.step)


ODD = {
    "a branch on a value": (lambda: {"model": Branching()}, r"look at a value.*test_steps\.py:\d+: return y if"),
    "a module that counts": (lambda: {"model": Counting()}, "calls"),
    "a loss that counts": (lambda: {"loss": LosesPatience()}, r"LosesPatience\.calls changes in Python"),
    "an optimizer that counts": (lambda: {"optimizer": FadingDescent, "lr": None}, r"FadingDescent\.calls changes"),
    "a traced callback that looks": (lambda: {"callbacks": [Peeking()]}, r"in the callback Peeking\(\), on_gradients"),
    "a traced callback that counts": (lambda: {"callbacks": [Remembering()]}, r"Remembering\.seen changes"),
}


@pytest.mark.parametrize("name", ODD)
def test_what_cannot_be_compiled_is_trained_without_and_one_line_says_why(name):
    make, reason = ODD[name]
    options = make()
    made = trainer(**options)
    with pytest.warns(RuntimeWarning, match=rf"the training step is not compiled: .*{reason}") as caught:
        history = made.fit(classes(), epochs=3, batch_size=16, validation=classes(20))
    assert len(caught) == 1
    assert len(str(caught[0].message).splitlines()) == 1
    assert caught[0].filename == __file__
    plain = trainer(**make(), compile=False)
    expected = plain.fit(classes(), epochs=3, batch_size=16, validation=classes(20))
    np.testing.assert_allclose(history["loss"], expected["loss"], rtol=1e-4)
    assert close(weights(made.model), weights(plain.model), 1e-3)
    if name == "a traced callback that counts":
        assert made.callbacks[0].seen == list(range(12))


BETA = 1.0


@pytest.mark.parametrize("event", ["epoch_begin", "batch_begin", "epoch_end"])
@pytest.mark.parametrize("place", ["a dictionary", "a global", "an attribute"])
def test_a_number_in_python_that_a_callback_changes_takes_effect(monkeypatch, event, place):
    def trained(compile):
        monkeypatch.setattr(sys.modules[__name__], "BETA", 1.0)
        held, penalties = {"beta": 1.0}, []
        losses = {
            "a dictionary": lambda prediction, target: nn.functional.cross_entropy(prediction, target) * held["beta"],
            "a global": lambda prediction, target: nn.functional.cross_entropy(prediction, target) * BETA,
            "an attribute": "cross_entropy",
        }
        made = trainer(loss=losses[place], compile=compile, optimizer="sgd", penalties=penalties)
        made.penalties = [optim.L2(0.1, made.model.named_parameters())] if place == "an attribute" else []

        def change(_):
            held["beta"] *= 0.5
            sys.modules[__name__].BETA = BETA * 0.5
            for each in made.penalties:
                each.strength *= 0.5

        made.fit(classes(32), epochs=3, batch_size=16, callbacks=[cb.LambdaCallback(**{f"on_{event}": change})])
        return weights(made.model)

    assert close(trained(True), trained(False), 1e-4)


def test_a_number_in_python_that_changes_at_every_step_is_not_compiled_over_and_over():
    held = {"beta": 1.0}
    made = trainer(loss=lambda prediction, target: nn.functional.cross_entropy(prediction, target) * held["beta"])
    change = cb.LambdaCallback(on_batch_begin=lambda t: held.update(beta=held["beta"] * 0.99))
    with pytest.warns(RuntimeWarning, match=r"held\['beta'\] changes in Python from step to step. Keep it in a tensor"):
        made.fit(classes(), epochs=4, batch_size=16, callbacks=[change])


def test_an_update_that_cannot_be_compiled_after_gradients_that_can():
    class Careful(optim.SGD):
        def update(self, grad, param, state, hyper):
            return (param - hyper["lr"] * grad if (grad * grad).sum().item() >= 0 else param), state

    def make(compile):
        made = trainer(network(dropout=0.3), optimizer=lambda p: Careful(p, lr=0.1), compile=compile)
        made.fit(classes(), epochs=2, batch_size=16, callbacks=[cb.LambdaCallback(on_gradients=nothing)])
        return weights(made.model)

    with pytest.warns(RuntimeWarning, match="not compiled"):
        one = make(True)
    assert close(one, make(False), 1e-4)


def test_anomaly_detection_names_the_operation_although_steps_are_compiled():
    made = trainer(loss=lambda prediction, target: (prediction * 0).log().sum())
    with tw.detect_anomaly(), pytest.raises(tw.errors.NonFiniteError, match="log"):
        made.fit(classes())


def test_eager_mode_compiles_nothing(monkeypatch):
    monkeypatch.setattr(lazy, "eager", True)
    made = trainer()
    made.fit(classes())
    assert not made.steps._programs


# --- how often a step is traced --------------------------------------------------------------------------------------


@pytest.fixture
def traces(monkeypatch):
    found = []
    original = Step._trace
    monkeypatch.setattr(Step, "_trace", lambda self, *rest: found.append(self.name) or original(self, *rest))
    return found


def test_validation_between_the_epochs_traces_nothing_anew(traces):
    made = trainer(network(dropout=0.3))
    for _ in range(2):
        made.fit(classes(70), epochs=3, batch_size=16, validation_split=0.2)
    assert traces == ["training_step", "training_step", "test_step"]  # a short last batch has its own program


@pytest.mark.parametrize("change", [
    lambda model: model[1].eval(),
    lambda model: setattr(model, "note", 1),
    lambda model: model[0].weight.requires_grad_(False),
])  # fmt: skip
def test_a_change_of_the_model_between_two_fits_is_seen(traces, change):
    made = trainer(network(dropout=0.3))
    made.fit(classes(64), batch_size=16)
    change(made.model)
    before = len(traces)
    made.fit(classes(64), epochs=2, initial_epoch=1, batch_size=16)
    assert len(traces) == before + 1


def test_a_model_that_changes_itself_for_evaluation_is_compiled_anew():
    class Merged(nn.Module):
        def __init__(self):
            super().__init__()
            tw.manual_seed(0)
            self.linear, self.factor = nn.Linear(2, 3), 1.0

        def train(self, mode=True):
            self.factor = 1.0 if mode else 3.0
            return super().train(mode)

        def forward(self, x):
            return self.linear(x) * self.factor

    results = [fitted(model=Merged(), compile=compile) for compile in (True, False)]
    assert close(results[0][0], results[1][0], 1e-4)
    np.testing.assert_allclose(results[0][1]["val_loss"], results[1][1]["val_loss"], rtol=1e-4)


def test_no_line_is_printed_where_everything_can_be_compiled():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted(cb.LambdaCallback(on_gradients=nothing), cb.GradientNorms())
