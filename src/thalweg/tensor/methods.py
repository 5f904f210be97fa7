"""The methods and functions of tensors: PyTorch's names, bound to the expressions that they are sugar for.

In: the expression functions of this room. Out: `Tensor` with its methods and operators, and the same functions by name
for `tw.*`. Each name is stated once, in a table.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from thalweg import ops
from thalweg.dtype import ALL_DTYPES, DType, as_dtype, bool_, float32, float64, int32, int64, uint8
from thalweg.errors import ArgumentError, DTypeError, GradientError, ShapeError, explain
from thalweg.graph import Node, next_serial
from thalweg.tensor import (
    arithmetic,
    combining,
    counting,
    elementary,
    filling,
    hooks,
    indexing,
    products,
    ranking,
    rearranging,
    reductions,
    shaping,
    statistics,
)
from thalweg.tensor.backward import backward, grad
from thalweg.tensor.core import Tensor
from thalweg.tensor.devices import check_device
from thalweg.tensor.devices import device as Device
from thalweg.tensor.lifting import as_tensor, lift, lift_in_place, lift_view, lower, wrap

# --- plain results: function of nodes -> method and tw.function ------------------------------------------------------

FUNCTIONS: dict[str, Callable[..., Any]] = {
    "add": arithmetic.add,
    "sub": arithmetic.subtract,
    "mul": arithmetic.multiply,
    "div": arithmetic.divide,
    "true_divide": arithmetic.divide,
    "floor_divide": arithmetic.floor_divide,
    "remainder": arithmetic.remainder,
    "pow": arithmetic.power,
    "maximum": arithmetic.maximum,
    "minimum": arithmetic.minimum,
    "neg": arithmetic.negative,
    "abs": arithmetic.absolute,
    "sign": arithmetic.sign,
    "exp": arithmetic.exp,
    "expm1": arithmetic.expm1,
    "log": arithmetic.log,
    "log1p": arithmetic.log1p,
    "log2": arithmetic.log2,
    "log10": arithmetic.log10,
    "sqrt": arithmetic.sqrt,
    "rsqrt": arithmetic.rsqrt,
    "reciprocal": arithmetic.reciprocal,
    "square": arithmetic.square,
    "sin": arithmetic.sin,
    "cos": arithmetic.cos,
    "tan": arithmetic.tan,
    "atan": arithmetic.arctan,
    "sinh": arithmetic.sinh,
    "cosh": arithmetic.cosh,
    "tanh": arithmetic.tanh,
    "sigmoid": arithmetic.sigmoid,
    "erf": arithmetic.erf,
    "relu": arithmetic.relu,
    "floor": arithmetic.floor,
    "ceil": arithmetic.ceil,
    "round": arithmetic.round_,
    "trunc": arithmetic.trunc,
    "clamp": arithmetic.clamp,
    "clip": arithmetic.clamp,
    "masked_fill": arithmetic.masked_fill,
    "eq": arithmetic.equal,
    "ne": arithmetic.not_equal,
    "lt": arithmetic.less,
    "le": arithmetic.less_equal,
    "gt": arithmetic.greater,
    "ge": arithmetic.greater_equal,
    "logical_and": arithmetic.logical_and,
    "logical_or": arithmetic.logical_or,
    "logical_xor": arithmetic.logical_xor,
    "logical_not": arithmetic.logical_not,
    "bitwise_and": arithmetic.bitwise_and,
    "bitwise_or": arithmetic.bitwise_or,
    "bitwise_xor": arithmetic.bitwise_xor,
    "bitwise_not": arithmetic.bitwise_not,
    "isnan": arithmetic.isnan,
    "isinf": arithmetic.isinf,
    "isfinite": arithmetic.isfinite,
    "sum": reductions.sum_,
    "mean": reductions.mean,
    "var": reductions.var,
    "std": reductions.std,
    "prod": reductions.prod,
    "amax": reductions.amax,
    "amin": reductions.amin,
    "any": reductions.any_,
    "all": reductions.all_,
    "argmax": reductions.argmax,
    "argmin": reductions.argmin,
    "cumsum": reductions.cumsum,
    "softmax": reductions.softmax,
    "log_softmax": reductions.log_softmax,
    "logsumexp": reductions.logsumexp,
    "norm": reductions.norm,
    "median": reductions.median,
    "argsort": reductions.argsort,
    "sort": reductions.sort,
    "topk": reductions.topk,
    "matmul": products.matmul,
    "mm": products.mm,
    "bmm": products.bmm,
    "mv": products.mv,
    "dot": products.dot,
    "outer": products.outer,
    "gather": indexing.gather,
    "scatter_add": indexing.scatter_add,
    "scatter": indexing.scatter,
    "index_select": indexing.index_select,
    "tril": indexing.tril,
    "triu": indexing.triu,
    "diag": indexing.diag,
    "diagonal": indexing.diagonal,
    "flip": shaping.flip,
    "roll": shaping.roll,
    "repeat": shaping.repeat,
    "repeat_interleave": shaping.repeat_interleave,
}

VIEWS: dict[str, Callable[..., Any]] = {
    "reshape": shaping.reshape,
    "view": shaping.reshape,
    "flatten": shaping.flatten,
    "unflatten": shaping.unflatten,
    "permute": shaping.permute,
    "transpose": shaping.transpose,
    "t": shaping.matrix_transpose,
    "movedim": shaping.movedim,
    "squeeze": shaping.squeeze,
    "unsqueeze": shaping.unsqueeze,
    "expand": shaping.expand,
    "expand_as": shaping.expand_as,
    "broadcast_to": shaping.expand,
    "narrow": shaping.narrow,
    "split": shaping.split,
    "chunk": shaping.chunk,
    "unbind": shaping.unbind,
}

IN_PLACE: tuple[str, ...] = (
    "add", "sub", "mul", "div", "pow", "neg", "abs", "exp", "log", "sqrt", "tanh", "sigmoid", "relu", "clamp", "round",
    "floor", "masked_fill", "scatter_add", "scatter", "reciprocal", "tril", "triu",
)  # fmt: skip


def _scaled(name: str, function: Callable[..., Node]) -> Callable[..., Node]:
    """`add(x, y, alpha=2)` and `sub` with a factor, as in PyTorch."""

    def scaled(x: Any, other: Any, *, alpha: float = 1) -> Node:
        return function(x, other if alpha == 1 else arithmetic.multiply(other, alpha))

    scaled.__name__ = name
    scaled.__doc__ = f"{function.__doc__} With `alpha`, the second operand is multiplied by it first."
    return scaled


FUNCTIONS["add"] = _scaled("add", arithmetic.add)
FUNCTIONS["sub"] = _scaled("sub", arithmetic.subtract)
for _more in (elementary, rearranging, statistics, combining, ranking):
    FUNCTIONS.update(_more.FUNCTIONS)
VIEWS.update(rearranging.VIEWS)
IN_PLACE += (
    *elementary.IN_PLACE, *combining.IN_PLACE, *statistics.IN_PLACE,
    "multiply", "subtract", "divide", "true_divide", "expm1", "log1p", "log2", "log10", "rsqrt", "square", "sin",
    "cos", "tan", "atan", "sinh", "cosh", "erf", "ceil", "trunc", "clip", "index_add", "index_copy", "index_fill",
    "bitwise_and", "bitwise_or", "bitwise_xor", "bitwise_not", "floor_divide", "remainder", "sign", "cumsum",
)  # fmt: skip
for _name, _other in (("multiply", "mul"), ("subtract", "sub"), ("divide", "div")):
    FUNCTIONS[_name] = FUNCTIONS[_other]

for _name, _function in FUNCTIONS.items():
    setattr(Tensor, _name, lift(_function))
for _name, _function in VIEWS.items():
    setattr(Tensor, _name, lift_view(_function))
for _name in IN_PLACE:
    setattr(Tensor, _name + "_", lift_in_place(FUNCTIONS[_name]))
for _name, _function in (counting.METHODS | filling.METHODS).items():
    setattr(Tensor, _name, _function)


# --- methods with a form of their own --------------------------------------------------------------------------------


def _method(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def add_to_tensor(function: Callable[..., Any]) -> Callable[..., Any]:
        setattr(Tensor, name, function)
        return function

    return add_to_tensor


def _extreme(
    which: str, extreme: Callable[..., Node], pairwise: Callable[..., Node], with_position: Callable[..., Any]
) -> Any:
    """`x.max()`, `x.max(dim)` (values and positions) and `x.max(other)` are three operations under one name."""

    def function(x: Node, dim: Any = None, keepdim: bool = False) -> Any:
        if dim is None:
            return extreme(x)
        if isinstance(dim, Node):
            return pairwise(x, dim)
        return with_position(x, dim, keepdim)

    function.__name__, function.__doc__ = which, _ABOUT_EXTREMES.format("largest" if which == "max" else "smallest")
    return function


_ABOUT_EXTREMES = (
    "The {0} entry of all; with an axis `dim` the {0} along it and where they stand, `values` and `indices`; with\n"
    "another tensor the {0} of each pair."
)
FUNCTIONS["max"] = _extreme("max", reductions.amax, arithmetic.maximum, reductions.max_with_position)
FUNCTIONS["min"] = _extreme("min", reductions.amin, arithmetic.minimum, reductions.min_with_position)
Tensor.max = lift(FUNCTIONS["max"])  # type: ignore[method-assign]
Tensor.min = lift(FUNCTIONS["min"])  # type: ignore[method-assign]
Tensor.T = property(  # type: ignore[method-assign,assignment]
    lift_view(shaping.reverse_axes), doc="The axes in reverse order, as a view."
)
Tensor.mT = property(  # type: ignore[method-assign,assignment]
    lambda self: self.transpose(-1, -2), doc="The last two axes exchanged, as a view."
)
Tensor.backward = backward  # type: ignore[method-assign,assignment]
Tensor.register_hook = hooks.register_hook  # type: ignore[method-assign,assignment]
Tensor.register_post_accumulate_grad_hook = hooks.register_post_accumulate_grad_hook  # type: ignore[method-assign,assignment]


@_method("to")
def _to(
    self: Tensor,
    *args: Any,
    dtype: object = None,
    copy: bool = False,
    device: object = None,
    non_blocking: bool = False,
    memory_format: object = None,
) -> Tensor:
    """This tensor in another dtype; a device other than "cpu" is refused.

    Behind the dtype, the device or the tensor to be like may stand `non_blocking`, which changes nothing, and `copy`.
    """
    check_device(device)
    switches = [each for each in args if isinstance(each, bool)]
    copy = copy or switches[1:2] == [True]
    for each in args:
        if isinstance(each, bool):
            continue
        if isinstance(each, Tensor):
            dtype = each.dtype
        elif isinstance(each, Device) or (isinstance(each, str) and each not in [one.name for one in ALL_DTYPES]):
            check_device(each)
        elif each is not None:
            dtype = each
    if dtype is None or as_dtype(dtype) is self.dtype:
        return self.clone() if copy else self
    return lift(arithmetic.cast)(self, as_dtype(dtype))  # type: ignore[no-any-return]


def _conversion(dtype: DType) -> Callable[[Tensor], Tensor]:
    def convert(self: Tensor) -> Tensor:
        return _to(self, dtype)  # type: ignore[no-any-return]

    convert.__doc__ = f"This tensor as {dtype.name}."
    return convert


for _name, _dtype in (("float", float32), ("double", float64), ("int", int32), ("long", int64), ("bool", bool_),
                      ("byte", uint8)):  # fmt: skip
    setattr(Tensor, _name, _conversion(_dtype))


@_method("type_as")
def _type_as(self: Tensor, other: Tensor) -> Tensor:
    """This tensor in the dtype of another."""
    return _to(self, other.dtype)  # type: ignore[no-any-return]


@_method("type")
def _type(self: Tensor, dtype: object = None, non_blocking: bool = False) -> Any:
    """This tensor in another dtype; without one the name of its own."""
    return repr(self.dtype) if dtype is None else _to(self, dtype)


@_method("cpu")
def _cpu(self: Tensor) -> Tensor:
    """The tensor itself: there is no other device."""
    return self


@_method("view_as")
def _view_as(self: Tensor, other: Tensor) -> Tensor:
    """The same entries in the shape of another tensor, as a view."""
    return self.view(other.shape)


Tensor.reshape_as = _view_as  # type: ignore[method-assign]
Tensor.nelement = Tensor.numel  # type: ignore[method-assign,assignment]
Tensor.ndimension = Tensor.dim  # type: ignore[method-assign,assignment]


@_method("sum_to_size")
def _sum_to_size(self: Tensor, *size: int | Sequence[int]) -> Tensor:
    """Summed to a shape that broadcasts to this tensor's: what becomes of a gradient where a value was repeated."""
    return lift(reductions.sum_to)(self, shaping.flat_ints(size))  # type: ignore[no-any-return]


@_method("detach_")
def _detach_(self: Tensor) -> Tensor:
    """Make this tensor a leaf with the same values; a view cannot become one."""
    if self._base is not None:
        raise GradientError(
            explain("a view cannot be detached in place", received=self._summary(), expected="a tensor of its own",
                    remedy="x = x.detach()")
        )  # fmt: skip
    if self.requires_grad:
        node = ops.detach(self.node)
        self._requires_grad, self._leaf = False, True
        self._replace(node)
    return self


def _indices(index: Any, flags: list[bool]) -> Any:
    """The index expression with tensors as nodes; a bool mask's values must be known, so they are computed."""
    parts = index if isinstance(index, tuple) else (index,)
    lowered = tuple(_index_part(part, flags) for part in parts)
    return lowered if isinstance(index, tuple) else lowered[0]


def _index_part(part: Any, flags: list[bool]) -> Any:
    if isinstance(part, np.ndarray) and part.dtype.kind in "iu":
        return lower(part, flags)  # in a trace, an input of the program
    if isinstance(part, list):
        return [_index_part(each, flags) for each in part]
    if not isinstance(part, Tensor):
        return part
    if part.dtype is bool_:
        part._array()
    return lower(part.detach() if part.requires_grad else part, flags)


@_method("where")
def _where(self: Tensor, condition: Tensor, other: Any) -> Tensor:
    """This tensor's entries where the condition holds, else those of `other`."""
    return lift(arithmetic.where)(condition, self, other)  # type: ignore[no-any-return]


@_method("__getitem__")
def _getitem(self: Tensor, index: Any) -> Tensor:
    if indexing.is_basic(index):
        return lift_view(indexing.getitem)(self, index)  # type: ignore[no-any-return]
    flags: list[bool] = []
    node = lower(self, flags)
    return wrap(indexing.getitem(node, _indices(index, flags)), bool(flags))  # type: ignore[no-any-return]


@_method("__setitem__")
def _setitem(self: Tensor, index: Any, value: Any) -> None:
    flags: list[bool] = []
    since = next_serial()
    node = lower(self, flags)
    parts = _set_index(self, index, value, flags)
    new = indexing.setitem(node, parts, arithmetic.as_node(_value_node(value, flags), self.dtype))
    self._assign(new, bool(flags), since)


def _set_index(self: Tensor, index: Any, value: Any, flags: list[bool]) -> Any:
    """A whole mask with a single value needs no positions, so its values may stay pending."""
    if isinstance(index, Tensor) and index.dtype is bool_ and not (isinstance(value, Tensor) and value.ndim):
        return lower(index, flags)
    return _indices(index, flags)


def _value_node(value: Any, flags: list[bool]) -> Any:
    return lower(value, flags)


@_method("index_put_")
def _index_put_(self: Tensor, indices: Sequence[Tensor], values: Tensor) -> Tensor:
    """x[indices] = values, in place."""
    _setitem(self, tuple(indices), values)
    return self


@_method("masked_select")
def _masked_select(self: Tensor, mask: Tensor) -> Tensor:
    """The entries where the mask is True, as a vector; both broadcast. How many there are depends on values."""
    shape = arithmetic.broadcast_shapes(self.shape, mask.shape, name="masked_select")
    return _getitem(self.expand(shape), mask.expand(shape)).reshape(-1)  # type: ignore[no-any-return]


@_method("copy_")
def _copy_(self: Tensor, source: Any) -> Tensor:
    """Write another tensor's values here, converting the dtype and broadcasting."""
    flags: list[bool] = []
    since = next_serial()
    node = arithmetic.as_node(lower(source, flags), self.dtype)
    if arithmetic.broadcast_shapes(node.shape, self.shape, name="copy_") != self.shape:
        raise ShapeError(
            explain("copy_: the source does not fit", received=f"shape {node.shape}",
                    expected=f"a shape that broadcasts to {self.shape}")
        )  # fmt: skip
    self._assign(arithmetic.expand_to(node, self.shape), bool(flags), since)
    return self


def _addcmul(x: Node, a: Any, b: Any, *, value: float = 1) -> Node:
    """x + value * a * b."""
    return arithmetic.add(x, arithmetic.multiply(arithmetic.multiply(a, b), value))


def _addcdiv(x: Node, a: Any, b: Any, *, value: float = 1) -> Node:
    """x + value * a / b."""
    return arithmetic.add(x, arithmetic.multiply(arithmetic.divide(a, b), value))


def _lerp(x: Node, end: Any, weight: Any) -> Node:
    """x + weight (end - x)."""
    return arithmetic.add(x, arithmetic.multiply(arithmetic.subtract(end, x), weight))


for _name, _function in (("addcmul", _addcmul), ("addcdiv", _addcdiv), ("lerp", _lerp)):
    FUNCTIONS[_name] = _function
    setattr(Tensor, _name, lift(_function))
    setattr(Tensor, _name + "_", lift_in_place(_function))


def _deepcopy(self: Tensor, memo: dict[int, Any]) -> Tensor:
    """A leaf with the same values, `requires_grad` and gradient."""
    if not self.is_leaf:
        raise ArgumentError(
            explain("only leaf tensors can be copied deeply", received=self._summary(), remedy="use .detach().clone()")
        )
    copy = type(self).__new__(type(self))
    Tensor.__init__(copy, self._array())
    copy._requires_grad = self._requires_grad
    memo[id(self)] = copy
    if isinstance(self._grad, Tensor):
        copy._grad = Tensor(self._grad._array())
    for name, value in getattr(self, "__dict__", {}).items():
        setattr(copy, name, value)
    return copy


Tensor.__deepcopy__ = _deepcopy  # type: ignore[attr-defined]


# --- operators -------------------------------------------------------------------------------------------------------


def _swapped(function: Callable[..., Node]) -> Callable[..., Node]:
    def swapped(x: Any, other: Any) -> Node:
        return function(other, x)

    return swapped


_OPERATORS: dict[str, Callable[..., Node]] = {
    "add": arithmetic.add, "sub": arithmetic.subtract, "mul": arithmetic.multiply, "truediv": arithmetic.divide,
    "floordiv": arithmetic.floor_divide, "mod": arithmetic.remainder, "pow": arithmetic.power,
    "matmul": products.matmul, "and": arithmetic.bitwise_and, "or": arithmetic.bitwise_or,
    "xor": arithmetic.bitwise_xor,
}  # fmt: skip
_COMPARISONS = {
    "eq": "equal",
    "ne": "not_equal",
    "lt": "less",
    "le": "less_equal",
    "gt": "greater",
    "ge": "greater_equal",
}


def _operator(function: Callable[..., Any]) -> Callable[..., Any]:
    """NotImplemented for foreign types, so that Python tries the other operand."""
    lifted = lift(function)

    def operator(self: Tensor, other: Any) -> Any:
        return lifted(self, other) if _is_operand(other) else NotImplemented

    return operator


def _is_operand(other: object) -> bool:
    return isinstance(other, (Tensor, int, float, bool)) or hasattr(other, "__array__")


for _name, _function in _OPERATORS.items():
    setattr(Tensor, f"__{_name}__", _operator(_function))
    setattr(Tensor, f"__r{_name}__", _operator(_swapped(_function)))
    if _name != "matmul":  # as in PyTorch, `x @= y` makes a new tensor
        setattr(Tensor, f"__i{_name}__", lift_in_place(_function))
for _name, _expression in _COMPARISONS.items():
    setattr(Tensor, f"__{_name}__", _operator(getattr(arithmetic, _expression)))
_UNARY = {"neg": arithmetic.negative, "abs": arithmetic.absolute, "invert": arithmetic.bitwise_not}
for _name, _function in _UNARY.items():
    setattr(Tensor, f"__{_name}__", lift(_function))
_method("__pos__")(lambda self: self)
Tensor.__array_priority__ = 1000  # type: ignore[attr-defined]
Tensor.__array_ufunc__ = None  # type: ignore[attr-defined]
Tensor.__hash__ = object.__hash__  # type: ignore[assignment]


# --- functions -------------------------------------------------------------------------------------------------------

_ONLY_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "where": arithmetic.where,
    "cat": shaping.cat,
    "concat": shaping.cat,
    "stack": shaping.stack,
    "einsum": products.einsum,
    "broadcast_tensors": shaping.broadcast_tensors,
    **rearranging.OF_SEVERAL,
}
_OTHERS = ("clone", "masked_select", "numel", "is_floating_point")
_THROUGH_METHODS = tuple(name for name in VIEWS if name not in ("view", "expand_as"))


def _through_method(name: str) -> Callable[..., Any]:
    method = getattr(Tensor, name)

    def function(input: Any, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(input, (Tensor, np.ndarray)):
            raise _no_tensor(name, input)
        return method(as_tensor(input), *args, **kwargs)

    function.__name__ = name
    function.__doc__ = method.__doc__
    return function


def _on_a_tensor(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, after a look at its first argument; arithmetic and comparison take numbers there too."""
    lifted = lift(function)
    if name in _ONLY_FUNCTIONS or name in _BINARY or function.__module__ == arithmetic.__name__:
        return lifted
    return _checked(name, lifted)


def _checked(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of tensors, after a look at its first argument."""

    @functools.wraps(function)
    def checked(input: Any, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(input, (Tensor, np.ndarray)):
            raise _no_tensor(name, input)
        return function(as_tensor(input), *args, **kwargs)

    return checked


def _no_tensor(name: str, received: object) -> DTypeError:
    return DTypeError(
        explain(f"{name} takes a tensor", received=type(received).__name__, expected="a tensor or a NumPy array",
                remedy="convert it with tw.tensor(...)")
    )  # fmt: skip


_BINARY = ("add", "sub", "subtract", "max", "min", *elementary.FUNCTIONS)

functions: dict[str, Callable[..., Any]] = {
    **{name: _on_a_tensor(name, function) for name, function in (FUNCTIONS | _ONLY_FUNCTIONS).items()},
    **{name: _through_method(name) for name in _THROUGH_METHODS},
    **{name: _checked(name, function) for name, function in counting.METHODS.items()},
    **{name: _through_method(name) for name in _OTHERS},
    "grad": grad,
}
