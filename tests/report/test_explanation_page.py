"""Explanations as pages: every operation and layer is drawn, updates are the optimizer's own, nothing is disturbed.

In: networks of all kinds. Out: HTML that stands alone, and numbers that agree with a real step.
"""

from __future__ import annotations

import numpy as np
import pytest

import thalweg as tw
import thalweg.nn.functional as F
from tests.support.html_page import checked
from thalweg import nn
from thalweg.report.explanation_page import views
from thalweg.report.graph_parts import of_layers, of_operations


class Convolutional(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 3, 3, padding=1, bias=False), nn.BatchNorm2d(3)
        self.drop, self.out = nn.Dropout(0.4), nn.Linear(3 * 3 * 3, 4)

    def forward(self, x):
        return self.out(self.drop(F.max_pool2d(F.relu(self.norm(self.conv(x))), 2).flatten(1)))


class Attention(nn.Module):
    """Attention with one head, normalised before and with a way around."""

    def __init__(self, width):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.width = width

    def forward(self, x):
        h = self.norm(x)
        weights = F.softmax(self.query(h) @ self.key(h).transpose(-1, -2) / self.width**0.5, dim=-1)
        return x + weights @ self.value(h)


class Twice(nn.Module):
    """A layer that is passed through twice."""

    def __init__(self):
        super().__init__()
        self.shared, self.last = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x):
        return self.last(self.shared(F.tanh(self.shared(x))))


def convolutional():
    return Convolutional(), tw.randn(5, 1, 6, 6), tw.tensor([0, 1, 2, 3, 0])


def attention():
    model = nn.Sequential(Attention(6), Attention(6), nn.Flatten(), nn.Linear(18, 4))
    return model, tw.randn(4, 3, 6), tw.tensor([0, 1, 2, 3])


def twice():
    return Twice(), tw.randn(3, 4), tw.tensor([0, 1, 2])


def deep():
    model = nn.Sequential(*[layer for _ in range(40) for layer in (nn.Linear(4, 4), nn.GELU())])
    return model, tw.randn(3, 4), tw.tensor([0, 1, 2])


def embedded():
    model = nn.Sequential(nn.Embedding(7, 4), nn.Flatten(), nn.LayerNorm(8), nn.Linear(8, 4))
    return model, tw.tensor([[1, 2], [6, 0]]), tw.tensor([0, 1])


NETWORKS = {made.__name__: made for made in (convolutional, attention, twice, deep, embedded)}


@pytest.fixture(params=NETWORKS)
def network(request):
    tw.manual_seed(0)
    model, x, y = NETWORKS[request.param]()
    return model, F.cross_entropy(model(x), y)


def test_the_page_of_any_network_stands_alone(network, tmp_path):
    model, loss = network
    explanation = tw.explain(loss, model, tw.optim.Adam(model.parameters(), lr=0.01))
    path = explanation.to_html(tmp_path / "page.html", title="a <title> & more")
    text = path.read_text(encoding="utf-8")
    found = checked(text)
    assert "a &lt;title&gt; &amp; more" in text
    assert "a <title>" not in text
    assert found.tags.count("svg") == len(views(explanation))
    for name in explanation.gradients:
        assert name in " ".join(found.words)


def test_every_operation_is_a_box_and_every_operand_an_edge(network):
    model, loss = network
    explanation = tw.explain(loss, model)
    boxes, arrows = of_operations(explanation.operations)
    names = [each.name for each in explanation.operations]
    assert [each.key for each in boxes] == names
    assert len(arrows) == sum(len(set(each.operands) & set(names)) for each in explanation.operations)
    for each in explanation.operations:
        if not each.is_leaf:
            assert set(each.operands) <= set(names)


def test_every_layer_is_a_box_and_layers_never_form_a_circle(network):
    model, loss = network
    explanation = tw.explain(loss, model)
    boxes, arrows = of_layers(explanation.layers, explanation.operations)
    keys = [each.key for each in boxes]
    assert len(set(keys)) == len(keys)
    assert {each.name for each in explanation.layers} <= set(keys)
    order = {each.name: place for place, each in enumerate(explanation.layers)}
    assert all(order.get(each.upper, -1) < order[each.lower] for each in arrows)
    assert sum(each.operations for each in explanation.layers) == explanation.count


def test_a_layer_that_is_passed_twice_is_drawn_twice():
    model, x, y = twice()
    names = [each.name for each in tw.explain(F.cross_entropy(model(x), y), model).layers]
    assert names == ["shared", "Twice", "shared (2)", "last", "cross_entropy"]


def test_large_networks_are_drawn_by_layer_small_ones_by_operation_first():
    tw.manual_seed(0)
    model, x, y = deep()
    assert [name for name, _ in views(tw.explain(F.cross_entropy(model(x), y), model))] == ["layers"]
    w = tw.tensor(2.0, requires_grad=True)
    assert [name for name, _ in views(tw.explain(w * w))] == ["operations"]


OPTIMIZERS = {
    "sgd": lambda p: tw.optim.SGD(p, lr=0.1),
    "momentum": lambda p: tw.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.01),
    "maximize": lambda p: tw.optim.SGD(p, lr=0.1, maximize=True),
    "adagrad": lambda p: tw.optim.Adagrad(p, lr=0.1),
    "rmsprop": lambda p: tw.optim.RMSprop(p, lr=0.01),
    "adam": lambda p: tw.optim.Adam(p, lr=0.01),
    "adamw": lambda p: tw.optim.AdamW(p, lr=tw.optim.schedules.StepDecay(0.01, 1, 0.5)),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_update_is_that_of_the_next_step(name):
    tw.manual_seed(1)
    model, x, y = convolutional()
    optimizer = OPTIMIZERS[name](model.parameters())
    for _ in range(3):  # the second and third begin with a state
        loss = F.cross_entropy(model(x), y)
        explanation = tw.explain(loss, model, optimizer)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        assert {each.name for each in explanation.updates} == {path for path, _ in model.named_parameters()}
        for update in explanation.updates:
            after = dict(model.named_parameters())[update.name].detach().numpy()
            np.testing.assert_allclose(update.after, after, rtol=2e-5, atol=1e-7)
            np.testing.assert_allclose(update.change, after - update.before, rtol=2e-3, atol=1e-6)


def test_plain_descent_is_a_formula_and_others_go_by_name():
    w = tw.tensor([1.0, 2.0], requires_grad=True)
    loss = (w * w).sum()
    assert "UPDATE: w <- w - 0.5 * dL/dw" in str(tw.explain(loss, optimizer=tw.optim.SGD([w], lr=0.5)))
    assert "UPDATE: Adam, learning rate 0.5" in str(tw.explain(loss, optimizer=tw.optim.Adam([w], lr=0.5)))
    assert "UPDATE" not in str(tw.explain(loss))


def test_explaining_disturbs_neither_weights_nor_statistics_nor_chance_nor_optimizer():
    def course(explains):
        tw.manual_seed(3)
        model, x, y = convolutional()
        optimizer = tw.optim.Adam(model.parameters(), lr=0.01)
        for _ in range(3):
            loss = F.cross_entropy(model(x), y)
            if explains:
                tw.explain(loss, model, optimizer)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return {name: each.numpy() for name, each in model.state_dict().items()}

    plain, explained = course(False), course(True)
    for name, values in plain.items():
        np.testing.assert_allclose(values, explained[name], rtol=1e-5, atol=1e-6)  # the second may run compiled


def test_a_notebook_gets_the_drawing_and_the_tables():
    tw.manual_seed(0)
    model, x, y = twice()
    fragment = tw.explain(F.cross_entropy(model(x), y), model, tw.optim.SGD(model.parameters(), lr=0.1))._repr_html_()
    found = checked(fragment, is_whole=False)
    assert "svg" in found.tags
    assert "script" not in found.tags
    assert "shared.weight" in " ".join(found.words)


def test_names_cannot_break_a_page():
    w = tw.tensor(1.0, requires_grad=True)
    fragment = tw.explain(tw.where(w < 2, w, 0.0) * 1.0, names={"</svg><script>": w})._repr_html_()
    checked(fragment, is_whole=False)
    assert "<script>" not in fragment
