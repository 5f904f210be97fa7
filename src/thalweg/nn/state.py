"""The state of a module: which tensors belong to it under which names, and writing a saved state back.

In: a module; a mapping from names to tensors or arrays. Out: the mapping; or the values written, all of them or, if
anything is wrong, none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from thalweg.dtype import dtype_of_array
from thalweg.errors import DTypeError, StateError, explain
from thalweg.tensor.core import Tensor
from thalweg.tensor.modes import set_recording

_SHOWN = 20  # names of one kind that a message lists


class IncompatibleKeys(NamedTuple):
    """Names that the state lacks, and names that the module does not know."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return f"IncompatibleKeys(missing_keys={self.missing_keys}, unexpected_keys={self.unexpected_keys})"


def collect(module: Any, prefix: str = "") -> dict[str, Tensor]:
    """Own parameters, own persistent buffers, then those of the children: PyTorch's order. Shared tensors recur."""
    found: dict[str, Tensor] = {}
    for name, parameter in module._parameters.items():
        if parameter is not None:
            found[prefix + name] = parameter
    for name, buffer in module._buffers.items():
        if buffer is not None and name not in module._non_persistent:
            found[prefix + name] = buffer
    for name, child in module._modules.items():
        if child is not None:
            found.update(collect(child, f"{prefix}{name}."))
    return found


def load(module: Any, given: Mapping[str, Any], strict: bool) -> IncompatibleKeys:
    """Check everything, then write everything."""
    if not isinstance(given, Mapping):
        raise StateError(
            explain(
                "load_state_dict takes a mapping from names to tensors",
                received=type(given).__name__,
                expected="a dict such as model.state_dict() returns",
                remedy="pass saved_model.state_dict(), not the model itself" if hasattr(given, "state_dict") else None,
            )
        )
    targets = collect(module)
    given = _with_present_names(module, given)
    missing = [name for name in targets if name not in given]
    unexpected = [name for name in given if name not in targets]
    arrays, faults = _read({name: target for name, target in targets.items() if name in given}, given)
    if faults or (strict and (missing or unexpected)):
        kind = type(module).__name__
        raise StateError(_report(kind, missing if strict else [], unexpected if strict else [], faults))
    with set_recording(False):
        for name, array in arrays.items():
            targets[name]._assign(Tensor(array).node)
    return IncompatibleKeys(missing, unexpected)


def _with_present_names(module: Any, given: Mapping[str, Any]) -> Mapping[str, Any]:
    """A state whose layers were of an older form, under the names of the present one."""
    names = {
        f"{path}.{old}" if path else old: f"{path}.{new}" if path else new
        for path, owner in module.named_modules()
        for old, new in getattr(owner, "_older_names", {}).items()
    }
    return {names.get(name, name): value for name, value in given.items()} if names else given


def _read(targets: Mapping[str, Tensor], given: Mapping[str, Any]) -> tuple[dict[str, np.ndarray], list[str]]:
    """The values as arrays of the right dtype, and a line for each that does not fit."""
    arrays: dict[str, np.ndarray] = {}
    faults = []
    for name, target in targets.items():
        value = given[name]
        if not hasattr(value, "__array__"):
            faults.append(f"{name} is a {type(value).__name__}, not a tensor or an array")
            continue
        array = value._array() if isinstance(value, Tensor) else np.asarray(value)
        fault = _fault(array, target)
        if fault:
            faults.append(f"{name} {fault}")
        else:
            arrays[name] = array.astype(target.dtype.numpy)
    return arrays, faults


def _fault(array: np.ndarray, target: Tensor) -> str | None:
    try:
        dtype_of_array(array)
    except DTypeError:
        return f"has dtype {array.dtype}, which is not a number"
    if array.shape != target.shape:
        return f"has shape {array.shape} in the state, {target.shape} in the model"
    return None


def _report(kind: str, missing: Sequence[str], unexpected: Sequence[str], faults: Sequence[str]) -> str:
    lines = [f"this state does not fit {kind}; nothing was changed"]
    for label, entries in (("missing:", missing), ("unexpected:", unexpected), ("wrong:", faults)):
        shown = [*entries[:_SHOWN], *([f"and {len(entries) - _SHOWN} more"] if len(entries) > _SHOWN else [])]
        lines += [f"  {label:<11} {entry}" for entry in shown]
    return explain("\n".join(lines), remedy=_remedy(missing, unexpected, faults))


def _remedy(missing: Sequence[str], unexpected: Sequence[str], faults: Sequence[str]) -> str:
    if faults:
        return "build the model with the settings that it was saved with"
    first = unexpected[0].partition(".")[0] + "." if unexpected else ""
    if first and missing and {name.removeprefix(first) for name in unexpected} == set(missing):
        return f"the names have the prefix {first!r}: strip it, for example with name.removeprefix({first!r})"
    return "check that the state belongs to this model, or pass strict=False to load the names that match"
