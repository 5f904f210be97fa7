"""The older forms of weight and spectral normalisation, whose parameters lie beside the weight under names of its own.

In: a module and the name of its weight. Out: the module, with ``weight_g`` and ``weight_v``, or ``weight_orig``,
``weight_u`` and ``weight_v`` in its state, as in PyTorch. New code takes `parametrizations`.
"""

from __future__ import annotations

from typing import Any

from thalweg.errors import ArgumentError, StateError, explain
from thalweg.nn.module import Module
from thalweg.nn.parameter import Parameter
from thalweg.nn.utils import norms
from thalweg.nn.utils.parametrize import compute, stop_computing, tensor_of
from thalweg.tensor.hooks import RemovableHandle
from thalweg.tensor.modes import set_recording


class _Beside:
    """A weight that is computed from tensors beside it, which bear its name and an ending."""

    kind: str
    endings: tuple[str, ...]

    def __init__(self, name: str, dim: int) -> None:
        self.name, self.dim = name, dim

    def _parts(self, module: Module) -> list[Any]:
        return [getattr(module, self.name + ending) for ending in self.endings]

    def read(self, module: Module) -> Any:
        raise NotImplementedError

    def write(self, module: Module, value: Any) -> None:
        raise StateError(
            explain(
                f"{type(module).__name__}.{self.name} is computed by {self.kind}",
                received="an assignment",
                expected=f"values for {', '.join(self.name + ending for ending in self.endings)}",
                remedy=f"write to those with copy_ under tw.no_grad(), or call remove_{self.kind} first",
            )
        )

    def remove(self, module: Module) -> None:
        with set_recording(False):
            weight = self.read(module)
        stop_computing(module, self.name)
        for ending in self.endings:
            delattr(module, self.name + ending)
        module.register_parameter(self.name, Parameter(weight))


class _WeightNorm(_Beside):
    kind, endings = "weight_norm", ("_g", "_v")

    def read(self, module: Module) -> Any:
        g, v = self._parts(module)
        return norms.weight_of(g, v, self.dim)


class _SpectralNorm(_Beside):
    kind, endings = "spectral_norm", ("_orig", "_u", "_v")
    handle: RemovableHandle

    def __init__(self, name: str, dim: int, n_power_iterations: int, eps: float) -> None:
        super().__init__(name, dim)
        self.n_power_iterations, self.eps = n_power_iterations, eps

    def read(self, module: Module) -> Any:
        weight, u, v = self._parts(module)
        return weight / norms.largest_singular_value(norms.as_matrix(weight, self.dim), u, v)

    def follow(self, module: Module, _: Any) -> None:
        """Before each forward pass in training mode."""
        if module.training:
            weight, u, v = self._parts(module)
            norms.iterate(norms.as_matrix(weight, self.dim), u, v, self.n_power_iterations, self.eps, u_first=False)

    def remove(self, module: Module) -> None:
        super().remove(module)
        self.handle.remove()


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """The weight becomes g v / |v|, as `parametrizations.weight_norm` makes it, with ``weight_g`` and ``weight_v``.

    Both are new parameters: make the optimizer afterwards. Returns the module. Salimans and Kingma, NeurIPS 2016.

    >>> from thalweg import nn
    >>> list(nn.utils.weight_norm(nn.Linear(3, 2)).state_dict())
    ['bias', 'weight_g', 'weight_v']
    """
    weight = tensor_of(module, name)
    attribute = _WeightNorm(name, norms.WHOLE if dim is None else dim)
    with set_recording(False):
        length = norms.norm_except(weight, attribute.dim)
    delattr(module, name)
    module.register_parameter(f"{name}_g", Parameter(length))
    module.register_parameter(f"{name}_v", Parameter(weight))
    compute(module, name, attribute)
    return module


def remove_weight_norm(module: Module, name: str = "weight") -> Module:
    """Make the weight a plain parameter of its present value; returns the module.

    Raises ArgumentError where there is no `weight_norm` of this name.

    >>> from thalweg import nn
    >>> list(nn.utils.remove_weight_norm(nn.utils.weight_norm(nn.Linear(3, 2))).state_dict())
    ['bias', 'weight']
    """
    return _removed(module, name, _WeightNorm)


def spectral_norm(
    module: Module, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12, dim: int | None = None
) -> Module:
    """The weight becomes W / sigma(W), as `parametrizations.spectral_norm` makes it, with the older names.

    ``weight_orig`` is the parameter that was there, ``weight_u`` and ``weight_v`` are buffers that start at random and
    follow W by `n_power_iterations` steps before each forward pass in training mode; each step takes v first. The
    weight is computed when it is read. Returns the module. Miyato et al., ICLR 2018.

    >>> from thalweg import nn
    >>> list(nn.utils.spectral_norm(nn.Linear(3, 2)).state_dict())
    ['bias', 'weight_orig', 'weight_u', 'weight_v']
    """
    weight = tensor_of(module, name)
    axis = norms.checked(n_power_iterations, norms.default_axis(module) if dim is None else dim, weight.ndim)
    attribute = _SpectralNorm(name, axis, n_power_iterations, eps)
    delattr(module, name)
    module.register_parameter(f"{name}_orig", weight)  # type: ignore[arg-type]
    for ending, length in zip("uv", norms.as_matrix(weight, axis).shape, strict=True):
        module.register_buffer(f"{name}_{ending}", norms.random_direction(length, weight, eps))
    compute(module, name, attribute)
    attribute.handle = module.register_forward_pre_hook(attribute.follow)
    return module


def remove_spectral_norm(module: Module, name: str = "weight") -> Module:
    """Make the weight a plain parameter of its present value; returns the module.

    Raises ArgumentError where there is no `spectral_norm` of this name.

    >>> from thalweg import nn
    >>> list(nn.utils.remove_spectral_norm(nn.utils.spectral_norm(nn.Linear(3, 2))).state_dict())
    ['bias', 'weight']
    """
    return _removed(module, name, _SpectralNorm)


def _removed(module: Module, name: str, kind: type[_Beside]) -> Module:
    attribute = module._computed.get(name)
    if not isinstance(attribute, kind):
        found = [each for each, made in module._computed.items() if isinstance(made, kind)]
        raise ArgumentError(
            explain(
                f"{type(module).__name__} has no {kind.kind} of this name",
                received=repr(name),
                expected=", ".join(map(repr, found)) or "it has none",
            )
        )
    attribute.remove(module)
    return module
