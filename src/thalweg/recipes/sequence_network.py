"""The networks of the recipes for sequences, as plain values from which a run folder builds them again.

In: settings, the numbers of inputs and outputs. Out: a `SequenceNetwork`: a language model, a classifier of sentences
or of recordings, a translator, a network that writes down what it hears, or the controller of a truck; its modules; a
check that weights are its own before anything of its size is made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from thalweg import models, nn
from thalweg.errors import ConfigurationError, FileFormatError, explain
from thalweg.recipes.network import described, plain_values
from thalweg.recipes.problem import CLASSIFICATION, CONTROL, LANGUAGE, TRANSCRIPTION, TRANSLATION
from thalweg.recipes.sequence_modules import SpeechClassifier, SpeechTranscriber
from thalweg.recipes.settings import (
    CONTROLLER,
    CTC,
    GPT,
    GRU,
    LSTM,
    SENTENCE_CNN,
    SPEECH,
    TRANSFORMER,
    Settings,
)

LARGEST = 1 << 20


@dataclass(frozen=True)
class SequenceNetwork:
    """A network for sequences in plain values: what config.json says about it.

    `inputs` is the number of different tokens, of the bands of a spectrogram, or of what describes a state; `outputs`
    that of tokens, of classes, or of what is steered.

    >>> SequenceNetwork(kind="gpt", task="language", inputs=65, outputs=65, width=128, depth=4, heads=4, context=64)
    gpt, 4 layers of 128, context 64, for 65 tokens
    """

    kind: str
    task: str
    inputs: int
    outputs: int
    width: int
    depth: int = 1
    heads: int = 1
    context: int = 1
    dropout: float = 0.0

    @property
    def input_shape(self) -> tuple[int, ...]:
        return (self.inputs,)

    @cached_property
    def parameters(self) -> int:
        return sum(each.numel() for each in self.build().parameters())

    def __str__(self) -> str:
        context = f", context {self.context}" if self.kind == GPT else ""
        return f"{self.kind}, {self.depth} layer{'s' if self.depth > 1 else ''} of {self.width}{context}, {self._ends}"

    __repr__ = __str__

    @property
    def _ends(self) -> str:
        of_speech = self.task in (TRANSCRIPTION, CLASSIFICATION) and self.kind != SENTENCE_CNN
        what = "numbers" if self.task == CONTROL else "bands" if of_speech else "tokens"
        return f"for {self.inputs:,} {what}" + (
            "" if self.task in (LANGUAGE, CONTROL) else f", {self.outputs:,} outputs"
        )

    def build(self) -> nn.Module:
        """The network, freshly initialised from the default generator."""
        return BUILDERS[self.task, self.kind](self)

    def check_weights(self, arrays: Mapping[str, np.ndarray], where: str) -> None:
        """Refuse weights that are not of this network, before a network of a size that a damaged file names is made."""
        for name, shape in EXPECTED[self.task, self.kind](self).items():
            weight = arrays.get(name)
            if weight is None or weight.shape != shape:
                raise FileFormatError(
                    explain(
                        "the weights are not those of the network that config.json describes",
                        received=f"{name} {'missing' if weight is None else f'of shape {weight.shape}'}",
                        expected=f"shape {shape}",
                        where=where,
                        remedy="the files are of different runs: train again, or put the right ones together",
                    )
                )

    def to_config(self) -> dict[str, Any]:
        return plain_values(self)

    @classmethod
    def from_config(cls, config: Any, where: str) -> SequenceNetwork:
        """The network that `to_config` described. Raises FileFormatError for anything else."""
        return described(cls, config, where, (), cls._is_valid)

    def _is_valid(self) -> bool:
        numbers = (self.inputs, self.outputs, self.width, self.depth, self.heads, self.context)
        whole = all(type(number) is int and 0 < number <= LARGEST for number in numbers)
        fits = (self.task, self.kind) in BUILDERS and self.depth <= 64 and self.width % self.heads == 0
        return whole and fits and 0 <= self.dropout < 1


def sequence_network(settings: Settings, task: str, inputs: int, outputs: int) -> SequenceNetwork:
    """What the settings say about the network. Raises ConfigurationError for one that does another task."""
    kind, width = str(settings.network), settings.width or 1
    check_kind(settings, task)
    heads = settings.heads or 1 if kind in (GPT, TRANSFORMER) else 1
    if width % heads:
        raise ConfigurationError(
            explain("the heads do not divide the width", received=f"--width {width}, --heads {heads}",
                    expected="a multiple", where="--heads")
        )  # fmt: skip
    context = settings.context or 1 if kind == GPT else 1
    return SequenceNetwork(
        kind, task, inputs, outputs, width, settings.depth or 1, heads, context, settings.dropout or 0.0
    )


def check_kind(settings: Settings, task: str) -> None:
    """Refuse a network that does another task, or that there is not."""
    fitting = [kind for of_task, kind in BUILDERS if of_task == task]
    if task == CLASSIFICATION:
        fitting = [GRU] if settings.recipe in SPEECH else [SENTENCE_CNN]
    if settings.network not in fitting:
        raise ConfigurationError(
            explain(f"this network does no {task}", received=settings.network, expected=", ".join(fitting),
                    where="--network", remedy="leave --network out")
        )  # fmt: skip


Shapes = dict[str, tuple[int, ...]]


def _gpt(n: SequenceNetwork) -> nn.Module:
    return models.GPT(n.inputs, n.context, n.depth, n.heads, n.width, n.dropout)


def _lstm(n: SequenceNetwork) -> nn.Module:
    return models.LSTMLanguageModel(n.inputs, n.width, n.depth, dropout=n.dropout)


def _sentence_cnn(n: SequenceNetwork) -> nn.Module:
    return models.SentenceCNN(n.inputs, n.outputs, n.width, dropout=n.dropout)


def _gru_translator(n: SequenceNetwork) -> nn.Module:
    return models.GRUTranslator(n.inputs, n.outputs, n.width, n.width, n.depth, n.dropout)


def _transformer_translator(n: SequenceNetwork) -> nn.Module:
    return models.TransformerTranslator(
        n.inputs, n.outputs, n.width, n.heads, n.depth, 2 * n.width, n.dropout
    )  # fmt: skip


def _classifier_of_recordings(n: SequenceNetwork) -> nn.Module:
    return SpeechClassifier(n.inputs, n.outputs, n.width, n.depth, n.dropout)


def _transcriber(n: SequenceNetwork) -> nn.Module:
    return SpeechTranscriber(n.inputs, n.outputs, n.width, n.depth, n.dropout)


BUILDERS: dict[tuple[str, str], Callable[[SequenceNetwork], nn.Module]] = {
    (LANGUAGE, GPT): _gpt,
    (LANGUAGE, LSTM): _lstm,
    (CLASSIFICATION, SENTENCE_CNN): _sentence_cnn,
    (CLASSIFICATION, GRU): _classifier_of_recordings,
    (TRANSLATION, TRANSFORMER): _transformer_translator,
    (TRANSLATION, GRU): _gru_translator,
    (TRANSCRIPTION, CTC): _transcriber,
    (CONTROL, CONTROLLER): lambda n: models.TruckBackerUpper(n.width),
}
"""By the task and the kind."""
EXPECTED: dict[tuple[str, str], Callable[[SequenceNetwork], Shapes]] = {
    (LANGUAGE, GPT): lambda n: {
        "transformer.wte.weight": (n.inputs, n.width), "transformer.wpe.weight": (n.context, n.width),
        f"transformer.h.{n.depth - 1}.attn.c_attn.weight": (3 * n.width, n.width),
    },
    (LANGUAGE, LSTM): lambda n: {
        "embedding.weight": (n.inputs, n.width), f"lstm.weight_hh_l{n.depth - 1}": (4 * n.width, n.width),
    },
    (CLASSIFICATION, SENTENCE_CNN): lambda n: {"embedding.weight": (n.inputs, n.width), "linear.bias": (n.outputs,)},
    (CLASSIFICATION, GRU): lambda n: {
        "conv1.bias": (n.width,), f"gru.weight_hh_l{n.depth - 1}": (3 * n.width, n.width), "linear.bias": (n.outputs,),
    },
    (TRANSLATION, TRANSFORMER): lambda n: {
        "source_embedding.weight": (n.inputs, n.width), "target_embedding.weight": (n.outputs, n.width),
        f"transformer.decoder.layers.{n.depth - 1}.linear1.weight": (2 * n.width, n.width),
    },
    (TRANSLATION, GRU): lambda n: {
        "source_embedding.weight": (n.inputs, n.width), "target_embedding.weight": (n.outputs, n.width),
        f"decoder.weight_hh_l{n.depth - 1}": (3 * n.width, n.width),
    },
    (TRANSCRIPTION, CTC): lambda n: {
        "network.conv1.bias": (n.width,), f"network.gru.weight_hh_l{n.depth - 1}": (3 * n.width, n.width),
        "network.linear.bias": (n.outputs,),
    },
    (CONTROL, CONTROLLER): lambda n: {"inner.weight": (n.width, 6), "outer.weight": (1, n.width)},
}  # fmt: skip
"""Some of the weights of each, whose shapes tell the size of the network."""
