"""Averages of weights: PyTorch's values for SWA and EMA, in and out of compiled steps; batch norm's statistics; SWALR.

In: models whose weights change, the same in both libraries. Out: equal averages, statistics and rates.
"""

from __future__ import annotations

import inspect

import numpy as np
import pytest

import thalweg as tw
from thalweg import nn
from thalweg.optim import swa_utils

AVERAGES = {
    "default": lambda utils: {},
    "swa": lambda utils: {"multi_avg_fn": utils.get_swa_multi_avg_fn()},
    "swa-each": lambda utils: {"avg_fn": utils.get_swa_avg_fn()},
    "ema": lambda utils: {"multi_avg_fn": utils.get_ema_multi_avg_fn(0.8)},
    "ema-each": lambda utils: {"avg_fn": utils.get_ema_avg_fn(0.8), "use_buffers": True},
    "own": lambda utils: {"avg_fn": lambda average, current, count: (average + count * current) / (1 + count)},
    "own-list": lambda utils: {"multi_avg_fn": _own},
}


def _own(averages, currents, count):
    for average, current in zip(averages, currents, strict=True):
        average.copy_(0.5 * average + 0.5 * current)


def set_weights(model, module, seed):
    generator = np.random.default_rng(seed)
    with module.no_grad():
        for each in [*model.parameters(), *model.buffers()]:
            if each.dtype == module.float32:
                each.copy_(module.tensor(generator.random(tuple(each.shape)).astype("float32")))


def network(nn):
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


@pytest.mark.peer
@pytest.mark.parametrize("name", AVERAGES)
def test_averages_are_pytorchs(name):
    torch = pytest.importorskip("torch")
    states = []
    for module, utils in ((tw, swa_utils), (torch, torch.optim.swa_utils)):
        model = network(module.nn)
        set_weights(model, module, 0)
        averaged = utils.AveragedModel(model, **AVERAGES[name](utils))
        for seed in range(1, 6):
            set_weights(model, module, seed)
            averaged.update_parameters(model)
        states.append({key: np.asarray(each.detach()) for key, each in averaged.state_dict().items()})
    assert states[0].keys() == states[1].keys()
    for key, value in states[0].items():
        np.testing.assert_allclose(value, states[1][key], rtol=1e-6)


@pytest.mark.parametrize("name", [each for each in AVERAGES if each != "own-list"])
def test_an_average_in_a_compiled_step_is_the_one_outside(name):
    def run(is_compiled):
        tw.manual_seed(0)
        model = network(nn)
        averaged = swa_utils.AveragedModel(model, **AVERAGES[name](swa_utils))
        optimizer = tw.optim.SGD(model.parameters(), lr=0.1)

        def step(x):
            optimizer.zero_grad()
            loss = (model(x) ** 2).sum()
            loss.backward()
            optimizer.step()
            averaged.update_parameters(model)
            return loss

        chosen = tw.compile(step) if is_compiled else step
        for index in range(4):
            chosen(tw.tensor(np.random.default_rng(index).normal(size=(5, 3)).astype("float32")))
        return {key: each.detach().numpy().copy() for key, each in averaged.state_dict().items()}

    found, expected = run(True), run(False)
    assert found["n_averaged"] == 4
    for key, value in found.items():
        np.testing.assert_allclose(value, expected[key], rtol=2e-5, atol=1e-6)


@pytest.mark.peer
def test_statistics_of_batch_norm_are_pytorchs():
    torch = pytest.importorskip("torch")
    batches = [np.random.default_rng(index).normal(size=(5, 3)).astype("float32") for index in range(3)]
    states = []
    for module, utils in ((tw, swa_utils), (torch, torch.optim.swa_utils)):
        model = network(module.nn)
        set_weights(model, module, 0)
        model.eval()
        utils.update_bn([(module.tensor(each), None) for each in batches], model)
        assert not model.training
        assert model[1].momentum == 0.1
        states.append({key: np.asarray(each.detach()) for key, each in model.state_dict().items()})
    for key, value in states[0].items():
        np.testing.assert_allclose(value, states[1][key], rtol=2e-5, err_msg=key)


def test_a_model_without_batch_norm_needs_no_statistics():
    swa_utils.update_bn(iter(()), nn.Linear(2, 2))


@pytest.mark.peer
@pytest.mark.parametrize("options", [{}, {"anneal_epochs": 0}, {"anneal_strategy": "linear", "anneal_epochs": 4}])
def test_rates_of_swalr_are_pytorchs(options):
    torch = pytest.importorskip("torch")
    rates = []
    for module, utils in ((tw, swa_utils), (torch, torch.optim.swa_utils)):
        groups = [{"params": [module.zeros(2, requires_grad=True)], "lr": rate} for rate in (0.4, 0.05)]
        optimizer = module.optim.SGD(groups)
        decay = module.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
        scheduler = utils.SWALR(optimizer, swa_lr=[0.1, 0.02], **options)
        rows = []
        for index in range(16):
            optimizer.step()
            (decay if index < 3 else scheduler).step()
            rows.append([group["lr"] for group in optimizer.param_groups])
        rates.append(rows)
    np.testing.assert_allclose(rates[0], rates[1], rtol=1e-9)


@pytest.mark.peer
@pytest.mark.parametrize("name", sorted(swa_utils.__all__))
def test_arguments_and_defaults_are_pytorchs(name):
    torch = pytest.importorskip("torch")
    ours, theirs = (inspect.signature(getattr(each, name)).parameters for each in (swa_utils, torch.optim.swa_utils))
    assert [(key, one.default) for key, one in ours.items()] == [(key, one.default) for key, one in theirs.items()]


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda model: swa_utils.get_ema_avg_fn(1.5), "decay"),
        (lambda model: swa_utils.AveragedModel(model, avg_fn=max, multi_avg_fn=max), "at most one"),
        (lambda model: swa_utils.AveragedModel(model, device="cuda"), "device"),
        (lambda model: swa_utils.AveragedModel(model).update_parameters(nn.Linear(3, 1)), "other parameters"),
        (lambda model: swa_utils.SWALR(tw.optim.SGD(model.parameters()), 0.1, anneal_strategy="log"), "anneal_strat"),
        (lambda model: swa_utils.SWALR(tw.optim.SGD(model.parameters()), 0.1, anneal_epochs=-1), "anneal_epochs"),
        (lambda model: swa_utils.SWALR(tw.optim.SGD(model.parameters()), [0.1, 0.2]), "groups"),
    ],
)
def test_misuse_is_explained(make, match):
    with pytest.raises(tw.ThalwegError, match=match):
        make(nn.Linear(2, 1))
