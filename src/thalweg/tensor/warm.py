"""What a trace comes to, and the short way to run it again: addresses in a table, while nobody has touched its cells.

In: a traced and compiled step, and arguments. Out: its results with every cell overwritten in place, or COLD where
anything is not as it was and somebody has to look.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from thalweg.compile import compiler
from thalweg.compile.memory import address_of, empty_array
from thalweg.compile.program import Program
from thalweg.compile.runtime import STATUS
from thalweg.graph import Form, Node, make_input
from thalweg.tensor.cells import BY_NODE_ONLY, move_to, nothing, own_array
from thalweg.tensor.core import Tensor
from thalweg.tensor.holding import OWNED, WATCHED, Touches, Version, release
from thalweg.tensor.modes import modes
from thalweg.tensor.tree import LEAF, Structure, unflatten


@dataclass
class Compiled:
    """One signature's program, and how its inputs and outputs connect to the cells."""

    version: int
    program: Program
    executable: Any  # a `compiler.Executable`; None where only the program was asked for
    sources: list[Any]  # of each input: a tensor, an array, or the index of an argument leaf
    returned: list[Any]  # of each leaf of the result: an output index, or a static value
    structure: Structure
    requires_grad: list[bool]
    written: list[tuple[Tensor, int]]
    gradients: list[tuple[Tensor, Any]]
    presence: list[tuple[Tensor, bool]]
    is_differentiable: bool = False
    health: int | None = None  # the output that is 0 where the writes took place, NaN where a value forbade it

    def is_current(self) -> bool:
        return self.version == Version.number and all((t._grad is not None) == was for t, was in self.presence)


@dataclass(frozen=True)
class Output:
    """Place of a leaf of the result: the program's output of that index."""

    index: int


def result_of(compiled: Compiled, make: Callable[[int], Tensor]) -> Any:
    leaves = [make(value.index) if isinstance(value, Output) else value for value in compiled.returned]
    return unflatten(compiled.structure, leaves)


COLD = object()
IsKept = Callable[[int, int], bool]
"""Whether a result is wanted of every step: by its position among the leaves and how many numbers it is."""


class WarmCall:
    """A compiled step whose cells' addresses stand in a table: while nobody touches them, a call passes its arguments.

    Everything that could make that wrong raises one of two numbers: `Version` (what the program means) or `Touches`
    (who holds its cells), after which the call looks where its cells lie and who holds them. Any doubt gives COLD, and
    the call takes the long way, which looks at everything.
    """

    def __init__(self, compiled: Compiled, native: Any, args: tuple[Any, ...]) -> None:
        self.compiled, self.native = compiled, native
        self.version, self.touches, self.records = Version.number, Touches.number, modes.grad_enabled
        self.whole_table = native.new_table()
        self.table, self.words, self.address = self.whole_table.places, self.whole_table.words, self.whole_table.address
        self.specs = [(arg.shape, arg.dtype) for arg in args]
        self.last: list[Any] = [nothing] * len(args)  # weak references: what a caller drops is not kept alive
        self.places = [compiled.sources.index(i) for i in range(len(args))]
        self.cells = [(i, each) for i, each in enumerate(compiled.sources) if isinstance(each, Tensor)]
        self.nodes: list[Any] = []
        self.outputs = {id(tensor): len(compiled.sources) + index for tensor, index in compiled.written}
        for index, tensor in self.cells:
            tensor._bound = max(tensor._bound, OWNED if id(tensor) in self.outputs else WATCHED)
            self.table[index] = tensor._node.value.ctypes.data
            self.nodes.append(weakref.ref(tensor._node))
        self.moving: list[tuple[Tensor, np.ndarray]] = []  # cells that somebody holds, and where their new values go
        self.results = self._connect_outputs()
        self.loop: compiler.StepLoop | None = None
        self.health: np.ndarray | None = None  # of the last call
        self.forms = {each.index: _form(compiled.program.outputs[each.index]) for each in self.results}
        first = compiled.returned[0] if compiled.structure == LEAF else None
        self.only = first.index if isinstance(first, Output) else None  # the result is one tensor
        self.collected = [(tensor, value.index) for tensor, value in compiled.gradients if isinstance(value, Output)]
        self.settled = [(tensor, value) for tensor, value in compiled.gradients if not isinstance(value, Output)]

    def _connect_outputs(self) -> list[compiler.Results]:
        """Cells are their own destination; other results have buffers of their own."""
        first, position = len(self.compiled.sources), {id(t): index for index, t in self.cells}
        for tensor, index in self.compiled.written:
            self.table[first + index] = self.table[position[id(tensor)]]
        written = {index for _, index in self.compiled.written}
        return compiler.results_of(self.native, [i for i in range(len(self.native.layout.outputs)) if i not in written])

    def __call__(self, args: tuple[Any, ...]) -> Any:
        if self.version != Version.number or len(args) != len(self.specs):
            return COLD
        if modes.grad_enabled is not self.records or not self._pass(args):
            return COLD
        if (self.touches != Touches.number or self.moving) and not self._look_again():
            return COLD
        native, words = self.native, self.words
        if self.collected and not native.layout.checks:  # nothing can stop it: gradients give their buffers back
            for tensor, _ in self.collected:
                tensor._grad = None
        with native.lock:
            words[STATUS] = 0
            fresh = {each.index: each.next(self.table) for each in self.results}
            native.step(self.address)
            if words[STATUS]:
                return COLD  # nothing was changed; the long way raises the error
        for tensor, array in self.moving:
            if tensor._bound:
                release(tensor)
            move_to(tensor, array)
        for tensor, index in self.collected:
            tensor._grad = self._tensor(index, fresh)
        for tensor, settled in self.settled:
            tensor._grad = settled
        if self.compiled.health is not None:
            self.health = fresh[self.compiled.health]
        if self.only is not None:
            return self._tensor(self.only, fresh)
        return result_of(self.compiled, lambda index: self._tensor(index, fresh))

    def _tensor(self, index: int, fresh: Mapping[int, np.ndarray]) -> Tensor:
        """A result as a tensor; what it is has been looked up before."""
        node = Node(self.forms[index])
        node.value = fresh[index]
        return Tensor._result(node)

    def many(self, arrays: Sequence[np.ndarray], order: np.ndarray, size: int, is_kept: IsKept, watches: bool) -> Any:
        """Calls with the next rows of these arrays, as long as there are any; None where a call would be COLD."""
        if (
            self.version != Version.number
            or modes.grad_enabled is not self.records
            or not self._may_fetch(arrays, size)
        ):
            return None
        if (self.touches != Touches.number or self.moving) and (not self._look_again() or self.moving):
            return None
        returned = self.compiled.returned
        outputs = self.compiled.program.outputs
        places = [(i, value.index) for i, value in enumerate(returned) if isinstance(value, Output)]
        kept = tuple([index for i, index in places if is_kept(i, outputs[index].size)])
        if self.loop is None or self.loop.kept != kept:
            watched = None if not watches else self.compiled.health
            watched = returned[0].index if watches and watched is None else watched
            self.loop = compiler.StepLoop(self.native, self.places, kept, watched)
        with self.native.lock:
            fresh = {each.index: each.next(self.table) for each in self.results}
            done, values = self.loop(self.whole_table, arrays, order)
        if not done:
            return None
        for tensor, index in self.collected:
            tensor._grad = self._tensor(index, fresh)
        for tensor, settled in self.settled:
            tensor._grad = settled
        if self.compiled.health is not None:
            self.health = fresh[self.compiled.health]
        by_index = dict(zip(kept, values, strict=True))
        leaves = [self._leaf(value, by_index, fresh) for value in returned]
        return done, unflatten(self.compiled.structure, leaves)

    def _leaf(self, value: Any, kept: Mapping[int, np.ndarray], fresh: Mapping[int, np.ndarray]) -> Any:
        if not isinstance(value, Output):
            return value
        return kept[value.index] if value.index in kept else self._tensor(value.index, fresh)

    def _may_fetch(self, arrays: Sequence[np.ndarray], size: int) -> bool:
        """Whether batches of that size can be copied from these arrays row by row."""
        return len(arrays) == len(self.specs) and all(
            array.flags.c_contiguous and array.dtype == dtype.numpy and (size, *array.shape[1:]) == shape
            for array, (shape, dtype) in zip(arrays, self.specs, strict=True)
        )

    def _look_again(self) -> bool:
        """Where the cells lie now, and whether they may still be written in place; False where more is to be done."""
        self.moving = []
        for position, (index, tensor) in enumerate(self.cells):
            output = self.outputs.get(id(tensor))
            if self.nodes[position]() is not tensor._node and not self._connect_cell(position, output):
                return False
            if output is None:
                tensor._bound = tensor._bound or WATCHED  # who else holds it matters to steps that write it
            elif tensor._bound == OWNED:
                continue
            elif own_array(tensor, held=BY_NODE_ONLY) is None:
                array = empty_array(tensor._node.shape, tensor._node.dtype)
                self.table[output] = address_of(array)
                self.moving.append((tensor, array))
            else:
                self.table[output] = self.table[index]
                tensor._bound = OWNED
        self.touches = Touches.number
        return True

    def _connect_cell(self, position: int, output: int | None) -> bool:
        index, tensor = self.cells[position]
        node, expected = tensor._node, self.compiled.program.inputs[index]
        if not _is_bindable(tensor) or node.shape != expected.shape or node.dtype is not expected.dtype:
            return False
        self.nodes[position] = weakref.ref(node)
        self.table[index] = address_of(node.value)
        if output is not None:
            self.table[output] = self.table[index]
        return True

    def _pass(self, args: tuple[Any, ...]) -> bool:
        """Put the arguments' addresses into the table; False where one needs more than that."""
        for i, (arg, (shape, dtype)) in enumerate(zip(args, self.specs, strict=True)):
            if type(arg) is not Tensor or arg._base is not None or arg._requires_grad or arg._bound:
                return False
            node = arg._node
            if node is self.last[i]():
                continue
            array = node.value
            if array is None or node.shape != shape or node.dtype is not dtype or not array.flags.c_contiguous:
                return False
            self.table[self.places[i]] = address_of(array)
            self.last[i] = weakref.ref(node)
        return True


def _form(node: Node) -> Form:
    """What a leaf of that shape and dtype is."""
    return make_input(node.shape, node.dtype).form


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
        if tensor._bound != OWNED and own_array(tensor, held=BY_NODE_ONLY) is None:
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
