"""Gradients through time on the adding problem: they vanish in a plain network, explode in another, and two remedies.

In: sequences of 100 random numbers of which two are marked; the answer is the sum of the two. Out: for four recurrent
networks the gradient with respect to the state at every time step, and how they learn.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import thalweg as tw
import thalweg.nn.functional as F
from bench.gallery import drawing
from bench.gallery.data import Examples
from bench.gallery.experiment import Experiment, Measured, Scale, column, curve, each_of, mean, number, plain, plains
from bench.gallery.learning import fit, loss_on
from thalweg import nn

STEPS, HIDDEN, BATCH, EPOCHS = 100, 32, 50, 10
TRAINING, HELD_OUT, LOOKED_AT, EARLY = 10_000, 2_000, 200, 2
"""Sequences to learn from, to measure on, and whose gradients are looked at: untrained, and after so many epochs."""
SHOWN = 9
"""Of so many time steps one is kept."""
RADIUS, LIMIT, BASELINE = 1.02, 1.0, 1 / 6
"""W of the rectifiers starts as so many times the identity; whoever always answers 1 has the variance of the sum."""
RATES = {"tanh": 0.003, "relu": 0.003, "clipped": 0.003, "lstm": 0.01}
NAMES = {
    "tanh": "tanh", "relu": f"ReLU, W = {RADIUS} I", "clipped": f"the same, gradient clipped to norm {LIMIT:g}",
    "lstm": "LSTM",
}  # fmt: skip


class Adder(nn.Module):
    """The last state of a recurrent layer, and one number made of it."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.has_cell, self.nonlinearity = name == "lstm", "tanh" if name == "tanh" else "relu"
        self.recurrent: Any = (
            nn.LSTM(2, HIDDEN, batch_first=True)
            if self.has_cell
            else nn.RNN(2, HIDDEN, nonlinearity=self.nonlinearity, batch_first=True)
        )
        self.linear = nn.Linear(HIDDEN, 1)
        if name != "tanh":
            self._start()

    def _start(self) -> None:
        """Forget gates of 1 (Gers et al. 2000), or Le, Jaitly and Hinton's identity, a little larger."""
        layer = self.recurrent
        with tw.no_grad():
            if self.has_cell:
                layer.bias_ih_l0[HIDDEN : 2 * HIDDEN] = 1.0
                return
            nn.init.eye_(layer.weight_hh_l0)
            layer.weight_hh_l0 *= RADIUS
            nn.init.normal_(layer.weight_ih_l0, 0.0, 0.1)
            for bias in (layer.bias_ih_l0, layer.bias_hh_l0):
                nn.init.zeros_(bias)

    def forward(self, x: Any) -> Any:
        return self.linear(self.recurrent(x)[0][:, -1])


def sequences(seed: int, count: int) -> Examples:
    """(count, STEPS, 2): a number in 0 .. 1, and 1 for one in each half, else 0; and the sums of the marked."""
    draw = np.random.default_rng(seed)
    rows, half = np.arange(count), STEPS // 2
    x = np.stack([draw.random((count, STEPS)), np.zeros((count, STEPS))], -1).astype(np.float32)
    places = draw.integers(0, half, (2, count)) + np.array([[0], [half]])
    for each in places:
        x[rows, each, 1] = 1.0
    return Examples(x, x[rows, places, 0].sum(0)[:, None])


def state_gradients(model: Adder, data: Examples) -> list[float]:
    """How large the gradient is with respect to the state (of the LSTM, both parts) behind each time step: its norm,
    mean square over sequences. It is that of a number which is added to the state there, and is 0."""
    layer = model.recurrent
    cell = nn.LSTMCell(2, HIDDEN) if model.has_cell else nn.RNNCell(2, HIDDEN, nonlinearity=model.nonlinearity)
    cell.load_state_dict({name.removesuffix("_l0"): value for name, value in layer.state_dict().items()})
    count, parts = len(data.y), 2 if model.has_cell else 1
    added = tw.zeros(STEPS, parts, count, HIDDEN, requires_grad=True)

    def step(states: Any, given: Any) -> Any:
        new = cell(given[0], states if model.has_cell else states[0])
        new = new if model.has_cell else (new,)
        return tuple(state + given[1][part] for part, state in enumerate(new)), None

    start = tuple(tw.zeros(count, HIDDEN) for _ in range(parts))
    last, _ = tw.scan(step, start, (tw.from_numpy(np.ascontiguousarray(data.x.swapaxes(0, 1))), added))
    answers = F.linear(last[0], model.linear.weight.detach(), model.linear.bias.detach())
    ((answers - tw.from_numpy(data.y)) ** 2).sum().backward()
    found = added.grad.numpy().astype(np.float64)  # type: ignore[union-attr]
    return [float(each) for each in np.sqrt((found**2).sum((1, 3)).mean(1))]


def measure(scale: Scale, seed: int) -> Measured:
    training = sequences(seed, 60 if scale.is_miniature else TRAINING)
    held_out = sequences(1000 + seed, 60 if scale.is_miniature else HELD_OUT)
    return {name: run(name, scale, seed, training, held_out) for name in NAMES}


def run(name: str, scale: Scale, seed: int, training: Examples, held_out: Examples) -> Measured:
    tw.manual_seed(seed)
    model, looked_at = Adder(name), held_out.first(LOOKED_AT)
    seen = {"0": state_gradients(model, looked_at)}

    def look(trainer: Any) -> None:
        if trainer.state.epoch + 1 in (scale.few(EARLY, 1), scale.few(EPOCHS)):
            seen[str(len(seen))] = state_gradients(model, looked_at)

    norms = tw.callbacks.GradientNorms()
    trainer, history = fit(
        model, training, scale, seed, epochs=EPOCHS, batch_size=BATCH, optimizer="adam", lr=RATES[name], loss="mse",
        metrics=[], clip_norm=LIMIT if name == "clipped" else None,
        callbacks=[norms, tw.callbacks.LambdaCallback(on_epoch_end=look)],
    )  # fmt: skip
    return {
        "states": [plains(each[::SHOWN]) for each in seen.values()], "loss": curve(history.steps["loss"], points=40),
        "largest": plain(max(norms.norms["recurrent"])), "held_out": plain(loss_on(trainer, held_out)),
    }  # fmt: skip


# --- figure and text -------------------------------------------------------------------------------------------------


def draw(results: Sequence[Measured]) -> Any:
    times = [f"After {epochs * TRAINING // BATCH:,} steps" for epochs in (EARLY, EPOCHS)]
    drawn, axes = drawing.grid(("Untrained", *times, "Training loss"), 3.3)
    for place, (name, label) in enumerate(NAMES.items()):
        for when in range(3):
            curves = [{"x": range(1, STEPS + 1, SHOWN), "y": found[name]["states"][when]} for found in results]
            drawing.line(axes[when], curves, place, label)
        drawing.line(axes[3], [each[name]["loss"] for each in results], place, label)
    axes[3].axhline(BASELINE, color="#888888", linewidth=1.0, linestyle=":", label="always answering 1")
    for each in axes[:3]:
        drawing.finish(each, "time step", "gradient by the state", is_logarithmic=True, legend=None)
    drawing.finish(axes[3], "training step", "loss, up to 10", is_logarithmic=True)
    axes[3].set_ylim(top=10.0)
    axes[3].minorticks_off()
    return drawn


def tell(results: Sequence[Measured]) -> tuple[str, str, str]:
    held = {name: each_of(column(results, name, "held_out"), ".2g") for name in NAMES}
    before = {name: growth(results, name) for name in NAMES}
    return (
        f"Recurrent networks of {HIDDEN} units read {STEPS} pairs of a random number and a mark, and answer the sum of "
        f"the two marked numbers; a plain one with tanh and the usual first weights, one of rectifiers whose recurrent "
        f"weights start as {RADIUS} times the identity, the same with the gradient of all parameters clipped to the "
        f"norm {LIMIT:g}, and an LSTM are trained by Adam for {EPOCHS * TRAINING // BATCH:,} steps.",
        f"Untrained, the gradient by the state is at the first time step {before['tanh']} times what it is at the last "
        f"with tanh, {before['relu']} times with rectifiers and {before['lstm']} times with the LSTM; in training the "
        f"gradient of the rectifiers' weights reaches the norm {each_of(column(results, 'relu', 'largest'), '.1g')}, "
        f"and on other sequences the loss is in the end {held['tanh']} (tanh), {held['relu']} (rectifiers), "
        f"{held['clipped']} (clipped) and {held['lstm']} (LSTM), where always answering 1 gives {BASELINE:.3f}.",
        "Each step back multiplies the gradient by recurrent weights and slopes: below 1 nothing arrives from early "
        "numbers, so nothing is learnt from them, and above 1 a single step throws the weights to where nothing is "
        "learnt any more, which clipping prevents by bounding its length; an LSTM adds to its cell, whose gradient is "
        "multiplied by the forget gates alone, and once these have opened as much arrives from the first number as "
        "from the last.",
    )


def growth(results: Sequence[Measured], name: str, when: int = 0) -> str:
    """The gradient at the first time step over that at the last."""
    ratios = [each[0] / each[-1] if each[-1] else np.nan for each in column(results, name, "states", when)]
    return f"{number(mean(ratios), '.2g')} ({', '.join(number(each, '.2g') for each in ratios)})"


def table(results: Sequence[Measured]) -> list[Sequence[str]]:
    header = ("network", "rate", "gradient at the first time step over that at the last, untrained",
              "largest gradient of the recurrent layer", "loss, held-out sequences")  # fmt: skip
    return [header] + [
        (label, f"{RATES[name]:g}", growth(results, name), each_of(column(results, name, "largest"), ".2g"),
         each_of(column(results, name, "held_out"), ".2g"))
        for name, label in NAMES.items()
    ]  # fmt: skip


EXPERIMENT = Experiment(
    "adding", "Gradients through time, and two remedies: clipping and the LSTM",
    "Hochreiter and Schmidhuber 1997; Le, Jaitly and Hinton 2015, arXiv:1504.00941; Pascanu, Mikolov and Bengio 2013",
    "Gradient by time step, untrained and in training, and the training loss of four recurrent networks that add",
    measure, draw, tell, table,
)  # fmt: skip
