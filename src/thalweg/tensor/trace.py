"""`tw.compile`: trace a Python step once for each signature, then run it as one program.

In: a function of tensors. Out: a callable that does the same. While the function is traced, every cell that it reads
becomes an input of the program and every cell that it writes an output in place; nothing is frozen into it.
"""

from __future__ import annotations

import functools
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from thalweg.compile import compiler
from thalweg.compile.inside.debug import naming
from thalweg.compile.program import Program
from thalweg.dtype import dtype_of_array, float64
from thalweg.errors import ArgumentError, MemoryLimitError, NonFiniteError, TraceError, explain
from thalweg.graph import Node, Origin, make_input, substitute
from thalweg.tensor.cells import known, move_to, own_array
from thalweg.tensor.checkpointing import BackwardPass
from thalweg.tensor.core import (
    CONSUMED,
    ConsumedGradient,
    Tensor,
    settle,
)
from thalweg.tensor.finite import health
from thalweg.tensor.holding import Version, release
from thalweg.tensor.lazy import SWEPT
from thalweg.tensor.modes import TraceAgain, modes
from thalweg.tensor.options import checked_recompute, guard, said_of_skipping, with_recomputation
from thalweg.tensor.tree import Structure, flatten, unflatten
from thalweg.tensor.warm import COLD, Compiled, IsKept, Output, WarmCall, result_of, warm_call

if TYPE_CHECKING:
    from thalweg.compile.inside.explanation import ProgramExplanation
    from thalweg.compile.memory_use import MemoryUse

_PACKAGE = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
_SIGNATURES_BEFORE_WARNING = 8
NONFINITE = ("raise", "skip_step")
MOST_SKIPPED = 10
"""Steps in a row that may be left out for values that are not finite; then the training is beyond help."""


class Trace:
    """What one run of the Python function read and wrote."""

    is_of_loop = False
    """Whether it is the body of a `scan`, whose values nobody outside can look at."""

    def __init__(self) -> None:
        self.inputs: dict[int, tuple[Any, Node]] = {}  # by identity: (tensor or array, its input node)
        self.values: dict[int, tuple[Tensor, Node]] = {}  # cells written: their newest node
        self.gradients: dict[int, tuple[Tensor, Tensor | ConsumedGradient | None]] = {}
        self.presence: list[tuple[Tensor, bool]] = []  # gradients that were looked at before they were set
        self.cleared: set[int] = set()  # of gradients, by the identity of their tensor
        self.consumed: set[int] = set()  # and which were read after they were last set
        self.sweeps: list[BackwardPass] = []
        self.located: set[Node] = set()  # nodes whose origin has the user's line

    def locate(self, node: Node) -> None:
        """Note the user's line on what leads to this node and has none yet; a chain rule's nodes inherit one."""
        stack, line = [node], ""
        while stack:
            each = stack.pop()
            if each not in self.located:
                self.located.add(each)
                stack.extend(each.inputs)
                if each.op.kind != "leaf" and type(each.origin) is not Origin:
                    line = line or user_line()
                    each.origin = Origin(each.origin, line)

    def begin_sweep(self, roots: Sequence[Node]) -> BackwardPass:
        """A backward pass begins: nodes made from now on are its own."""
        self.sweeps.append(BackwardPass(roots))
        return self.sweeps[-1]

    def read(self, tensor: Tensor) -> Node:
        if id(tensor) in self.values:
            return self.values[id(tensor)][1]
        found = self.inputs.get(id(tensor))
        if found is None:
            node = make_input(tensor._node.shape, tensor._node.dtype)
            node.holder = tensor._node.holder if tensor._node.holder is not None else None
            found = self.inputs[id(tensor)] = (tensor, node)
        return found[1]

    def read_first(self, tensor: Tensor) -> Node:
        """The value that a tensor had when the function began, whatever was written to it since."""
        self.read(tensor)
        return self.inputs[id(tensor)][1]

    def read_array(self, array: np.ndarray) -> Node:
        """An array that the function closes over, or makes: a live input, never a frozen constant."""
        found = self.inputs.get(id(array))
        if found is None:
            found = self.inputs[id(array)] = (array, make_input(array.shape, dtype_of_array(array)))
        return found[1]

    def write(self, tensor: Tensor, node: Node) -> None:
        self.locate(node)
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
        self.consumed.discard(id(tensor))
        if value is None:
            self.cleared.add(id(tensor))

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


def user_line() -> str:
    """The innermost line of the user's own code, as ``file:line``; without reading the file."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def _user_line() -> str:
    """The same with its text, for errors."""
    for frame in reversed(traceback.extract_stack()):
        if not frame.filename.startswith(_PACKAGE):
            return f"{frame.filename}:{frame.lineno}: {frame.line}"
    return "unknown"


Lower = Callable[[Program], Any]


def _lowered(program: Program) -> compiler.Executable:
    return compiler.executable_for(program)


def _memory_use(compiled: Compiled, layout: Any) -> MemoryUse:
    """Bytes by the kind of what the program reads."""
    kinds = {"parameters": 0, "state": 0, "batch": 0}
    for source, node in zip(compiled.sources, compiled.program.inputs, strict=True):
        is_parameter = isinstance(source, Tensor) and source._requires_grad
        kind = "batch" if isinstance(source, int) else "parameters" if is_parameter else "state"
        kinds[kind] += node.size * node.dtype.itemsize
    return compiler.memory_use(layout, **kinds)


class Step:
    """The callable that `tw.compile` returns."""

    def __init__(
        self,
        function: Callable[..., Any],
        keep_gradients: bool = False,
        nonfinite: str | None = None,
        recompute: bool | int = False,
    ) -> None:
        functools.update_wrapper(self, function, updated=())
        self.function = function
        self.keep_gradients = keep_gradients
        self.nonfinite = nonfinite
        self.recompute = recompute
        self.skipped = 0  # steps in all whose update was left out because of a value that is not finite
        self.skipped_in_a_row = 0
        self.name = getattr(function, "__name__", type(function).__name__)
        self._programs: dict[Hashable, Compiled] = {}
        self._warm: WarmCall | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if modes.trace is not None:
            return self.function(*args, **kwargs)  # inside another compiled step: part of its program
        if self._warm is not None and not kwargs:
            result = self._warm(args)
            if result is not COLD:
                return result if self.nonfinite is None else self._judged(result, self._warm.health)
        leaves, structure = flatten((args, kwargs))
        key = (structure, tuple(map(_signature, leaves)), modes.grad_enabled)
        compiled = self._programs.get(key)
        if compiled is None or not compiled.is_current():
            self._warn_about_signatures(key)
            compiled = self._programs[key] = self._trace(leaves, structure)
        result, health = _run(compiled, leaves)
        self._warm = None if kwargs else warm_call(compiled, args)
        return result if self.nonfinite is None else self._judged(result, health)

    def many(
        self,
        arrays: Sequence[np.ndarray],
        order: np.ndarray,
        size: int,
        is_kept: IsKept = lambda position, size: size == 1,
        watches: bool = True,
    ) -> tuple[int, Any] | None:
        """The step with one batch of `size` rows after the other, in one native call: rows `order` of these arrays.

        Returns how many steps were done, and the result of the last; leaves of it for which `is_kept` says so, given
        their position and how many numbers they are, are arrays instead, of their values in all of these steps; by
        default those that are one number. If it `watches`, the
        first leaf must be a float, the loss: the step in which it is not finite is the last one. So is in any case the
        step before one that meets bad data, for which a usual call raises the error. None, and nothing done, where the
        program at hand is not for such batches, or something has been touched: a usual call settles that. Results are
        the same bits as those of usual calls.
        """
        warm = self._warm
        if warm is None or modes.trace is not None or not len(order):
            return None
        rows = min((len(each) for each in arrays), default=0)
        if order.min() < 0 or order.max() >= rows:
            return None
        found: tuple[int, Any] | None = warm.many(arrays, np.ascontiguousarray(order, np.int64), size, is_kept, watches)
        if found is not None and self.nonfinite is not None:
            self.skipped_in_a_row = self.skipped_in_a_row if found[0] == 1 else 0
            self._judged(found, warm.health)
        return found

    def _judged(self, result: Any, health: np.ndarray | None) -> Any:
        """The result of a step; where its update was left out, what is to be said about that."""
        if health is None or health == 0.0:
            self.skipped_in_a_row = 0
            return result
        self.skipped += 1
        self.skipped_in_a_row += 1
        if self.nonfinite == "raise" or (self.nonfinite == "skip_step" and self.skipped_in_a_row == MOST_SKIPPED):
            raise NonFiniteError(said_of_skipping(self.name, self.skipped_in_a_row))
        return result

    def traced(self, *args: Any, **kwargs: Any) -> tuple[Compiled, list[np.ndarray]]:
        """What a call with these arguments would run, and the values of its inputs now; nothing is run or written."""
        leaves, structure = flatten((args, kwargs))
        compiled = self._trace(leaves, structure)
        return compiled, [_input_array(source, leaves) for source in compiled.sources]

    def memory(self, *args: Any, **kwargs: Any) -> MemoryUse:
        """What the step needs with these arguments, before anything is run, compiled or allocated.

        Bytes of its arena with the lines that fill it, of parameters, state, batch and results: a `MemoryUse`, to be
        printed or read. Without arguments: of the signature that was compiled last.

        >>> import thalweg as tw
        >>> model = tw.nn.Linear(100, 10)
        >>> tw.compile(lambda x: model(x).exp().sum()).memory(tw.ones(32, 100)).parameters
        4040
        """
        if not args and not kwargs:
            found = self._last()
            return _memory_use(found, compiler.layout_of(found.program))
        leaves, structure = flatten((args, kwargs))
        found = self._trace(leaves, structure, lower=None)
        return _memory_use(found, compiler.layout_of(found.program))

    def _with_batch(self, error: MemoryLimitError, leaves: list[Any], structure: Structure) -> MemoryLimitError:
        """The error with a batch that would fit, found by planning for smaller ones."""
        batch = next((each.shape[0] for each in leaves if hasattr(each, "shape") and len(each.shape)), None)

        def needed(size: int) -> int:
            shorter = [_shortened(each, batch, size) for each in leaves]
            found = self._trace(shorter, structure, lower=None)
            return _memory_use(found, compiler.layout_of(found.program)).needed

        return compiler.with_batch(error, self.name, batch, needed)

    def vouch(self, since: int | None = None) -> None:
        """Whoever knows that nothing has changed the meaning of the step since that version may say so.

        Without one: since each of its programs was traced.
        """
        held: list[Any] = [*self._programs.values(), *([] if self._warm is None else [self._warm])]
        for each in held:
            if since is None or each.version == since:
                each.version = Version.number

    def explain(self) -> ProgramExplanation:
        """What the step was compiled to: each kernel with the lines it comes from, its cost and its time.

        For the signature compiled last. The step must have been called; it is run again for the times, on copies of
        its cells. `print()` shows a table; its `loop_text` and `memory_plan` are texts, its `kernels` are data.
        """
        compiled = self._last()
        if not compiled.executable.is_native:
            raise TraceError(
                explain(
                    f"{self.name} is run by the NumPy meaning of its operations, so it has no kernels",
                    received="an operation that has no native form yet, or a process that runs no machine code",
                    expected="operations that can be compiled",
                )
            )
        known = {i: source._array() for i, source in enumerate(compiled.sources) if isinstance(source, Tensor)}
        found = compiler.explain_program(compiled.program, self.name, known, compiled.executable.seconds)
        found.memory = self.memory()
        return found

    def _last(self) -> Compiled:
        """What was compiled last."""
        if not self._programs:
            raise TraceError(
                explain(
                    f"{self.name} has not been compiled yet",
                    received="no call so far",
                    expected="at least one call",
                    remedy="call the step once with real arguments, then explain() it",
                )
            )
        return next(reversed(self._programs.values()))

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

    def _trace(self, leaves: list[Any], structure: Structure, lower: Lower | None = _lowered) -> Compiled:
        """The program of these arguments; with `lower` None without an executable."""
        trace = Trace()
        if modes.trace is not None:
            raise TraceError("a trace is already under way")
        arguments = [_argument_node(leaf) for leaf in leaves]
        modes.trace = trace
        try:
            stand_ins = [_stand_in(leaf, node) for leaf, node in zip(leaves, arguments, strict=True)]
            args, kwargs = unflatten(structure, stand_ins)
            with naming(self.name):
                result = self.function(*args, **kwargs)
                return _finish(trace, arguments, result, self, lower)
        except TraceAgain:
            modes.trace = None
            return self._trace(leaves, structure, lower)
        except MemoryLimitError as error:
            modes.trace = None
            raise self._with_batch(error, leaves, structure) from None
        finally:
            modes.trace = None


def compile(
    function: Callable[..., Any] | None = None,
    *,
    keep_gradients: bool = False,
    nonfinite: str | None = None,
    recompute: bool | int = False,
) -> Any:
    """Compile a step: traced once for each signature, then one program for forward, backward and update.

    Use it as a decorator. Cells (parameters, buffers, gradients, optimizer state, the random generator) are read and
    written in place; a changed learning rate takes effect without compiling again. Gradients that the step both clears
    and uses up are not written out unless `keep_gradients`. Inside, values cannot be looked at (`TraceError`).

    `nonfinite` says what happens to a step with gradients whose loss (the first result), gradients or running
    statistics are not finite, or which has a gradient beyond 2^60 (2^500 in float64), whose square would be too large
    for second moments. With either policy the step then writes nothing: no weight, no state, no count, no random key.
    ``"raise"``: a `NonFiniteError`. ``"skip_step"``: the result is returned, ``step.skipped`` counts; the tenth in a
    row raises. None (default): nobody looks, as in PyTorch.

    `recompute` trades time for memory: activations are computed again in the backward pass instead of being kept, with
    the same random numbers and the same loss; sums of gradients may be added up in another order. True: in √n segments
    for n products and convolutions (Chen et al. 2016, arXiv:1604.06174), at most one forward pass more. A number of
    bytes: in as few segments as the arena needs to fit in, the step as it is if it fits anyway. ``step.memory(...)``
    tells what comes of it.

    >>> import thalweg as tw
    >>> w = tw.ones(2, requires_grad=True)
    >>> @tw.compile
    ... def step(x):
    ...     return (w * x).sum()
    >>> step(tw.tensor([1.0, 2.0])).item()
    3.0
    """
    if function is None:
        return functools.partial(compile, keep_gradients=keep_gradients, nonfinite=nonfinite, recompute=recompute)
    if nonfinite not in (None, *NONFINITE):
        expected = "None, " + ", ".join(map(repr, NONFINITE))
        raise ArgumentError(explain("unknown policy", received=f"nonfinite={nonfinite!r}", expected=expected))
    return Step(function, keep_gradients, nonfinite, checked_recompute(recompute))


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


def _shortened(leaf: Any, batch: int | None, size: int) -> Any:
    """An argument whose first axis is the batch, for another size; it has no values."""
    if not isinstance(leaf, Tensor | np.ndarray) or leaf.shape[:1] != (batch,):
        return leaf
    dtype = leaf.dtype if isinstance(leaf, Tensor) else dtype_of_array(leaf)
    shorter = Tensor._result(make_input((size, *leaf.shape[1:]), dtype))
    return shorter.requires_grad_() if isinstance(leaf, Tensor) and leaf._requires_grad else shorter


# --- from a trace to a program ---------------------------------------------------------------------------------------


def _finish(trace: Trace, arguments: list[Node | None], result: Any, step: Step, lower: Lower | None) -> Compiled:
    leaves, structure = flatten(result)
    flag = guard(trace, leaves) if step.nonfinite is not None else None
    shown = [leaf.node if isinstance(leaf, Tensor) else None for leaf in leaves]  # a cell read here is an input too
    inputs: list[Node] = [node for node in arguments if node is not None]
    sources: list[Any] = [index for index, node in enumerate(arguments) if node is not None]
    for source, node in trace.inputs.values():
        inputs.append(node)
        sources.append(source)
    outputs: list[Node] = []

    def place(node: Node) -> Output:
        outputs.append(node)
        return Output(len(outputs) - 1)

    returned = [leaf if node is None else place(node) for leaf, node in zip(leaves, shown, strict=True)]
    requires_grad = [isinstance(leaf, Tensor) and _may_be_swept(leaf) for leaf in leaves]
    written = [(tensor, place(node).index) for tensor, node in trace.values.values()]
    gradients: list[tuple[Tensor, Any]] = []
    for tensor, value in trace.gradients.values():
        is_used_up = id(tensor) in trace.cleared & trace.consumed and not step.keep_gradients
        if isinstance(value, Tensor) and tensor._trace is not trace:
            gradients.append((tensor, CONSUMED if is_used_up else place(value.node)))
        elif tensor._trace is not trace:
            gradients.append((tensor, value))
    judged = None if flag is None else place(health(flag)).index
    position = {id(source): index for index, source in enumerate(sources)}
    writes = tuple((index, position[id(tensor)]) for tensor, index in written)
    program = with_recomputation(Program(tuple(inputs), tuple(outputs), writes), trace, step)
    # A result that may still be differentiated keeps its graph; none leads back through weights that are overwritten.
    is_differentiable = any(requires_grad) and not any(tensor._requires_grad for tensor, _ in written)
    return Compiled(
        Version.number, program, None if lower is None else lower(program), sources, returned, structure,
        requires_grad, written, gradients, trace.presence, is_differentiable, judged,
    )  # fmt: skip


# --- running ---------------------------------------------------------------------------------------------------------


def _run(compiled: Compiled, leaves: list[Any]) -> tuple[Any, np.ndarray | None]:
    """The result, and whether the writes took place, where that depends on values: 0, or else NaN."""
    if compiled.is_differentiable:
        return _run_inline(compiled, leaves), None
    arrays = [_input_array(source, leaves) for source in compiled.sources]
    destinations = {index: array for tensor, index in compiled.written if (array := own_array(tensor)) is not None}
    results = compiled.executable(arrays, destinations)
    for tensor, index in compiled.written:
        if results[index] is not tensor._node.value:
            if tensor._bound:
                release(tensor)
            move_to(tensor, results[index])
        settle(tensor)
    for tensor, value in compiled.gradients:
        tensor._grad = Tensor._result(known(results[value.index])) if isinstance(value, Output) else value
    health = None if compiled.health is None else results[compiled.health]
    return result_of(compiled, lambda index: Tensor._result(known(results[index]))), health


def _may_be_swept(result: Tensor) -> bool:
    """Whether a backward pass may still start from it; from a loss that was already swept, none does."""
    return result._requires_grad and not result.node.notes & SWEPT


def _run_inline(compiled: Compiled, leaves: list[Any]) -> Any:
    """The program as part of the caller's graph, so that backward reaches what the step closes over."""
    nodes = [_input_node(source, leaves) for source in compiled.sources]
    replaced = substitute(compiled.program.outputs, dict(zip(compiled.program.inputs, nodes, strict=True)))
    results = [Tensor._result(replaced[value.index], flag) if isinstance(value, Output) else value
               for value, flag in zip(compiled.returned, compiled.requires_grad, strict=True)]  # fmt: skip
    for tensor, index in compiled.written:
        tensor._replace(replaced[index])
    for tensor, value in compiled.gradients:
        tensor._grad = Tensor._result(replaced[value.index]) if isinstance(value, Output) else value
    return unflatten(compiled.structure, results)


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
