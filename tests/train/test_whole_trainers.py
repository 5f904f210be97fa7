"""`Trainer.save` and `load_trainer`: a whole trainer in one file, made again without running anybody's code.

In: trainers of layers of nn, and of the user's own parts. Out: the same predictions and the same further training; an
error that names what must be passed.
"""

from __future__ import annotations

import json

import numpy as np
import pytest

import thalweg as tw
from tests.support.training import classes, network, same_bits, trainer, weights
from thalweg import nn
from thalweg.errors import ConfigurationError, FileFormatError, StateError
from thalweg.train import setup


class Own(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 3)

    def forward(self, x):
        return self.layer(x)


MODELS = {
    "dense": lambda: network(dropout=0.2),
    "one layer": lambda: nn.Linear(2, 3, bias=False),
    "float64": lambda: network().double(),
    "pictures": lambda: nn.Sequential(
        nn.Unflatten(1, (1, 1, 2)), nn.Conv2d(1, 4, (1, 2), padding=1), nn.BatchNorm2d(4), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Sequential(nn.LayerNorm(4), nn.GELU(), nn.Linear(4, 3))
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_what_was_saved_predicts_the_same_and_trains_on_with_the_same_bits(name, tmp_path):
    tw.manual_seed(0)
    made = trainer(MODELS[name](), optimizer="nadam", metrics=["accuracy", "macro_f1", "roc_auc"], clip_norm=1.0)
    made.fit(classes(), epochs=2, batch_size=16)
    made.save(tmp_path / "t.safetensors")
    again = tw.load_trainer(tmp_path / "t.safetensors", progress=False)
    assert repr(again) == repr(made)
    assert repr(again.optimizer) == repr(made.optimizer)
    assert [each.name for each in again.metrics] == ["accuracy", "macro_f1", "roc_auc"]
    np.testing.assert_array_equal(again.predict(classes()[0]), made.predict(classes()[0]))
    for each in (made, again):
        each.fit(classes(), epochs=4, initial_epoch=each.epochs_trained, batch_size=16)
    assert same_bits(weights(again.model), weights(made.model))


def test_saving_draws_no_random_number(tmp_path):
    made = trainer()
    tw.manual_seed(3)
    made.save(tmp_path / "t.safetensors")
    found = tw.rand(3).tolist()
    tw.manual_seed(3)
    assert tw.rand(3).tolist() == found


def test_parts_of_ones_own_are_asked_for_by_name(tmp_path):
    path = tmp_path / "t.safetensors"
    made = tw.Trainer(Own(), loss=lambda p, y: ((p - 1) ** 2).mean(), metrics=[tw.metrics.FBeta(3.0, name="mine")],
                      optimizer=lambda p: tw.optim.SGD([{"params": list(p)[:1]}, {"params": list(Own().parameters())}]),
                      progress=False)  # fmt: skip
    made.save(path)
    given = {}
    for name, value in {
        "model": Own,
        "loss": lambda p, y: ((p - 1) ** 2).mean(),
        "optimizer": lambda p: tw.optim.SGD([{"params": list(p)[:1]}, {"params": list(Own().parameters())}]),
        "metrics": [tw.metrics.FBeta(3.0, name="mine")],
    }.items():
        with pytest.raises(ConfigurationError, match=f"{name}="):
            tw.load_trainer(path, **given)
        given[name] = value
    again = tw.load_trainer(path, progress=False, **given)
    assert same_bits(weights(again.model), weights(made.model))


def test_a_file_of_another_kind_or_model_is_refused(tmp_path):
    made = trainer()
    made.save_checkpoint(tmp_path / "checkpoint.safetensors")
    with pytest.raises(FileFormatError, match=r"Trainer\.save"):
        tw.load_trainer(tmp_path / "checkpoint.safetensors")
    made.save(tmp_path / "t.safetensors")
    made.load_checkpoint(tmp_path / "t.safetensors")
    with pytest.raises(StateError):
        tw.load_trainer(tmp_path / "t.safetensors", model=nn.Linear(2, 3))


@pytest.mark.parametrize(
    "description",
    [
        {"layer": "Module", "settings": "__import__('os').system('x')"},
        {"layer": "Linear", "settings": "2, open('x')"},
        {"layer": "Linear", "settings": "2, 3) or (1"},
        {"layer": "Linear", "settings": "**{}"},
        {"layer": "functional", "settings": ""},
        {"layer": "__builtins__", "settings": ""},
        {"layer": ["Linear"], "settings": ""},
        {"layer": "Linear", "layers": []},
    ],
    ids=json.dumps,
)
def test_a_description_can_name_layers_and_literals_only(description):
    with pytest.raises(FileFormatError, match="layer"):
        setup.build(description)


def test_a_summary_counts_what_is_frozen():
    model = network()
    model[0].requires_grad_(False)
    assert "non-trainable parameters    24" in model.summary((1, 2))
