"""`Tensor`: a handle on a node, with a lazy value, a gradient, views, and in-place writes made functional.

In: nodes, arrays, other tensors. Out: what the user holds. A tensor is also the one kind of mutable cell: parameters,
buffers, gradients and optimizer state are tensors whose node is replaced when they are written.
"""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from thalweg import ops
from thalweg.dtype import DType, float32
from thalweg.errors import ArgumentError, DTypeError, GradientError, ShapeError, explain
from thalweg.graph import Node, Shape, make_input, next_serial
from thalweg.tensor import lazy
from thalweg.tensor.arithmetic import convert
from thalweg.tensor.arrays import array_of, converted, natural_dtype
from thalweg.tensor.declared import Declared
from thalweg.tensor.devices import CPU, device
from thalweg.tensor.holding import FREE, bump_version, release
from thalweg.tensor.indexing import write_through
from thalweg.tensor.modes import modes, set_recording
from thalweg.tensor.printing import format_array
from thalweg.tensor.views import behind_the_record, disown, is_detached, replay, shown_by_another


class Waiting(threading.local):
    """What one thread has yet to compute. Keyed by identity, because == compares the numbers."""

    def __init__(self) -> None:
        # Tensors that were written: `optimizer.step()`, and whoever needs a value, computes them all at once.
        self.writes: weakref.WeakValueDictionary[int, Tensor] = weakref.WeakValueDictionary()
        # Results that someone will look at after the next flush (a loss), computed together with the writes.
        self.requests: weakref.WeakValueDictionary[int, Tensor] = weakref.WeakValueDictionary()


waiting = Waiting()
# The serial at which a node stopped being its tensor's current value; see `backward.refuse_overwritten`.
overwritten_at: weakref.WeakKeyDictionary[Node, int] = weakref.WeakKeyDictionary()
# Writes to one tensor that may wait before they are computed, so that a running statistic stays a short program.
_LONGEST_WAIT = 32


class ConsumedGradient:
    """Stands where a compiled step has used a gradient up without writing it out."""


CONSUMED = ConsumedGradient()


class Tensor(Declared):
    """An n-dimensional array of numbers whose shape and dtype are known at once and whose values are lazy.

    Made by `tw.tensor`, `tw.zeros` and the other creation functions, and by operations on tensors. Method names,
    arguments and semantics are PyTorch's.

    >>> import thalweg as tw
    >>> x = tw.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    tensor([[2., 4.],
            [6., 8.]])
    """

    __slots__ = (
        "__weakref__",
        "_base",
        "_before",
        "_bound",
        "_grad",
        "_hooks",
        "_leaf",
        "_node",
        "_requires_grad",
        "_retains",
        "_root",
        "_trace",
        "_waiting",
    )  # fmt: skip

    def __init__(self, data: Any = None, requires_grad: bool = False) -> None:
        """A leaf tensor with its own copy of `data` (an array, a number, nested lists or a tensor)."""
        data = data._array() if isinstance(data, Tensor) else [] if data is None else data
        array = array_of(data)
        dtype = natural_dtype(data, array) if array.size or isinstance(data, np.ndarray) else float32
        self._setup(make_input(array.shape, dtype, converted(array, dtype)), leaf=True)
        if requires_grad:
            self.requires_grad_()

    def _setup(self, node: Node, leaf: bool = False, requires_grad: bool = False) -> None:
        self._node = node
        self._requires_grad = requires_grad
        self._leaf = leaf
        self._grad: Tensor | ConsumedGradient | None = None
        self._base: Tensor | None = None
        self._root: Node | None = None
        self._trace = trace = modes.trace
        if trace is not None:
            trace.locate(node)
        self._waiting = 0
        self._retains = False
        self._bound = FREE
        self._before: Node | None = None
        self._hooks: Any = None  # of a leaf, see `hooks.LeafHooks`
        if node.holder is None or node.holder() is None:
            node.holder = weakref.ref(self)

    # --- what it is ------------------------------------------------------------------------------------------------

    @property
    def node(self) -> Node:
        """The node that stands for the current value: in a trace, the program's own name for it."""
        if self._base is not None:
            return self._view_node()
        trace = modes.trace
        if trace is not None and self._trace is not trace:
            return trace.read(self)  # type: ignore[no-any-return]
        if self._bound:
            release(self)
        return self._node

    def _view_node(self) -> Node:
        """A view is its steps applied to its base's current value."""
        assert self._base is not None
        assert self._root is not None
        root = self._base.node
        if root is self._root:
            return self._node
        node = replay(self._node, self._root, root)
        if modes.trace is None or self._trace is modes.trace:
            self._node, self._root = node, root
            node.holder = weakref.ref(self)
            if not self._leaf:
                self._requires_grad = self._base._requires_grad and not is_detached(node, root)
        return node

    @property
    def shape(self) -> Shape:
        """The extent of every axis, as a tuple."""
        return self._node.shape  # type: ignore[no-any-return]

    @property
    def dtype(self) -> DType:
        """The number format: `tw.float32`, `tw.int64`, ..."""
        return self._node.dtype  # type: ignore[no-any-return]

    @property
    def device(self) -> device:
        """Where the tensor lies: `tw.device("cpu")`, always."""
        return CPU

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self._node.shape)

    @property
    def is_leaf(self) -> bool:
        """Whether no recorded operation made it: gradients are collected in leaves."""
        return self._leaf or not self.requires_grad

    @property
    def requires_grad(self) -> bool:
        """Whether operations on it are recorded, so that `backward` reaches it."""
        if self._base is not None and modes.trace is None:
            self._view_node()  # a view follows its base, which may have been written since
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        """Whether operations on it are recorded, so that `backward` reaches it."""
        self.requires_grad_(value)

    def size(self, dim: int | None = None) -> Any:
        """The shape, or the extent of one axis."""
        return self.shape if dim is None else self.shape[dim]

    def numel(self) -> int:
        """The number of entries."""
        return self._node.size

    def dim(self) -> int:
        """The number of axes."""
        return self.ndim

    def is_floating_point(self) -> bool:
        """Whether the dtype is float32 or float64."""
        return self.dtype.is_floating_point

    def element_size(self) -> int:
        """Bytes an entry."""
        return self.dtype.itemsize

    @property
    def data(self) -> Tensor:
        """The same values, detached; writing to it writes to this tensor."""
        return self.detach()

    @data.setter
    def data(self, value: Tensor) -> None:
        with set_recording(False):
            self._assign((value if isinstance(value, Tensor) else Tensor(value)).detach().node)

    def detach(self) -> Tensor:
        """The same values, through which no gradient flows. A view, as in PyTorch."""
        return Tensor._view(self, ops.detach(self.node), requires_grad=False)

    def clone(self) -> Tensor:
        """A copy that gradients flow through."""
        node = ops.reshape(self.node, shape=self.shape)
        return Tensor._result(node, self._requires_grad and modes.grad_enabled)

    def contiguous(self) -> Tensor:
        """The tensor itself: it has no order in memory that could be seen."""
        return self

    # --- values ----------------------------------------------------------------------------------------------------

    def _array(self) -> np.ndarray:
        """The value as an array that must not be written to; computes what is pending."""
        if modes.trace is not None:
            modes.trace.refuse_value(self)
        if self._bound:
            return self._node.value  # type: ignore[no-any-return]  # looked at, not held: the step keeps the cell
        node = self.node
        if node.value is None:
            try:
                compute_with_writes(node)
            except Exception:
                take_back(self)
                raise
            settle(self)
        return np.asarray(node.value)

    def _when_known(self) -> None:
        """Called when a pending value has been computed."""
        settle(self)

    def numpy(self) -> np.ndarray:
        """A NumPy copy of the values. A tensor that requires a gradient must be detached first, as in PyTorch."""
        if self._requires_grad and modes.grad_enabled:
            raise GradientError(
                explain("a tensor that requires a gradient has no NumPy array of its own", received=self._summary(),
                        expected="a detached tensor", remedy="call .detach().numpy()")
            )  # fmt: skip
        return np.array(self._array(), copy=True)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self._array(), dtype=dtype, copy=True)

    def item(self) -> bool | int | float:
        """The value of a tensor with one entry, as a Python number."""
        if self.numel() != 1:
            raise ShapeError(
                explain("item() needs a tensor with one entry", received=f"shape {self.shape}", expected="one entry",
                        remedy="index or reduce first, or use .tolist()")
            )  # fmt: skip
        return self._array().reshape(-1)[0].item()  # type: ignore[no-any-return]

    def tolist(self) -> Any:
        """The values as Python numbers, in lists as deep as the tensor has axes."""
        return self._array().tolist()

    def __bool__(self) -> bool:
        if self.numel() != 1:
            raise ShapeError(
                explain("the truth of a tensor with several entries is ambiguous", received=f"shape {self.shape}",
                        expected="one entry", remedy="use .any() or .all()")
            )  # fmt: skip
        return bool(self.item())

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        if self.dtype.is_floating_point:
            raise DTypeError(explain("a floating-point tensor cannot be an index", received=self._summary()))
        return int(self.item())

    def __len__(self) -> int:
        if not self.ndim:
            raise DTypeError(explain("a 0-d tensor has no length", received=self._summary()))
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        if not self.ndim:
            raise DTypeError(explain("a 0-d tensor cannot be iterated over", received=self._summary()))
        return (self[i] for i in range(self.shape[0]))

    def __contains__(self, value: object) -> bool:
        return bool(np.any(self._array() == (value._array() if isinstance(value, Tensor) else value)))

    __hash__ = object.__hash__

    def _summary(self) -> str:
        return f"{self.dtype.name} tensor of shape {self.shape}"

    def __repr__(self) -> str:
        if modes.trace is not None:
            return f"<traced {self._summary()}>"
        parts = [format_array(self._array())]
        if self.dtype.name not in ("float32", "int64", "bool"):
            parts.append(f"dtype={self.dtype!r}")
        if self._requires_grad:
            parts.append("requires_grad=True")
        return f"tensor({', '.join(parts)})"

    def __format__(self, specification: str) -> str:
        is_number = not self.ndim or (self.numel() == 1 and specification)
        return format(self.item(), specification) if is_number and modes.trace is None else repr(self)

    def _repr_html_(self) -> str:
        return f"<pre>{self!r}</pre>"

    # --- making tensors from nodes ---------------------------------------------------------------------------------

    @staticmethod
    def _result(node: Node, requires_grad: bool = False) -> Tensor:
        """A tensor that shows the result of an operation."""
        tensor = Tensor.__new__(Tensor)
        tensor._setup(node, requires_grad=requires_grad and node.dtype.is_floating_point)
        return tensor._at_once() if lazy.eager or modes.anomaly else tensor

    @staticmethod
    def _view(base: Tensor, node: Node, requires_grad: bool) -> Tensor:
        """A tensor that shows part of another; `node` is made of movements of the base's node."""
        tensor = Tensor.__new__(Tensor)
        tensor._setup(node, requires_grad=requires_grad and node.dtype.is_floating_point)
        owner = base if base._base is None else base._base
        tensor._base, tensor._root = owner, owner.node  # not base._root, which a trace does not touch
        return tensor._at_once() if lazy.eager or modes.anomaly else tensor

    def _at_once(self) -> Tensor:
        """Without waiting: for eager mode and for anomaly detection."""
        if modes.trace is None and self._node.value is None:
            lazy.compute([self._node])
        return self

    # --- writing ---------------------------------------------------------------------------------------------------

    def _assign(self, node: Node, requires_grad: bool = False, since: int | None = None) -> None:
        """Make `node` the current value. `since` is the serial before the writing operation's own nodes."""
        if self._leaf and self._requires_grad and modes.grad_enabled:
            raise GradientError(
                explain("a leaf tensor that requires a gradient was written in place", received=self._summary(),
                        expected="a write inside no_grad", remedy="wrap it in `with tw.no_grad():`")
            )  # fmt: skip
        if node.shape != self.shape:
            raise ShapeError(
                explain("an in-place operation cannot change the shape", received=node.shape, expected=self.shape)
            )
        node = _keep_dtype(self, node)
        since = next_serial() if since is None else since
        if self._base is not None:
            self._write_base(node, requires_grad, since)
            return
        before = self.node
        note_overwritten(before, since)
        if self._requires_grad and self._leaf:
            node = ops.detach(node)  # the new value of a leaf is a leaf: no gradient flows beyond it
        elif self._requires_grad and not modes.grad_enabled:
            node = behind_the_record(before, node)
        elif shown_by_another(node, self):
            node = ops.reshape(
                node, shape=node.shape
            )  # a copy: two tensors never share a node unless one views the other
        if requires_grad:
            self._requires_grad, self._leaf = True, False
        self._replace(node)

    def _replace(self, node: Node) -> None:
        trace = modes.trace
        if trace is not None and self._trace is not trace:
            trace.write(self, node)
            return
        if self._bound:
            release(self)
        before = self._node
        if not (self._leaf and self._requires_grad):
            disown(before, self)
        self._node = node
        node.holder = weakref.ref(self)
        if node.value is None and trace is None:
            if before.value is not None:
                self._before = before
            waiting.writes[id(self)] = self
            self._waiting += 1
            if self._waiting > _LONGEST_WAIT or lazy.eager or modes.anomaly:
                self._array()

    def _write_base(self, node: Node, requires_grad: bool, since: int) -> None:
        base = self._base
        assert base is not None
        viewed = self.node
        root = base.node
        if requires_grad and is_detached(viewed, root):
            raise GradientError(
                explain("a recorded value was written through a detached view", received=self._summary(),
                        expected="a value that requires no gradient",
                        remedy="write to a .clone(), or detach the value first")
            )  # fmt: skip
        is_recorded = modes.grad_enabled and (requires_grad or self._requires_grad)
        with set_recording(is_recorded):  # a detached view writes without recording, as in PyTorch
            base._assign(write_through(root, viewed, node), requires_grad, since)
        self._view_node()

    # --- gradients -------------------------------------------------------------------------------------------------

    @property
    def grad(self) -> Tensor | None:
        """dLoss/dself as collected by `backward`, or None."""
        found = modes.trace.read_grad(self) if modes.trace is not None else self._grad
        if isinstance(found, ConsumedGradient):
            raise GradientError(
                explain("this gradient was used up inside a compiled step and not written out", received=".grad",
                        expected="a step compiled to keep it",
                        remedy="use tw.compile(step, keep_gradients=True), with a Trainer a callback's on_gradients or "
                               "on_batch_end; before an own backward(), call zero_grad()")
            )  # fmt: skip
        return found

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if value is not None and not isinstance(value, Tensor):
            raise DTypeError(
                explain(".grad is a tensor or None", received=type(value).__name__, expected=self._summary(),
                        remedy="convert it with tw.tensor(...)")
            )  # fmt: skip
        if value is not None and (value.shape != self.shape or value.dtype is not self.dtype):
            raise ShapeError(
                explain("a gradient has the shape and dtype of its tensor", received=value._summary(),
                        expected=self._summary())
            )  # fmt: skip
        if modes.trace is not None:
            modes.trace.write_grad(self, value)
        else:
            self._grad = value

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Ask for gradients of this leaf (or stop asking)."""
        if requires_grad and not self.dtype.is_floating_point:
            raise DTypeError(
                explain("only floating-point tensors can require a gradient", received=self.dtype.name,
                        expected="float32 or float64", remedy="convert with .float() first")
            )  # fmt: skip
        if not self._leaf and self._requires_grad and not requires_grad:
            raise GradientError(
                explain("requires_grad can be switched off on leaf tensors only", received="the result of an operation",
                        remedy="use .detach()")
            )  # fmt: skip
        if requires_grad != self.requires_grad:
            bump_version()
            self._start_again()
        self._requires_grad = requires_grad
        return self

    def _start_again(self) -> None:
        """Show the value by a new node: what was made before the switch is not of the same leaf as what comes after."""
        self._leaf = True
        if modes.trace is not None and self._trace is not modes.trace:
            return
        node = self.node
        if not self._requires_grad:
            disown(node, self)
        if node.value is not None and self._base is None:
            own = make_input(node.shape, node.dtype, node.value)
        else:
            own = ops.detach(node)
            own.value = node.value
        own.holder = weakref.ref(self)
        self._node = own

    def retain_grad(self) -> None:
        """Let `backward` set `.grad` on this result of an operation too."""
        if not self._requires_grad:
            raise GradientError(explain("retain_grad on a tensor that requires no gradient", received=self._summary()))
        self._retains = not self._leaf


# --- helpers ---------------------------------------------------------------------------------------------------------


def settle(tensor: Tensor) -> None:
    """Forget how a known value was made where no gradient will ask for it."""
    node = tensor._node
    if node.value is None or tensor._base is not None:
        return
    waiting.writes.pop(id(tensor), None)
    tensor._waiting = 0
    tensor._before = None
    if node.inputs and (tensor._leaf or not tensor._requires_grad or node.notes & lazy.SPENT):
        leaf = make_input(node.shape, node.dtype, node.value)
        leaf.holder = weakref.ref(tensor)
        leaf.notes = node.notes & lazy.SPENT
        tensor._node = leaf
        if not tensor._requires_grad:
            disown(node, tensor)


def note_overwritten(node: Node, since: int) -> None:
    """The node stopped being its tensor's value before whatever is made from `since` on."""
    overwritten_at[node] = since
    node.notes |= lazy.OVERWRITTEN


def take_back(tensor: Tensor) -> None:
    """Undo a pending write whose value cannot be computed: a cell is not written by a step that fails."""
    if tensor._before is None or id(tensor) not in waiting.writes:
        return
    tensor._node, tensor._before, tensor._waiting = tensor._before, None, 0
    tensor._node.notes &= ~lazy.OVERWRITTEN
    tensor._node.holder = weakref.ref(tensor)
    waiting.writes.pop(id(tensor), None)


def pending_writes() -> list[Tensor]:
    """The tensors that were written and whose new value nobody has needed yet."""
    return [tensor for tensor in list(waiting.writes.values()) if tensor._trace is None] if waiting.writes else []


def compute_with_writes(node: Node) -> None:
    """A value that is needed, and what was written meanwhile: the writes must not pile up behind each other.

    One that cannot be computed does not stand in the way; it raises when it is looked at itself.
    """
    writes = pending_writes()
    if writes:
        with contextlib.suppress(Exception):
            lazy.compute([node, *[tensor._node for tensor in writes]])
            for tensor in writes:
                settle(tensor)
    lazy.compute([node])


def flush(*also: Tensor, may_compile: bool = True) -> None:
    """Compute every pending write, what is asked for, and all live results on the way, in one evaluation."""
    tensors = pending_writes()
    requests = [tensor for tensor in list(waiting.requests.values()) if tensor._trace is None]
    wanted = [tensor._node for tensor in tensors] + [each.node for each in (*also, *requests)]
    try:
        lazy.compute(wanted, may_compile)
    except Exception:
        _keep_what_can_be_computed(tensors)
        raise
    finally:
        waiting.requests.clear()
    for tensor in (*tensors, *also):
        settle(tensor)


def _keep_what_can_be_computed(tensors: Sequence[Tensor]) -> None:
    for tensor in tensors:
        with contextlib.suppress(Exception):
            tensor._array()  # takes the write back if it fails
            settle(tensor)
        # What had no value before either keeps raising when it is asked for, but not in the steps of others.
        waiting.writes.pop(id(tensor), None)


def request(*tensors: Tensor) -> None:
    """Have these results computed with the next flush, although no pending write depends on them.

    The parameters' new values do not need the loss itself; looked at later, it would cost a second forward pass.
    """
    if modes.trace is None:
        waiting.requests.update((id(tensor), tensor) for tensor in tensors)


def _keep_dtype(tensor: Tensor, node: Node) -> Node:
    """An in-place result keeps the tensor's dtype; a higher category cannot be stored, as in PyTorch."""
    if node.dtype.category > tensor.dtype.category:
        raise DTypeError(
            explain("the result cannot be stored in place", received=node.dtype.name, expected=tensor.dtype.name,
                    remedy="use the out-of-place form, or convert the tensor first")
        )  # fmt: skip
    return convert(node, tensor.dtype)


def refuse_unknown(where: str, allowed: Sequence[str], received: str) -> None:
    """Raise for a name outside a closed list of choices."""
    if received not in allowed:
        raise ArgumentError(explain(f"{where}: unknown choice", received=repr(received), expected=", ".join(allowed)))
