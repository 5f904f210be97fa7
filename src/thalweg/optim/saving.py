"""Optimizers to and from plain values: what a checkpoint needs to continue identically.

In: an optimizer, or a saved state (ours or PyTorch's). Out: numbers and NumPy arrays, or the optimizer continued.
A saved state is checked as a whole before anything is changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from thalweg.dtype import int64
from thalweg.errors import StateError, explain
from thalweg.optim.counts import join_equal
from thalweg.optim.hyper import MEMBERS, ParamGroup, plain
from thalweg.tensor import Tensor, tensor
from thalweg.tensor.holding import bump_version
from thalweg.tensor.modes import outside_trace

# What PyTorch saves and we have no use for: how a step is carried out, what its schedulers note in the groups; a count
# that RMSprop never reads, and LBFGS's workspace.
FOREIGN_OPTIONS = (
    "foreach", "fused", "capturable", "differentiable",
    "max_lr", "min_lr", "max_momentum", "base_momentum", "swa_lr",
)  # fmt: skip
FOREIGN_STATE = ("step", "al")


def write_state(optimizer: Any) -> dict[str, Any]:
    """{"state": {number of the parameter: {name: array}}, "param_groups": [...], "step_count": int}."""
    owners = [(param, group) for group in optimizer.param_groups for param in group["params"]]
    saved = {
        index: {name: value.detach().numpy() for name, value in optimizer._prepare(param, group).items()}
        for index, (param, group) in enumerate(owners)
        if param in optimizer.state
    }
    groups, first = [], 0
    for group in optimizer.param_groups:
        count = len(group["params"])
        entry = {name: plain(value) for name, value in group.items() if name != "params"}
        groups.append(entry | {"params": list(range(first, first + count))})
        first += count
    return {"state": saved, "param_groups": groups, "step_count": optimizer.step_count}


def read_state(optimizer: Any, saved: Mapping[str, Any]) -> None:
    """Put a saved state into the optimizer, or raise `StateError` and leave it as it was."""
    if not isinstance(saved, Mapping) or not {"state", "param_groups"} <= set(saved):
        raise StateError(
            explain("this is not the saved state of an optimizer", received=_outline(saved),
                    expected="a dict with 'state' and 'param_groups'", remedy="pass what optimizer.state_dict() gave")
        )  # fmt: skip
    groups = saved["param_groups"]
    _check_groups(optimizer, groups)
    rehearsed = [
        _filled_group(optimizer, group, entry) for group, entry in zip(optimizer.param_groups, groups, strict=True)
    ]
    state = {}
    for group, entry in zip(rehearsed, groups, strict=True):
        for param, number in zip(group["params"], entry["params"], strict=True):
            # JSON makes text of the numbers.
            found = saved["state"].get(number, saved["state"].get(str(number)))
            if found is not None:
                state[param] = _filled_state(optimizer, param, group, found, number)
    for group, filled in zip(optimizer.param_groups, rehearsed, strict=True):
        for name, value in filled.items():
            group[name] = value
    optimizer.state = join_equal(state, optimizer.counts)
    optimizer._prepared = {}
    _set_count(optimizer, saved, state)
    bump_version()


def _outline(saved: object) -> str:
    return "a dict with " + ", ".join(map(repr, saved)) if isinstance(saved, Mapping) else type(saved).__name__


def _check_groups(optimizer: Any, groups: Sequence[Mapping[str, Any]]) -> None:
    own = [len(group["params"]) for group in optimizer.param_groups]
    found = [len(entry.get("params", ())) for entry in groups]
    if own != found:
        raise StateError(
            explain(f"{type(optimizer).__name__}: the saved state has other parameter groups",
                    received=f"groups with {found} parameters", expected=f"groups with {own} parameters",
                    remedy="build the optimizer with the same groups before loading")
        )  # fmt: skip


def _filled_group(optimizer: Any, group: ParamGroup, entry: Mapping[str, Any]) -> ParamGroup:
    """A new group with the same parameters and the saved hyper-parameters."""
    filled = ParamGroup(group.owner, optimizer._counter, optimizer.optional, optimizer.static)
    for name, value in group.items():
        filled[name] = value
    for name, value in entry.items():
        if name == "initial_lr":  # where lr_scheduler's schedulers began
            filled[name] = value
        if name in MEMBERS or name in FOREIGN_OPTIONS:
            continue
        if name not in group:
            raise StateError(
                explain(f"{group.owner} has no hyper-parameter of this name", received=name,
                        expected=", ".join(each for each in group if each not in MEMBERS))
            )  # fmt: skip
        filled[name] = tuple(value) if isinstance(value, list) else value
    return filled


def _filled_state(optimizer: Any, param: Tensor, group: ParamGroup, found: Mapping[str, Any], number: int) -> Any:
    """A fresh state with the saved values in it."""
    with outside_trace():
        fresh = optimizer.init(param, group)
        for name, value in found.items():
            if value is None or (name in FOREIGN_STATE and name not in fresh):
                continue
            where = f"{group.owner}, parameter {number}"
            fresh[name] = _filled(fresh, name, value, where, grows=name in optimizer.grows)
        if found and "step" in fresh and "step" not in found:
            fresh["step"] = tensor(1)  # PyTorch's SGD keeps no count: a buffer that is there was not made just now
    return fresh


def _filled(fresh: Mapping[str, Tensor], name: str, value: Any, where: str, grows: bool = False) -> Tensor:
    if name not in fresh:
        raise StateError(
            explain("a saved state has an unknown name", received=name, expected=", ".join(fresh), where=where)
        )
    array = value.detach().numpy() if hasattr(value, "detach") else np.asarray(value)
    if array.shape[grows:] != fresh[name].shape[grows:]:
        raise StateError(
            explain(f"the saved {name} has another shape than its parameter", received=array.shape,
                    expected=fresh[name].shape, where=where, remedy="load the state of the same model")
        )  # fmt: skip
    return tensor(array.astype(fresh[name].dtype.numpy))


def _set_count(optimizer: Any, saved: Mapping[str, Any], state: Mapping[Tensor, Mapping[str, Tensor]]) -> None:
    """PyTorch has no count of its own: then the highest count of a parameter."""
    counts = [int(each["step"].item()) for each in state.values() if "step" in each]
    count = int(saved.get("step_count", max(counts, default=0)))
    with outside_trace():
        optimizer._counter.copy_(tensor(count, dtype=int64))
