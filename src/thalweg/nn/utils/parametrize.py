"""Parametrizations: a tensor of a module that is computed from others whenever it is read.

In: a module, the name of one of its parameters or buffers, and a module that maps free numbers to values of it. Out:
the same module, whose state holds the free numbers under `parametrizations.NAME.original`, with PyTorch's names.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from thalweg.errors import ArgumentError, DTypeError, ShapeError, StateError, explain
from thalweg.nn.applying import write
from thalweg.nn.containers import ModuleDict, ModuleList
from thalweg.nn.module import Module
from thalweg.nn.parameter import Parameter
from thalweg.tensor.core import Tensor
from thalweg.tensor.modes import modes, set_recording

__all__ = [
    "ParametrizationList", "cached", "is_parametrized", "register_parametrization", "remove_parametrizations",
    "transfer_parametrizations_and_params", "type_before_parametrizations",
]  # fmt: skip


class _Cache(threading.local):
    """What was computed since the outermost `cached()` began."""

    depth: int = 0
    values: dict[tuple[Any, ...], Tensor]


_cache = _Cache()


@contextmanager
def cached() -> Iterator[None]:
    """Within this block a parametrized tensor is computed when it is read first, and kept for the next reading.

    For a weight that a forward pass reads several times. What was kept is forgotten at the end of the block.

    >>> import thalweg as tw
    >>> from thalweg import nn
    >>> layer = nn.utils.parametrizations.weight_norm(nn.Linear(3, 2))
    >>> with nn.utils.parametrize.cached():
    ...     layer.weight is layer.weight
    True
    """
    if not _cache.depth:
        _cache.values = {}
    _cache.depth += 1
    try:
        yield
    finally:
        _cache.depth -= 1
        if not _cache.depth:
            _cache.values = {}


class _Read:
    """The attribute of a module that stands for a parametrized tensor."""

    def __init__(self, name: str) -> None:
        self.name = name

    def read(self, module: Module) -> Tensor:
        values = module.parametrizations[self.name]
        if not _cache.depth:
            return values()  # type: ignore[no-any-return]
        key = id(module), self.name, id(modes.trace)  # what a step under compilation computes stays in it
        if key not in _cache.values:
            _cache.values[key] = values()
        return _cache.values[key]

    def write(self, module: Module, value: Any) -> None:
        module.parametrizations[self.name].right_inverse(value)


class ParametrizationList(ModuleList):
    """The parametrizations of one tensor, in order, and what the first of them is computed from.

    `original` holds it, or `original0`, `original1`, ... where the first parametrization takes several tensors. A
    parametrization may have a method `right_inverse`, from a value to the numbers that give it; without one, or where
    it raises NotImplementedError, they start as the value itself. `register_parametrization` makes these lists.

    >>> import thalweg as tw
    >>> from thalweg import nn
    >>> layer = nn.utils.parametrizations.weight_norm(nn.Linear(3, 2))
    >>> layer.parametrizations.weight.original0.shape, layer.parametrizations.weight.original1.shape
    ((2, 1), (2, 3))
    """

    def __init__(self, modules: Sequence[Module], original: Tensor, unsafe: bool = False) -> None:
        if not len(modules):
            raise ArgumentError(explain("ParametrizationList is of one module or more", received="none"))
        super().__init__(modules)
        self.unsafe = unsafe
        with set_recording(False):
            start = self._inverse(original, is_needed=False)
        self.is_tensor = isinstance(start, Tensor)
        self.ntensors = 1 if self.is_tensor else len(start)
        if self.is_tensor:
            _need_alike("right_inverse", start, original, shape=False)
            _hold(original, start)  # the same tensor, so that an optimizer keeps its hold on it
            _register(self, "original", original)
        for place, each in enumerate(() if self.is_tensor else start):
            is_trained = isinstance(original, Parameter)
            free = Parameter(each, original.requires_grad) if is_trained else each.detach()
            _register(self, f"original{place}", free)
        if not unsafe:
            _need_alike("a parametrization", self(), original)

    @classmethod
    def _of(cls, items: list[tuple[str, Any]]) -> Any:
        return ModuleList([module for _, module in items])

    def _originals(self) -> list[Tensor]:
        return [self.original] if self.is_tensor else [getattr(self, f"original{i}") for i in range(self.ntensors)]

    def _inverse(self, value: Any, is_needed: bool) -> Any:
        for module in reversed(list(self)):
            if hasattr(module, "right_inverse"):
                try:
                    value = module.right_inverse(value)
                except NotImplementedError:
                    if is_needed:
                        raise
            elif is_needed:
                raise StateError(
                    explain(
                        f"{type(module).__name__} cannot be assigned to",
                        received="a value for a parametrized tensor",
                        expected="a parametrization with a method right_inverse",
                        remedy="write to `original`, or define right_inverse(value)",
                    )
                )
        if isinstance(value, Tensor) or (
            isinstance(value, Sequence) and all(isinstance(each, Tensor) for each in value)
        ):
            return value
        raise DTypeError(
            explain("right_inverse gives a tensor or a sequence of tensors", received=type(value).__name__)
        )

    def right_inverse(self, value: Tensor) -> None:
        """Write to the originals what gives this value: what ``module.weight = value`` does."""
        with set_recording(False):
            start = self._inverse(value, is_needed=True)
        found = [start] if isinstance(start, Tensor) else list(start)
        if len(found) != self.ntensors:
            raise ShapeError(
                explain(
                    "right_inverse gives another number of tensors",
                    received=len(found),
                    expected=f"{self.ntensors}, as when it was registered",
                )
            )
        for original, each in zip(self._originals(), found, strict=True):
            _need_alike("right_inverse", each, original)
            _hold(original, each)

    def forward(self) -> Any:
        modules = iter(self)
        value = next(modules)(*self._originals())
        for module in modules:
            value = module(value)
        return value


def register_parametrization(
    module: Module, tensor_name: str, parametrization: Module, *, unsafe: bool = False
) -> Module:
    """Let a parameter or buffer be computed by `parametrization` whenever it is read; returns the module.

    ``module.NAME`` is then ``parametrization(original)``, with gradients, and the state holds
    ``parametrizations.NAME.original`` instead of ``NAME``. Assigning to it writes what `right_inverse` of the
    parametrization gives. A second registration on the same tensor maps the result of the first. `original` is the very
    parameter that was there, unless `right_inverse` gives several tensors: those are new, so make the optimizer
    afterwards. Each reading computes anew; see `cached`.

    Args:
        parametrization: a module that maps a tensor to one of the same shape and dtype.
        unsafe: do not check shape and dtype. Default False.

    Raises ArgumentError where the module has no such tensor; ShapeError and DTypeError where the shape or dtype
    changes. Unlike in PyTorch the class of the module stays.

    >>> import thalweg as tw
    >>> from thalweg import nn
    >>> class Symmetric(nn.Module):
    ...     def forward(self, x):
    ...         return x.triu() + x.triu(1).T
    >>> layer = nn.utils.parametrize.register_parametrization(nn.Linear(2, 2), "weight", Symmetric())
    >>> bool((layer.weight == layer.weight.T).all()), list(layer.state_dict())
    (True, ['bias', 'parametrizations.weight.original'])
    """
    parametrization.train(module.training)
    if is_parametrized(module, tensor_name):
        made = module.parametrizations[tensor_name]
        if not unsafe:
            _check_another(parametrization, getattr(module, tensor_name))
        made.append(parametrization)
        made.unsafe = made.unsafe or unsafe
        return module
    original = tensor_of(module, tensor_name)
    made = ParametrizationList([parametrization], original, unsafe)
    delattr(module, tensor_name)
    if not is_parametrized(module):
        module.parametrizations = ModuleDict()
    module.parametrizations[tensor_name] = made
    compute(module, tensor_name, _Read(tensor_name))
    return module


def is_parametrized(module: Module, tensor_name: str | None = None) -> bool:
    """Whether this tensor of the module is parametrized; without a name, whether any is.

    >>> from thalweg import nn
    >>> nn.utils.parametrize.is_parametrized(nn.Linear(2, 2), "weight")
    False
    """
    made = module._modules.get("parametrizations")
    return isinstance(made, ModuleDict) and (tensor_name in made if tensor_name is not None else len(made) > 0)


def remove_parametrizations(module: Module, tensor_name: str, leave_parametrized: bool = True) -> Module:
    """Make a parametrized tensor a plain parameter or buffer again; returns the module.

    It keeps its present value, or with ``leave_parametrized=False`` becomes the original. Where there was one original,
    the parameter is that very one; where there were several, it is new, and ``leave_parametrized=False`` raises
    ArgumentError.

    >>> from thalweg import nn
    >>> layer = nn.utils.parametrizations.weight_norm(nn.Linear(3, 2))
    >>> list(nn.utils.parametrize.remove_parametrizations(layer, "weight").state_dict())
    ['bias', 'weight']
    """
    if not is_parametrized(module, tensor_name):
        known = list(module.parametrizations) if is_parametrized(module) else []
        raise ArgumentError(
            explain(
                f"{type(module).__name__} has no parametrization of this name",
                received=repr(tensor_name),
                expected=", ".join(map(repr, known)) or "it has none",
            )
        )
    made = module.parametrizations[tensor_name]
    if not made.is_tensor and not leave_parametrized:
        raise ArgumentError(
            explain(
                f"{tensor_name!r} is computed from {made.ntensors} tensors, so there is no original to leave",
                received="leave_parametrized=False",
                expected="leave_parametrized=True",
            )
        )
    plain = made.original if made.is_tensor else None
    if leave_parametrized:
        with set_recording(False):
            value = getattr(module, tensor_name)
        if plain is not None and plain.shape == value.shape:
            _hold(plain, value)
        else:
            free = made._originals()
            is_trained = any(isinstance(each, Parameter) for each in free)
            plain = Parameter(value, any(each.requires_grad for each in free)) if is_trained else value.detach()
    stop_computing(module, tensor_name)
    del module.parametrizations[tensor_name]
    if not len(module.parametrizations):
        del module.parametrizations
    _register(module, tensor_name, plain)
    return module


def type_before_parametrizations(module: Module) -> type:
    """The class of the module, which parametrizations leave as it is.

    >>> from thalweg import nn
    >>> nn.utils.parametrize.type_before_parametrizations(nn.Linear(2, 2)).__name__
    'Linear'
    """
    return type(module)


def transfer_parametrizations_and_params(
    from_module: Module, to_module: Module, tensor_name: str | None = None
) -> Module:
    """Register the parametrizations of one module's tensors on another's, which then share them and the originals.

    All of them, or those of one tensor; returns `to_module`.

    >>> from thalweg import nn
    >>> a, b = nn.utils.parametrizations.weight_norm(nn.Linear(3, 2)), nn.Linear(3, 2)
    >>> _ = nn.utils.parametrize.transfer_parametrizations_and_params(a, b)
    >>> b.parametrizations.weight.original0 is a.parametrizations.weight.original0
    True
    """
    made = from_module.parametrizations if is_parametrized(from_module) else {}
    for name in list(made) if tensor_name is None else [tensor_name]:
        if not hasattr(to_module, name):
            setattr(to_module, name, Parameter(getattr(from_module, name)))
        for each in made[name]:
            register_parametrization(to_module, name, each, unsafe=made[name].unsafe)
        for original, value in made[name]._parameters.items():
            setattr(to_module.parametrizations[name], original, value)
    return to_module


# --- the attribute, which the older forms share ----------------------------------------------------------------------


def tensor_of(module: Module, name: str) -> Tensor:
    """The parameter or buffer of this name."""
    found = module._parameters.get(name, module._buffers.get(name))
    if found is None:
        known = [*module._parameters, *module._buffers]
        raise ArgumentError(
            explain(
                f"{type(module).__name__} has no parameter or buffer of this name",
                received=repr(name),
                expected=f"one of {', '.join(known)}" if known else "it has none",
            )
        )
    return found


def compute(module: Module, name: str, attribute: Any) -> None:
    """From now on ``module.NAME`` is what `attribute.read(module)` gives."""
    module.__dict__.setdefault("_computed", {})[name] = attribute


def stop_computing(module: Module, name: str) -> Any:
    """The attribute is gone; what computed it."""
    return module.__dict__["_computed"].pop(name)


def _register(module: Module, name: str, tensor: Any) -> None:
    (module.register_parameter if isinstance(tensor, Parameter) else module.register_buffer)(name, tensor)


def _hold(cell: Tensor, value: Tensor) -> None:
    if cell is not value:
        write(cell, value.node)


def _check_another(parametrization: Any, value: Tensor) -> None:
    """What comes on top of other parametrizations maps values of the tensor to such values, both ways."""
    result = parametrization(value)
    _need_alike("a parametrization", result, value)
    if hasattr(parametrization, "right_inverse"):
        try:
            start = parametrization.right_inverse(result)
        except NotImplementedError:
            return
        _need_alike("right_inverse", start, value)


def _need_alike(what: str, found: Any, wanted: Tensor, shape: bool = True) -> None:
    remedy = "register it with unsafe=True if that is meant" if what == "a parametrization" else None
    if not isinstance(found, Tensor):
        raise DTypeError(explain(f"{what} gives a tensor", received=type(found).__name__, expected="a tensor"))
    if found.dtype is not wanted.dtype:
        raise DTypeError(
            explain(f"{what} changes the dtype", received=found.dtype.name, expected=wanted.dtype.name, remedy=remedy)
        )
    if shape and found.shape != wanted.shape:
        raise ShapeError(
            explain(f"{what} changes the shape", received=found.shape, expected=wanted.shape, remedy=remedy)
        )
