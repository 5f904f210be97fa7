"""The network of a run, whatever it is for: from settings, from a config.json, and with its weights checked.

In: settings and the problem; or what a run folder says.
Out: a `Network` in plain values, and its modules.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from thalweg import nn
from thalweg.recipes.network import NetworkShape, build, check_weights, network_shape
from thalweg.recipes.picture_network import PictureNetwork, picture_network
from thalweg.recipes.problem import Problem
from thalweg.recipes.sequence_network import SequenceNetwork, sequence_network
from thalweg.recipes.settings import PERCEPTRON, PICTURE_NETWORKS, SEQUENCE_NETWORKS, SEQUENCES, Settings

Network = NetworkShape | PictureNetwork | SequenceNetwork


def network_of(settings: Settings, problem: Problem) -> Network:
    """What the settings say about the network, for this data. Raises ConfigurationError for what does not fit."""
    shape, outputs = problem.input_shape, problem.outputs
    if settings.recipe in SEQUENCES:
        return sequence_network(settings, outputs.task, shape[0], outputs.width)
    is_perceptron = settings.network in (None, PERCEPTRON)
    return (network_shape if is_perceptron else picture_network)(settings, shape, outputs.width)


def build_network(shape: Network) -> nn.Module:
    """The network of a description, freshly initialised."""
    return build(shape) if isinstance(shape, NetworkShape) else shape.build()


def network_from_config(config: Any, where: str) -> Network:
    """The description in a config.json. Raises FileFormatError for a damaged one."""
    kind = config.get("kind") if isinstance(config, dict) else None
    if kind in SEQUENCE_NETWORKS:
        return SequenceNetwork.from_config(config, where)
    return (PictureNetwork if kind in PICTURE_NETWORKS else NetworkShape).from_config(config, where)


def check_network_weights(shape: Network, arrays: Mapping[str, np.ndarray], where: str) -> None:
    """Refuse weights of another network."""
    if isinstance(shape, NetworkShape):
        check_weights(shape, arrays, where)
    else:
        shape.check_weights(arrays, where)
