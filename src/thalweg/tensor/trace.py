"""`tw.compile`: trace a Python step once for each signature, then run it as one program.

In: a function of tensors. Out: a callable that does the same. While the function is traced, every cell that it reads
becomes an input of the program and every cell that it writes an output in place; nothing is frozen into it.
"""

from __future__ import annotations

import ctypes
import functools
import sys
import traceback
import warnings
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from thalweg.compile.fuse import is_number
from thalweg.compile.program import Executable, Program, executable_for
from thalweg.dtype import dtype_of_array, float64
from thalweg.errors import TraceError, explain
from thalweg.graph import Node, make_input, substitute
from thalweg.tensor.core import CONSUMED, ConsumedGradient, Tensor, Touches, Version, release, settle
from thalweg.tensor.modes import modes
from thalweg.tensor.tree import Structure, flatten, unflatten

_PACKAGE = str(Path(__file__).resolve().parent.parent)
_SIGNATURES_BEFORE_WARNING = 8


class Trace:
    """What one run of the Python function read and wrote."""

    def __init__(self) -> None:
        self.inputs: dict[int, tuple[Any, Node]] = {}  # by identity: (tensor or array, its input node)
        self.values: dict[int, tuple[Tensor, Node]] = {}  # cells written: their newest node
        self.gradients: dict[int, tuple[Tensor, Tensor | ConsumedGradient | None]] = {}
        self.presence: list[tuple[Tensor, bool]] = []  # gradients that were looked at before they were set
        self.consumed: set[int] = set()

    def read(self, tensor: Tensor) -> Node:
        if id(tensor) in self.values:
            return self.values[id(tensor)][1]
        found = self.inputs.get(id(tensor))
        if found is None:
            node = make_input(tensor._node.shape, tensor._node.dtype)
            node.holder = tensor._node.holder if tensor._node.holder is not None else None
            found = self.inputs[id(tensor)] = (tensor, node)
        return found[1]

    def read_array(self, array: np.ndarray) -> Node:
        """An array that the function closes over, or makes: a live input, never a frozen constant."""
        found = self.inputs.get(id(array))
        if found is None:
            found = self.inputs[id(array)] = (array, make_input(array.shape, dtype_of_array(array)))
        return found[1]

    def write(self, tensor: Tensor, node: Node) -> None:
        self.read(tensor)  # a written cell is an input too, so that the program can write it in place
        node.holder = self.inputs[id(tensor)][1].holder
        self.values[id(tensor)] = (tensor, node)

    def read_grad(self, tensor: Tensor) -> Tensor | ConsumedGradient | None:
        if id(tensor) in self.gradients:
            if isinstance(self.gradients[id(tensor)][1], Tensor):
                self.consumed.add(id(tensor))
            return self.gradients[id(tensor)][1]
        if tensor._trace is not self:
            self.presence.append((tensor, tensor._grad is not None))
        return tensor._grad

    def write_grad(self, tensor: Tensor, value: Tensor | None) -> None:
        self.gradients[id(tensor)] = (tensor, value)

    def refuse_value(self, tensor: Tensor) -> None:
        raise TraceError(
            explain(
                "a compiled step cannot look at a value while it is being traced",
                received=tensor._summary(),
                expected="operations whose shape does not depend on values",
                where=_user_line(),
                remedy="use tw.where instead of `if`, or return the tensor and look at it outside the step",
            )
        )


def _user_line() -> str:
    """The innermost line of the user's own code."""
    for frame in reversed(traceback.extract_stack()):
        if not frame.filename.startswith(_PACKAGE):
            return f"{frame.filename}:{frame.lineno}: {frame.line}"
    return "unknown"


@dataclass
class Compiled:
    """One signature's program, and how its inputs and outputs connect to the cells."""

    version: int
    program: Program
    executable: Executable
    sources: list[Any]  # of each input: a tensor, an array, or the index of an argument leaf
    returned: list[Any]  # of each leaf of the result: an output index, or a static value
    structure: Structure
    requires_grad: list[bool]
    written: list[tuple[Tensor, int]]
    gradients: list[tuple[Tensor, Any]]
    presence: list[tuple[Tensor, bool]]
    is_differentiable: bool = False

    def is_current(self) -> bool:
        return self.version == Version.number and all((t._grad is not None) == was for t, was in self.presence)


@dataclass(frozen=True)
class Output:
    """Place of a leaf of the result: the program's output of that index."""

    index: int


class Step:
    """The callable that `tw.compile` returns."""

    def __init__(self, function: Callable[..., Any], keep_gradients: bool = False) -> None:
        functools.update_wrapper(self, function, updated=())
        self.function = function
        self.keep_gradients = keep_gradients
        self.name = getattr(function, "__name__", type(function).__name__)
        self._programs: dict[Hashable, Compiled] = {}
        self._warm: WarmCall | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if modes.trace is not None:
            return self.function(*args, **kwargs)  # inside another compiled step: part of its program
        if self._warm is not None and not kwargs:
            result = self._warm(args)
            if result is not COLD:
                return result
        leaves, structure = flatten((args, kwargs))
        key = (structure, tuple(map(_signature, leaves)), modes.grad_enabled)
        compiled = self._programs.get(key)
        if compiled is None or not compiled.is_current():
            self._warn_about_signatures(key)
            compiled = self._programs[key] = self._trace(leaves, structure)
        result = _run(compiled, leaves)
        self._warm = None if kwargs else warm_call(compiled, args)
        return result

    def _warn_about_signatures(self, key: Hashable) -> None:
        if key not in self._programs and len(self._programs) == _SIGNATURES_BEFORE_WARNING:
            warnings.warn(
                explain(
                    f"{self.name} has been compiled for more than {_SIGNATURES_BEFORE_WARNING} signatures",
                    received=f"another signature: {_difference(key, next(reversed(self._programs)))}",
                    expected="few distinct shapes and static arguments",
                    remedy="pad or bucket to a few shapes, or pass changing numbers as floats or tensors",
                ),
                stacklevel=3,
            )

    def _trace(self, leaves: list[Any], structure: Structure) -> Compiled:
        trace = Trace()
        if modes.trace is not None:
            raise TraceError("a trace is already under way")
        arguments = [_argument_node(leaf) for leaf in leaves]
        modes.trace = trace
        try:
            stand_ins = [_stand_in(leaf, node) for leaf, node in zip(leaves, arguments, strict=True)]
            args, kwargs = unflatten(structure, stand_ins)
            result = self.function(*args, **kwargs)
            return _finish(trace, arguments, result, self.keep_gradients)
        finally:
            modes.trace = None


def compile(function: Callable[..., Any] | None = None, *, keep_gradients: bool = False) -> Any:
    """Compile a step: traced once for each signature, then one program for forward, backward and update.

    Use it as a decorator. Cells (parameters, buffers, gradients, optimizer state, the random generator) are read and
    written in place; a changed learning rate takes effect without compiling again. Gradients that the step both clears
    and uses up are not written out unless `keep_gradients`. Inside, values cannot be looked at (`TraceError`).

    >>> import thalweg as tw
    >>> w = tw.ones(2, requires_grad=True)
    >>> @tw.compile
    ... def step(x):
    ...     return (w * x).sum()
    >>> step(tw.tensor([1.0, 2.0])).item()
    3.0
    """
    if function is None:
        return functools.partial(compile, keep_gradients=keep_gradients)
    return Step(function, keep_gradients)


# --- signatures ------------------------------------------------------------------------------------------------------


def _signature(leaf: Any) -> Hashable:
    if isinstance(leaf, Tensor):
        return (leaf.shape, leaf.dtype.name, leaf._requires_grad)
    if isinstance(leaf, np.ndarray):
        return (leaf.shape, leaf.dtype.str)
    if isinstance(leaf, float):
        return float
    try:
        hash(leaf)
    except TypeError:
        return ("object", id(leaf))
    return ("static", type(leaf), leaf)


def _difference(key: Any, other: Any) -> str:
    for position, (a, b) in enumerate(zip(key[1], other[1], strict=False)):
        if a != b:
            return f"argument {position} was {b}, now {a}"
    return "the nesting of the arguments"


def _argument_node(leaf: Any) -> Node | None:
    if isinstance(leaf, Tensor):
        return make_input(leaf.shape, leaf.dtype)
    if isinstance(leaf, np.ndarray):
        return make_input(leaf.shape, dtype_of_array(leaf))
    return make_input((), float64) if isinstance(leaf, float) else None


def _stand_in(leaf: Any, node: Node | None) -> Any:
    """What the traced function sees in place of an argument."""
    if node is None:
        return leaf
    tensor = Tensor._result(node)
    if isinstance(leaf, Tensor) and leaf._requires_grad:
        tensor._requires_grad = tensor._leaf = True
    return tensor


# --- from a trace to a program ---------------------------------------------------------------------------------------


def _finish(trace: Trace, arguments: list[Node | None], result: Any, keep_gradients: bool) -> Compiled:
    inputs: list[Node] = [node for node in arguments if node is not None]
    sources: list[Any] = [index for index, node in enumerate(arguments) if node is not None]
    for source, node in trace.inputs.values():
        inputs.append(node)
        sources.append(source)
    outputs: list[Node] = []

    def place(node: Node) -> Output:
        outputs.append(node)
        return Output(len(outputs) - 1)

    leaves, structure = flatten(result)
    returned = [place(leaf.node) if isinstance(leaf, Tensor) else leaf for leaf in leaves]
    requires_grad = [isinstance(leaf, Tensor) and leaf._requires_grad for leaf in leaves]
    written = [(tensor, place(node).index) for tensor, node in trace.values.values()]
    gradients: list[tuple[Tensor, Any]] = []
    for tensor, value in trace.gradients.values():
        is_used_up = id(tensor) in trace.consumed and not keep_gradients
        if isinstance(value, Tensor) and tensor._trace is not trace:
            gradients.append((tensor, CONSUMED if is_used_up else place(value.node)))
        elif tensor._trace is not trace:
            gradients.append((tensor, value))
    position = {id(source): index for index, source in enumerate(sources)}
    writes = tuple((index, position[id(tensor)]) for tensor, index in written)
    program = Program(tuple(inputs), tuple(outputs), writes)
    # A result that may still be differentiated keeps its graph; a loss that was already swept need not.
    is_differentiable = any(requires_grad) and not trace.gradients
    return Compiled(
        Version.number, program, executable_for(program), sources, returned, structure, requires_grad, written,
        gradients, trace.presence, is_differentiable,
    )  # fmt: skip


# --- running ---------------------------------------------------------------------------------------------------------


def _run(compiled: Compiled, leaves: list[Any]) -> Any:
    if compiled.is_differentiable:
        return _run_inline(compiled, leaves)
    arrays = [_input_array(source, leaves) for source in compiled.sources]
    destinations = {index: array for tensor, index in compiled.written if (array := _own_array(tensor)) is not None}
    results = compiled.executable(arrays, destinations)
    for tensor, index in compiled.written:
        if results[index] is not tensor._node.value:
            if tensor._bound:
                release(tensor)
            tensor._node = _leaf_node(results[index], tensor)
        settle(tensor)
    for tensor, value in compiled.gradients:
        tensor._grad = Tensor._result(_known(results[value.index])) if isinstance(value, Output) else value
    return _returned(compiled, lambda index: Tensor._result(_known(results[index])))


# The references to a cell's node and array when nobody else holds them: the owner, the list of inputs (array only), a
# local name, and the argument of getrefcount itself.
_OWN_NODE, _BY_NODE_ONLY, _AS_INPUT = 3, 3, 4


def _own_array(tensor: Tensor, held: int = _AS_INPUT) -> np.ndarray | None:
    """The cell's array if it may be written in place: nothing pending reads it and no one else shows it."""
    node = tensor._node
    array: np.ndarray = node.value
    if node.inputs or sys.getrefcount(node) > _OWN_NODE or sys.getrefcount(array) > held:
        return None
    return array if array.base is None and array.flags.c_contiguous and array.flags.writeable else None


# --- the warm path ---------------------------------------------------------------------------------------------------

COLD = object()


class Results:
    """The buffers of one result of a step: a call writes into one that nobody holds any longer, or into a new one.

    Handing a buffer over costs no copy, and one that comes back is still in the processor's cache.
    """

    def __init__(self, index: int, slot: int, make: Callable[[], np.ndarray], is_number: bool) -> None:
        self.index, self.slot, self.make = index, slot, make
        self.most = 0 if is_number else _MOST_BUFFERS  # a known number is not written again by the program
        self.buffers: list[tuple[np.ndarray, int]] = []

    def next(self, table: Any) -> np.ndarray:
        """A free buffer, whose address stands in the table from now on."""
        for buffer, address in self.buffers:
            if sys.getrefcount(buffer) == _UNHELD:
                table[self.slot] = address
                return buffer
        buffer = self.make()
        address = table[self.slot] = buffer.ctypes.data
        if len(self.buffers) < self.most:
            self.buffers.append((buffer, address))
        return buffer


# The references to a buffer that no one outside holds: its pair, the loop's name, the argument of getrefcount itself.
_UNHELD, _MOST_BUFFERS = 3, 2


class WarmCall:
    """A compiled step whose cells' addresses stand in a table: while nobody touches them, a call passes its arguments.

    Everything that could make that wrong raises one of two numbers: `Version` (what the program means) or `Touches`
    (who holds its cells). Any doubt gives COLD, and the call takes the long way, which looks at everything.
    """

    def __init__(self, compiled: Compiled, native: Any, args: tuple[Any, ...]) -> None:
        self.compiled, self.native = compiled, native
        self.version, self.touches, self.records = Version.number, Touches.number, modes.grad_enabled
        self.table = native.new_table()
        self.address = ctypes.addressof(self.table)
        self.specs = [(arg.shape, arg.dtype) for arg in args]
        self.last: list[Node | None] = [None] * len(args)
        self.places = [compiled.sources.index(i) for i in range(len(args))]
        self.cells = [(i, each) for i, each in enumerate(compiled.sources) if isinstance(each, Tensor)]
        for index, tensor in self.cells:
            tensor._bound = True
            self.table[index] = tensor._node.value.ctypes.data
        self.results = self._connect_outputs()

    def _connect_outputs(self) -> list[Results]:
        """Cells are their own destination; other results have buffers of their own."""
        first, position = len(self.compiled.sources), {id(t): index for index, t in self.cells}
        for tensor, index in self.compiled.written:
            self.table[first + index] = self.table[position[id(tensor)]]
        written = {index for _, index in self.compiled.written}
        outputs = [(index, node) for index, node in enumerate(self.native.layout.outputs) if index not in written]
        return [
            Results(index, first + index, functools.partial(self.native._new, node), is_number(node))
            for index, node in outputs
        ]

    def __call__(self, args: tuple[Any, ...]) -> Any:
        if self.version != Version.number or self.touches != Touches.number or len(args) != len(self.specs):
            return COLD
        if modes.grad_enabled is not self.records or not self._pass(args):
            return COLD
        native = self.native
        if not native.layout.checks:  # nothing can stop it: the gradients that it replaces give their buffers back
            for tensor, value in self.compiled.gradients:
                tensor._grad = None
        with native.lock:
            native.status[0] = 0
            fresh = {each.index: each.next(self.table) for each in self.results}
            native.step(self.address)
            if native.status[0]:
                return COLD  # nothing was changed; the long way raises the error
        for tensor, value in self.compiled.gradients:
            tensor._grad = Tensor._result(_known(fresh[value.index])) if isinstance(value, Output) else value
        return _returned(self.compiled, lambda index: Tensor._result(_known(fresh[index])))

    def _pass(self, args: tuple[Any, ...]) -> bool:
        """Put the arguments' addresses into the table; False where one needs more than that."""
        for i, (arg, (shape, dtype)) in enumerate(zip(args, self.specs, strict=True)):
            if type(arg) is not Tensor or arg._base is not None or arg._requires_grad or arg._bound:
                return False
            node = arg._node
            if node is self.last[i]:
                continue
            array = node.value
            if array is None or node.shape != shape or node.dtype is not dtype or not array.flags.c_contiguous:
                return False
            self.table[self.places[i]] = array.__array_interface__["data"][0]
            self.last[i] = node
        return True


def warm_call(compiled: Compiled, args: tuple[Any, ...]) -> WarmCall | None:
    """A warm path for this program and these arguments, if everything about it is plain."""
    native = compiled.executable.native
    if native is None or compiled.is_differentiable or compiled.presence or not compiled.is_current():
        return None
    is_plain = all(type(arg) is Tensor and not arg._requires_grad and arg._base is None for arg in args)
    closed_over = [source for source in compiled.sources if not isinstance(source, int)]
    if not is_plain or not all(isinstance(each, Tensor) and _is_bindable(each) for each in closed_over):
        return None
    written = {id(tensor): tensor for tensor, _ in compiled.written}
    for tensor in written.values():
        if not tensor._bound and _own_array(tensor, held=_BY_NODE_ONLY) is None:
            return None
    return WarmCall(compiled, native, args)


def _is_bindable(tensor: Tensor) -> bool:
    """Whether the tensor's value can lie still at one address; one that is spread out in memory is gathered first."""
    node = tensor._node
    if tensor._base is not None or node.value is None:
        return False
    if not node.value.flags.c_contiguous:
        node.value = np.ascontiguousarray(node.value).reshape(node.shape)
    return True


def _run_inline(compiled: Compiled, leaves: list[Any]) -> Any:
    """The program as part of the caller's graph, so that backward reaches what the step closes over."""
    nodes = [_input_node(source, leaves) for source in compiled.sources]
    replaced = substitute(compiled.program.outputs, dict(zip(compiled.program.inputs, nodes, strict=True)))
    results = [Tensor._result(replaced[value.index], flag) if isinstance(value, Output) else value
               for value, flag in zip(compiled.returned, compiled.requires_grad, strict=True)]  # fmt: skip
    for tensor, index in compiled.written:
        tensor._replace(replaced[index])
    return unflatten(compiled.structure, results)


def _returned(compiled: Compiled, make: Callable[[int], Tensor]) -> Any:
    leaves = [make(value.index) if isinstance(value, Output) else value for value in compiled.returned]
    return unflatten(compiled.structure, leaves)


def _input_array(source: Any, leaves: list[Any]) -> np.ndarray:
    value = leaves[source] if isinstance(source, int) else source
    if isinstance(value, Tensor):
        return value._array()
    return np.asarray(value, dtype=dtype_of_array(np.asarray(value)).numpy)


def _input_node(source: Any, leaves: list[Any]) -> Node:
    value = leaves[source] if isinstance(source, int) else source
    if isinstance(value, Tensor):
        return value.node
    array = _input_array(value, leaves)
    return make_input(array.shape, dtype_of_array(array), array)


def _known(array: np.ndarray) -> Node:
    return make_input(array.shape, dtype_of_array(array), array)


def _leaf_node(array: np.ndarray, tensor: Tensor) -> Node:
    node = _known(array)
    node.holder = tensor._node.holder
    return node
