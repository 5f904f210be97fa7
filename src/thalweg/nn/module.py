"""`Module`: parameters, buffers and sub-modules under attribute names, and what can be done to all of them.

In: attributes assigned in `__init__`, and `forward`. Out: a callable whose state has PyTorch's names and layouts, whose
errors name the layer, and whose every change that a compiled step depends on raises the version number.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Self

import numpy as np

from thalweg.dtype import ALL_DTYPES, DType, as_dtype, float32, float64
from thalweg.errors import ArgumentError, DTypeError, ThalwegError, TraceError, explain
from thalweg.graph import full, make_input
from thalweg.nn import state, summaries
from thalweg.nn.applying import write
from thalweg.nn.calls import Structure, call
from thalweg.nn.construction import construction_line
from thalweg.nn.hooks import TakesHooks
from thalweg.nn.parameter import Parameter
from thalweg.tensor.core import Tensor
from thalweg.tensor.devices import check_device
from thalweg.tensor.devices import device as Device
from thalweg.tensor.holding import bump_version
from thalweg.tensor.modes import modes

_DTYPE_NAMES = frozenset(dtype.name for dtype in ALL_DTYPES)


class ModuleAttributeError(ThalwegError, AttributeError):
    """An attribute that a module does not have, or that was assigned before `super().__init__()`."""


class MissingForwardError(ThalwegError, NotImplementedError):
    """A module was called that does not say how to compute its result."""


class Module(TakesHooks):
    """Base of all layers and networks: assign parameters and sub-modules in `__init__`, compute in `forward`.

    Attribute names become the names of the state: `self.hidden = nn.Linear(4, 3)` owns ``hidden.weight`` and
    ``hidden.bias``, as in PyTorch.

    >>> import thalweg as tw
    >>> from thalweg import nn
    >>> class Net(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.hidden = nn.Linear(4, 3)
    ...         self.output = nn.Linear(3, 1)
    ...     def forward(self, x):
    ...         return self.output(self.hidden(x).relu())
    >>> net = Net()
    >>> net(tw.ones(2, 4)).shape
    (2, 1)
    >>> list(net.state_dict())
    ['hidden.weight', 'hidden.bias', 'output.weight', 'output.bias']
    """

    training: bool = True
    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Tensor | None]
    _modules: dict[str, Module | None]
    _non_persistent: set[str]
    _computed: Mapping[str, Any] = MappingProxyType({})  # what is made of others when it is read: `utils.parametrize`
    _made_at: tuple[str, int] | None = None

    def __init__(self) -> None:
        own = self.__dict__
        own["training"] = True
        own["_parameters"] = {}
        own["_buffers"] = {}
        own["_modules"] = {}
        own["_non_persistent"] = set()
        own["_made_at"] = construction_line(self, sys._getframe(1))
        if modes.trace is not None:  # made by the step itself, so it may be written by it
            own["_made_in"] = modes.trace

    # --- computing -------------------------------------------------------------------------------------------------

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return call(self, args, kwargs)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the result. Every module that is called must define it."""
        raise MissingForwardError(
            explain(
                f"{type(self).__name__} has no forward method",
                received=f"a call with {len(args) + len(kwargs)} arguments",
                expected="def forward(self, x): ... in the class",
                remedy="define forward, or call the sub-modules one by one",
            )
        )

    # --- attributes ------------------------------------------------------------------------------------------------

    def __getattr__(self, name: str) -> Any:
        own = self.__dict__
        for table in ("_parameters", "_buffers", "_modules"):
            if table in own and name in own[table]:
                return own[table][name]
        if name in self._computed:
            return self._computed[name].read(self)
        if isinstance(getattr(type(self), name, None), property):
            return object.__getattribute__(self, name)  # show the error inside the property, not this one
        missing_init = "" if "_parameters" in own else "; it never called super().__init__()"
        error = ModuleAttributeError(f"{type(self).__name__!r} object has no attribute {name!r}{missing_init}")
        error.name, error.obj = name, self  # lets Python suggest a name that is close
        raise error

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self._computed:
            self._computed[name].write(self, value)
            return
        if modes.trace is not None and self.__dict__.get("_made_in") is not modes.trace:
            self._set_while_traced(name, value)
            return
        if isinstance(value, Parameter):
            self.register_parameter(name, value)
        elif isinstance(value, Module):
            self.add_module(name, value)
        elif self._table_of(name) is not None:
            self._set_registered(name, value)
        else:
            _warn_of_hidden_modules(self, name, value)
            object.__setattr__(self, name, value)
        bump_version()

    def __delattr__(self, name: str) -> None:
        self._refuse_in_trace(name, "deleted")
        table = self._table_of(name)
        if table is None:
            object.__delattr__(self, name)
        else:
            del table[name]
            self._non_persistent.discard(name)
        Structure.number += 1
        bump_version()

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self._parameters, *self._buffers, *self._modules, *self._computed})

    def _table_of(self, name: str) -> dict[str, Any] | None:
        tables = (self.__dict__.get(each, {}) for each in ("_parameters", "_buffers", "_modules"))
        return next((table for table in tables if name in table), None)

    def _set_registered(self, name: str, value: Any) -> None:
        """A registered name takes values of its kind, or None."""
        table = self._table_of(name)
        assert table is not None
        is_buffer = table is self._buffers
        if value is not None and not (is_buffer and isinstance(value, Tensor)):
            kind = "buffer" if is_buffer else "parameter" if table is self._parameters else "module"
            wanted = {"buffer": "a tensor", "parameter": "an nn.Parameter", "module": "an nn.Module"}[kind]
            remedy = {"parameter": "wrap it in nn.Parameter(...), or write the values with copy_ under tw.no_grad()"}
            raise DTypeError(
                explain(
                    f"{type(self).__name__}.{name} is a {kind}",
                    received=type(value).__name__,
                    expected=f"{wanted}, or None",
                    remedy=remedy.get(kind, f"del the attribute {name!r} first to use the name for something else"),
                )
            )
        table[name] = value
        Structure.number += 1

    def _set_while_traced(self, name: str, value: Any) -> None:
        """In a step under compilation only cells may be written: a buffer takes the value in place."""
        if self.__dict__.get(name, modes) is value:
            return
        cell = self.__dict__.get("_buffers", {}).get(name)
        if isinstance(cell, Tensor) and isinstance(value, Tensor) and _fits_cell(cell, value):
            write(cell, value.node)
        else:
            self._refuse_in_trace(name, "set", value)

    def _refuse_in_trace(self, name: str, what: str, value: object = None) -> None:
        if modes.trace is None or self.__dict__.get("_made_in") is modes.trace:
            return
        raise TraceError(
            explain(
                f"{type(self).__name__}.{name} was {what} inside a step that is being compiled",
                received=type(value).__name__,
                expected="state in tensors that are written in place: it would be set once, not at every call",
                remedy="register a buffer and write it with copy_(), return the value, or set it outside the step",
            )
        )

    # --- registration ----------------------------------------------------------------------------------------------

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add a parameter under `name`; None reserves the name for one that is not there."""
        if param is not None and not isinstance(param, Parameter):
            raise DTypeError(
                explain(
                    f"register_parameter: {name!r} is not a parameter",
                    received=type(param).__name__,
                    expected="an nn.Parameter, or None",
                    remedy="wrap the tensor in nn.Parameter(...)",
                )
            )
        self._register("_parameters", name, param)

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Add a tensor that belongs to the state but is not trained, such as a running mean.

        With `persistent=False` it is left out of `state_dict`.
        """
        if tensor is not None and (not isinstance(tensor, Tensor) or isinstance(tensor, Parameter)):
            raise DTypeError(
                explain(
                    f"register_buffer: {name!r} is not a plain tensor",
                    received=type(tensor).__name__,
                    expected="a tensor, or None",
                    remedy="convert arrays with tw.tensor(...); assign an nn.Parameter as an attribute",
                )
            )
        self._register("_buffers", name, tensor)
        if not persistent:
            self._non_persistent.add(name)

    def add_module(self, name: str, module: Module | None) -> None:
        """Add a sub-module under `name`."""
        if module is not None and not isinstance(module, Module):
            is_class = isinstance(module, type)
            raise DTypeError(
                explain(
                    f"add_module: {name!r} is not a module",
                    received=f"the class {module.__name__}" if is_class else type(module).__name__,
                    expected="an nn.Module, or None",
                    remedy="make an instance: add parentheses" if is_class else "wrap a function in an nn.Module",
                )
            )
        self._register("_modules", name, module)

    register_module = add_module

    def _register(self, table: str, name: str, value: Any) -> None:
        own = self.__dict__
        if table not in own:
            raise ModuleAttributeError(
                explain(
                    f"{type(self).__name__}: {name!r} was assigned before Module.__init__()",
                    received=type(value).__name__,
                    expected="super().__init__() as the first line of __init__",
                    remedy=f"call super().__init__() before self.{name} = ...",
                )
            )
        self._refuse_in_trace(name, "set", value)
        self._check_name(name)
        for other in ("_parameters", "_buffers", "_modules"):
            if other != table:
                own[other].pop(name, None)
        own.pop(name, None)
        self._non_persistent.discard(name)
        own[table][name] = value
        Structure.number += 1
        bump_version()

    def _check_name(self, name: str) -> None:
        if not isinstance(name, str) or not name or "." in name:
            raise ArgumentError(
                explain(
                    "this cannot be the name of a parameter, buffer or module",
                    received=repr(name),
                    expected="a string that is not empty and has no dot",
                    remedy="dots separate the levels of a path; use an underscore",
                )
            )
        if hasattr(type(self), name):  # it would hide what is registered
            raise ArgumentError(
                explain(
                    f"{type(self).__name__} already has an attribute of its class by this name",
                    received=repr(name),
                    expected="a name that no method or class attribute has",
                    remedy=f"choose another name, for example {name + '_'!r}",
                )
            )

    # --- walking ---------------------------------------------------------------------------------------------------

    def named_modules(
        self, memo: set[int] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """This module and all below it with their paths, each once, parents first."""
        seen = set() if memo is None else memo
        if remove_duplicate and id(self) in seen:
            return
        seen.add(id(self))
        yield prefix, self
        for name, module in self._modules.items():
            if module is not None:
                path = f"{prefix}.{name}" if prefix else name
                yield from module.named_modules(seen, path, remove_duplicate)

    def modules(self) -> Iterator[Module]:
        """This module and all below it."""
        return (module for _, module in self.named_modules())

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The modules directly below this one, each once."""
        seen: set[int] = set()
        for name, module in self._modules.items():
            if module is not None and id(module) not in seen:
                seen.add(id(module))
                yield name, module

    def children(self) -> Iterator[Module]:
        """The modules directly below, in the order in which they were set."""
        return (module for _, module in self.named_children())

    def _named_members(self, table: str, prefix: str, recurse: bool, remove_duplicate: bool) -> Iterator[Any]:
        seen: set[int] = set()
        owners = self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate) if recurse else [(prefix, self)]
        for path, owner in owners:
            for name, member in owner.__dict__[table].items():
                if member is None or (remove_duplicate and id(member) in seen):
                    continue
                seen.add(id(member))
                yield (f"{path}.{name}" if path else name), member

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """The parameters with their paths; one that two layers share comes once."""
        return self._named_members("_parameters", prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """The parameters, for an optimizer."""
        return (parameter for _, parameter in self.named_parameters(recurse=recurse))

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """The buffers with their paths."""
        return self._named_members("_buffers", prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """The buffers of this module and, with `recurse`, of all below it."""
        return (buffer for _, buffer in self.named_buffers(recurse=recurse))

    def get_submodule(self, target: str) -> Module:
        """The module at a path such as ``"encoder.0"``; the empty path is this one."""
        module: Any = self
        for name in target.split(".") if target else ():
            module = module._modules.get(name) if isinstance(module, Module) else None
            if module is None:
                raise _no_such(self, "module", target, [path for path, _ in self.named_modules() if path])
        return module  # type: ignore[no-any-return]

    def get_parameter(self, target: str) -> Parameter:
        """The parameter at a path such as ``"encoder.0.weight"``."""
        for path, parameter in self.named_parameters(remove_duplicate=False):
            if path == target:
                return parameter
        raise _no_such(self, "parameter", target, [path for path, _ in self.named_parameters()])

    def get_buffer(self, target: str) -> Tensor:
        """The buffer at a path such as ``"encoder.1.running_mean"``."""
        for path, buffer in self.named_buffers(remove_duplicate=False):
            if path == target:
                return buffer
        raise _no_such(self, "buffer", target, [path for path, _ in self.named_buffers()])

    # --- state -----------------------------------------------------------------------------------------------------

    def state_dict(self, prefix: str = "", keep_vars: bool = False) -> dict[str, Tensor]:
        """All parameters and persistent buffers by path, with PyTorch's names and layouts.

        As in PyTorch the tensors show the live values: writing to one writes to the model, and training the model
        changes them. Take `copy.deepcopy(model.state_dict())` to keep the values of a moment. With `keep_vars` the
        parameters themselves are returned, not detached.
        """
        found = state.collect(self, prefix)
        return found if keep_vars else {name: tensor.detach() for name, tensor in found.items()}

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True) -> state.IncompatibleKeys:
        """Write the values of a state, of tensors or NumPy arrays, into the parameters and buffers of these names.

        Values are converted to the dtype of what they are written to. Raises `StateError` with all that is wrong:
        shapes that differ, and with `strict` also names that are missing or unexpected. Then nothing is changed.

        >>> from thalweg import nn
        >>> a, b = nn.Linear(2, 2), nn.Linear(2, 2)
        >>> a.load_state_dict(b.state_dict())
        <All keys matched successfully>
        """
        return state.load(self, state_dict, strict)

    # --- what is done to all of them -------------------------------------------------------------------------------

    def train(self, mode: bool = True) -> Self:
        """Training mode, in which dropout and batch normalisation behave as while learning; this and all below."""
        if not isinstance(mode, (bool, np.bool_)):
            raise ArgumentError(explain("train takes a bool", received=repr(mode), expected="True or False"))
        for module in self.modules():
            if module.training is not bool(mode):
                module.training = bool(mode)
        return self

    def eval(self) -> Self:
        """Evaluation mode: the same as `train(False)`."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Ask for gradients of all parameters, or freeze them."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters; with `set_to_none=False` write zeros into them."""
        for parameter in self.parameters():
            if set_to_none:
                parameter.grad = None  # without a look at it: a compiled step may have used it up
            elif (gradient := parameter.grad) is not None:
                write(gradient, full(gradient.shape, 0, gradient.dtype))

    def apply(self, fn: Callable[[Module], object]) -> Self:
        """Call `fn` with every module, children first: the way to initialise by kind."""
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    def to(self, *args: Any, dtype: object = None, device: object = None) -> Self:
        """Convert all floating-point parameters and buffers to a dtype, in place; the device can only be the CPU."""
        for each in (*args, device):
            if isinstance(each, Tensor):
                dtype = each.dtype
            elif isinstance(each, Device) or (isinstance(each, str) and each not in _DTYPE_NAMES):
                check_device(each)
            elif each is not None:
                dtype = each
        if dtype is not None:
            self._convert(as_dtype(dtype))
        return self

    def double(self) -> Self:
        """To float64, in place."""
        return self.to(float64)

    def float(self) -> Self:
        """To float32, in place."""
        return self.to(float32)

    def cpu(self) -> Self:
        """The module itself: there is no other device."""
        return self

    def _convert(self, dtype: DType) -> None:
        if not dtype.is_floating_point:
            raise DTypeError(
                explain(
                    "a module can be converted to floating-point dtypes only",
                    received=dtype.name,
                    expected="float32 or float64",
                    remedy="convert the inputs instead",
                )
            )
        self._refuse_in_trace("dtype", "set", dtype)
        for tensor in [*self.parameters(), *self.buffers()]:
            if tensor.dtype.is_floating_point and tensor.dtype is not dtype:
                _convert_cell(tensor, dtype)
        bump_version()

    # --- reading ---------------------------------------------------------------------------------------------------

    def extra_repr(self) -> str:
        """What stands between the parentheses of the representation; subclasses say their settings here."""
        return ""

    def __repr__(self) -> str:
        settings = self.extra_repr()
        children = [f"({name}): {_indent(repr(module))}" for name, module in self._modules.items()]
        name = type(self).__name__
        if not children:
            return f"{name}({settings})" if "\n" not in settings else f"{name}(\n  {_indent(settings)}\n)"
        lines = "\n  ".join([*(settings.splitlines()), *children])
        return f"{name}(\n  {lines}\n)"

    def _repr_html_(self) -> str:
        """The layers as a table, for notebooks."""
        return summaries.architecture_html(self)

    def summary(
        self, *input_shapes: Any, dtype: object = None, depth: int | None = None, width: int | None = None
    ) -> summaries.Summary:
        """The layers as a tree, for an input of this shape (with the batch axis): output shapes, parameters, bytes.

        Give one shape for each input of `forward`. `dtype` is that of the inputs, by default that of the parameters;
        a network that starts with an embedding needs ``dtype="int64"``. Shapes are found without computing values.

        A row counts all that lies below it, and its share of the whole; a parameter that several layers share counts
        at the first of them. `depth` leaves out what lies deeper. Lines are cut to `width` letters, by default that of
        the terminal.

        >>> from thalweg import nn
        >>> nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10)).summary((64, 784))
        layer        output shape  parameters  trainable   share
        --------------------------------------------------------
        Sequential   (64, 10)         101,770    101,770  100.0%
          0: Linear  (64, 128)        100,480    100,480   98.7%
          1: ReLU    (64, 128)              -          -       -
          2: Linear  (64, 10)           1,290      1,290    1.3%
        --------------------------------------------------------
        total parameters           101,770
        trainable parameters       101,770
        bytes                      407,080
        """
        return summaries.summarise(self, input_shapes, dtype, depth, width)


def _fits_cell(cell: Tensor, value: Tensor) -> bool:
    """Whether the value can be kept in the cell: what the next call would differentiate through cannot."""
    return cell.shape == value.shape and cell.dtype is value.dtype and not value.requires_grad


def _convert_cell(tensor: Tensor, dtype: DType) -> None:
    """The same tensor in another dtype: optimizers keep their hold on it."""
    array = tensor._array().astype(dtype.numpy)
    tensor._base = tensor._root = None  # a buffer that was a view of another dtype views nothing any more
    tensor._replace(make_input(array.shape, dtype, array))
    gradient = tensor._grad
    if isinstance(gradient, Tensor):
        tensor._grad = Tensor(gradient._array().astype(dtype.numpy))


def _indent(text: str) -> str:
    return text.replace("\n", "\n  ")


def _no_such(module: Module, kind: str, target: str, known: list[str]) -> ModuleAttributeError:
    return ModuleAttributeError(
        explain(
            f"{type(module).__name__} has no {kind} at this path",
            received=repr(target),
            expected=f"one of {', '.join(known[:20])}{', ...' if len(known) > 20 else ''}" if known else f"no {kind}",
        )
    )


def _warn_of_hidden_modules(module: Module, name: str, value: object) -> None:
    """Modules and parameters in a plain list are trained by nobody: PyTorch's users know the mistake well."""
    members = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
    found = next((each for each in members if isinstance(each, (Module, Parameter))), None)
    if found is not None:
        remedy = "nn.ModuleList or nn.ModuleDict" if isinstance(found, Module) else "one attribute for each"
        warnings.warn(
            f"{type(module).__name__}.{name} is a plain {type(value).__name__} that holds a {type(found).__name__}: "
            f"its parameters are not registered, so no optimizer or state_dict sees them; use {remedy}",
            stacklevel=3,
        )
