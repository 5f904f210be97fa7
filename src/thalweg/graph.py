"""A program as data: immutable nodes, the records of the primitives they apply, and walks over them.

In: a primitive, its input nodes and its static attributes. Out: a `Node` whose shape and dtype are known at once,
and functions that order, rewrite, key and print programs. What a node *is* never changes after construction.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from thalweg.dtype import DType, scalar_dtype
from thalweg.errors import StructureError

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Probe:
    """Points at which a primitive is tested: against finite differences, and compiled against NumPy.

    `shapes` has one shape an input; values are drawn uniformly from [`low`, `high`]; `integers` maps the position of an
    index input to the exclusive upper bound of its values; `fixed` maps a position to literal values; `also` are
    special values whose result must be well defined; `kinks` are points that a finite difference must not straddle;
    `distinct` asks for values that are all different by more than the step of a finite difference.
    """

    shapes: tuple[Shape, ...] = ((3, 4),)
    low: float = -2.0
    high: float = 2.0
    attributes: Mapping[str, Any] = field(default_factory=dict)
    integers: Mapping[int, int] = field(default_factory=dict)
    fixed: Mapping[int, Any] = field(default_factory=dict)
    also: tuple[float, ...] = ()
    kinks: tuple[float, ...] = ()
    distinct: bool = False


@dataclass(frozen=True, eq=False)
class Primitive:
    """The whole record of one primitive: everything that any pass may ask about it.

    - `shape_rule(*shapes, **attributes) -> shape` and `dtype_rule(*dtypes, **attributes) -> dtype`; where `multiple`
      is set both return a tuple, one entry an output, and the outputs are read through `output` nodes.
    - `numpy(*arrays, **attributes) -> array`: the definition of what the primitive means.
    - `chain_rule(g, y, *inputs, **attributes)`: for the cotangent `g` of the result `y`, the cotangent of each input,
      as nodes; None stands for zero. A primitive without one is constant almost everywhere.
    - `emit(e, *values)`: the scalar expression in the compiled kernel, in the words of the emitter `e`; for a
      reduction, how two partial results are combined.
    - `identities`: facts that passes may use, such as ``{"identity_element": 0}`` or ``{"linear": True}``; functions of
      a node among them: `simpler` (an equal node with less work, or None), `positions` (the indices that it reads from
      data), `refuses` (whether some data make it an error).
    - `probes`: where it is tested.
    """

    name: str
    kind: str
    shape_rule: Callable[..., Any]
    dtype_rule: Callable[..., Any]
    numpy: Callable[..., Any]
    chain_rule: Callable[..., tuple[Node | None, ...]] | None = None
    emit: Callable[..., Any] | None = None
    identities: Mapping[str, Any] = field(default_factory=dict)
    probes: tuple[Probe, ...] = ()
    multiple: bool = False
    forms: dict[Hashable, Form] = field(default_factory=dict, init=False, repr=False)

    def __call__(self, *inputs: Node, **attributes: Hashable) -> Node:
        key: Hashable = tuple([node.form.type for node in inputs])
        if attributes:
            key = (key, exactly(attributes))
        try:
            form = self.forms.get(key)
        except TypeError:  # `verify` says which attribute cannot be part of a key
            form = self._infer(None, inputs, attributes)
        return Node(self._infer(key, inputs, attributes) if form is None else form, inputs)

    def _infer(self, key: Hashable, inputs: tuple[Node, ...], attributes: Mapping[str, Any]) -> Form:
        """The rules are asked once for each kind of application."""
        shape = self.shape_rule(*[node.shape for node in inputs], **attributes)
        dtype = self.dtype_rule(*[node.dtype for node in inputs], **attributes)
        if key is None:
            return Form(self, attributes, shape, dtype)
        return self.form(key, attributes, shape, dtype)

    def form(self, key: Hashable, attributes: Mapping[str, Any], shape: Any, dtype: Any) -> Form:
        """The one form of this key; made if it is new."""
        if len(self.forms) >= (_MOST_LOOPS if self.multiple else _MOST_FORMS):
            self.forms.clear()
        return self.forms.setdefault(key, Form(self, attributes, shape, dtype))

    def __repr__(self) -> str:
        return f"<primitive {self.name}>"


PRIMITIVES: dict[str, Primitive] = {}
_MOST_FORMS = 8192  # of one primitive; shapes or numbers that never return must not pile up
_MOST_LOOPS = 512  # of a primitive whose forms hold the program of a step


def exactly(attributes: Mapping[str, Any]) -> tuple[Hashable, ...]:
    """The attributes as a key that tells 0.0 from -0.0 and 1 from True, and equals itself for NaN."""
    return tuple(
        [
            (key, repr(value)) if isinstance(value, (bool, int, float)) else (key, value)
            for key, value in attributes.items()
        ]
    )


class Form:
    """What a node is, but for which nodes its inputs are: primitive, attributes, shape and dtype of the result.

    Forms are kept, so that rules are asked once and structures are compared by `number`. It is equal for two
    applications of one primitive to inputs of the same types with the same attributes, and for no others. `type` is a
    number for the shape and dtype of the result.
    """

    __slots__ = ("attributes", "dtype", "number", "op", "shape", "type")

    def __init__(self, op: Primitive, attributes: Mapping[str, Any], shape: Any, dtype: Any) -> None:
        self.op = op
        self.attributes = attributes
        self.shape = shape
        self.dtype = dtype
        self.number = next(_form_numbers)
        try:
            self.type = _types.setdefault((shape, dtype), next(_type_numbers))
        except TypeError:  # a shape that is no shape, for `verify` to find
            self.type = next(_type_numbers)


_form_numbers, _type_numbers = itertools.count(), itertools.count()
_types: dict[Hashable, int] = {}


def register(primitive: Primitive) -> Primitive:
    """Add a record to the closed set; a second record of the same name is a mistake."""
    if primitive.name in PRIMITIVES:
        raise StructureError(f"the primitive {primitive.name!r} has two records")
    PRIMITIVES[primitive.name] = primitive
    return primitive


class Scope(threading.local):
    """Where in the user's model nodes are being made: the path of the module whose forward pass runs."""

    path: str = ""


scope = Scope()


class Origin(str):
    """A module path that also knows the line of the user's code, and by which operation's chain rule a node was made.

    Only what is traced has one; elsewhere the origin of a node is a plain string.
    """

    __slots__ = ("line", "rule")
    line: str
    rule: str

    def __new__(cls, path: str, line: str, rule: str = "") -> Origin:
        origin = super().__new__(cls, path)
        origin.line, origin.rule = line, rule
        return origin


_serial = itertools.count()


def next_serial() -> int:
    """A number between those of the nodes made so far and those made later."""
    return next(_serial)


class Node:
    """One operation of a program: `op` applied to `inputs` with static `attributes`.

    These, with `shape` and `dtype`, are what the node *is*; `form` is all of it but the inputs. The other slots are
    notes of whoever runs it: `value`, the array it is known to have; `holder`, a weak reference to the tensor that
    shows it to the user; `notes`, bits of the tensor layer; `origin`, the module path it was made under; `serial`, its
    place in the order of construction; `hooks`, set on few nodes, what is called with the cotangent.
    """

    __slots__ = (
        "__weakref__",
        "attributes",
        "dtype",
        "form",
        "holder",
        "hooks",
        "inputs",
        "notes",
        "op",
        "origin",
        "serial",
        "shape",
        "value",
    )
    hooks: dict[int, Any]

    def __init__(self, form: Form, inputs: tuple[Node, ...] = ()) -> None:
        self.form = form
        self.op = form.op
        self.inputs = inputs
        self.attributes = form.attributes
        self.shape = form.shape
        self.dtype = form.dtype
        self.origin = scope.path
        self.serial = next(_serial)
        self.value: Any = None
        self.holder: Any = None
        self.notes = 0

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return size_of(self.shape)

    def __repr__(self) -> str:
        return f"<{self.op.name} {describe(self.shape, self.dtype)}>"

    # The notation in which chain rules are written. Shapes must be equal already: only Python scalars are broadcast.
    def __add__(self, other: Node | float) -> Node:
        return PRIMITIVES["add"](self, like(self, other))

    def __radd__(self, other: float) -> Node:
        return PRIMITIVES["add"](like(self, other), self)

    def __sub__(self, other: Node | float) -> Node:
        return PRIMITIVES["subtract"](self, like(self, other))

    def __rsub__(self, other: float) -> Node:
        return PRIMITIVES["subtract"](like(self, other), self)

    def __mul__(self, other: Node | float) -> Node:
        return PRIMITIVES["multiply"](self, like(self, other))

    def __rmul__(self, other: float) -> Node:
        return PRIMITIVES["multiply"](like(self, other), self)

    def __truediv__(self, other: Node | float) -> Node:
        return PRIMITIVES["divide"](self, like(self, other))

    def __rtruediv__(self, other: float) -> Node:
        return PRIMITIVES["divide"](like(self, other), self)

    def __neg__(self) -> Node:
        return PRIMITIVES["negative"](self)

    def __lt__(self, other: Node | float) -> Node:
        return PRIMITIVES["less"](self, like(self, other))

    def __gt__(self, other: Node | float) -> Node:
        return PRIMITIVES["less"](like(self, other), self)


def size_of(shape: Shape) -> int:
    """How many entries an array of this shape has."""
    total = 1
    for extent in shape:
        total *= extent
    return total


# --- leaves ----------------------------------------------------------------------------------------------------------

input_leaf = register(
    Primitive(
        "input",
        "leaf",
        shape_rule=lambda *, shape, dtype: shape,
        dtype_rule=lambda *, shape, dtype: dtype,
        numpy=lambda **_: None,
    )
)
constant_leaf = register(
    Primitive(
        "constant",
        "leaf",
        shape_rule=lambda *, value, dtype: (),
        dtype_rule=lambda *, value, dtype: dtype,
        numpy=lambda *, value, dtype: np.array(value, dtype.numpy),
    )
)


def make_input(shape: Shape, dtype: DType, value: np.ndarray | None = None) -> Node:
    """A leaf whose array is given when the program runs, or is `value`."""
    key = (shape, dtype.name)
    form = input_leaf.forms.get(key)
    if form is None:
        form = input_leaf.form(key, {"shape": shape, "dtype": dtype}, shape, dtype)
    node = Node(form)
    node.value = value
    return node


def constant(value: bool | int | float, dtype: DType | None = None) -> Node:
    """A 0-d number that is part of the program."""
    dtype = dtype or scalar_dtype(value)
    key = (repr(value), dtype.name)
    form = constant_leaf.forms.get(key)
    return Node(form or constant_leaf.form(key, {"value": value, "dtype": dtype}, (), dtype))


def full(shape: Shape, value: bool | int | float, dtype: DType) -> Node:
    """The number `value` in every place of `shape`."""
    node = constant(value, dtype)
    if not shape:
        return node
    ones = PRIMITIVES["reshape"](node, shape=(1,) * len(shape))
    return PRIMITIVES["broadcast"](ones, shape=shape)


def like(node: Node, other: Node | bool | int | float) -> Node:
    """`other` itself if it is a node, else that number with the shape and dtype of `node`."""
    return other if isinstance(other, Node) else full(node.shape, other, node.dtype)


def zeros_like(node: Node) -> Node:
    return full(node.shape, 0, node.dtype)


def select(condition: Node, yes: Node | float, no: Node | float) -> Node:
    """`where` for chain rules; a Python scalar takes the shape and dtype of the other branch."""
    if not isinstance(yes, Node):
        assert isinstance(no, Node)
        yes = like(no, yes)
    return PRIMITIVES["where"](condition, yes, like(yes, no))


def is_zero(node: Node) -> Node:
    return PRIMITIVES["equal"](node, zeros_like(node))


# --- walks -----------------------------------------------------------------------------------------------------------


def toposort(outputs: Iterable[Node], is_leaf: Callable[[Node], bool] | None = None) -> list[Node]:
    """Every node that the outputs need, inputs before users, each once, in a deterministic order.

    Iterative, so that a program of any depth is all right. Where `is_leaf` says so, inputs are not followed.
    """
    order: list[Node] = []
    seen: set[Node] = set()
    placed: set[Node] = set()
    stack = list(outputs)[::-1]
    while stack:
        node = stack[-1]
        if node not in seen:
            seen.add(node)  # also where it is its own input, which `verify` finds
            if node.inputs and (is_leaf is None or not is_leaf(node)):
                stack += [each for each in node.inputs[::-1] if each not in seen]
                continue
        stack.pop()
        if node not in placed:  # its inputs are
            placed.add(node)
            order.append(node)
    return order


def substitute(outputs: Sequence[Node], replacements: Mapping[Node, Node]) -> list[Node]:
    """The same program with some nodes replaced; untouched parts are shared, not copied."""
    new: dict[Node, Node] = dict(replacements)
    for node in toposort(outputs, is_leaf=new.__contains__):
        if node in new:
            continue
        inputs = tuple(new[each] for each in node.inputs)
        new[node] = node if inputs == node.inputs else rebuild(node, inputs)
    return [new[node] for node in outputs]


def rebuild(node: Node, inputs: tuple[Node, ...]) -> Node:
    """The same operation on other inputs of the same shapes and dtypes."""
    copy = Node(node.form, inputs)
    copy.origin = node.origin
    return copy


def attribute_key(node: Node) -> Hashable:
    """The attributes as a hashable value that tells 0.0 from -0.0 and equals itself for NaN."""
    if node.op is constant_leaf:
        return (repr(node.attributes["value"]), node.dtype.name)
    return exactly(node.attributes)


def form_key(node: Node) -> Hashable:
    """What the node is, but for which nodes its inputs are."""
    return node.form.number


def structure_key(outputs: Sequence[Node], leaves: Sequence[Node] = (), order: list[Node] | None = None) -> Hashable:
    """A key that is equal for programs that differ only in the identity of their nodes and in their leaves' values.

    `leaves` fixes the order of the inputs; nodes in it are treated as inputs whatever they are.
    """
    position: dict[Node, int] = {node: index for index, node in enumerate(leaves)}
    rows: list[Hashable] = [node.form.type for node in leaves]
    for node in order if order is not None else toposort(outputs, is_leaf=position.__contains__):
        if node in position:
            continue
        position[node] = len(rows)
        rows.append((form_key(node), *[position[each] for each in node.inputs]))
    return (tuple(rows), tuple(position[node] for node in outputs))


def evaluate_node(node: Node, arrays: Sequence[np.ndarray]) -> Any:
    """The NumPy meaning of one node, as an array (or, for several outputs, a tuple of arrays)."""
    result = node.op.numpy(*arrays, **node.attributes)
    return result if node.op.multiple or isinstance(result, np.ndarray) else np.asarray(result, node.dtype.numpy)


# --- printing --------------------------------------------------------------------------------------------------------


def describe(shape: Any, dtype: Any) -> str:
    """How a shape and dtype read in a printed program: ``float32[3, 4]``."""
    if isinstance(dtype, tuple):
        return "(" + ", ".join(describe(*each) for each in zip(shape, dtype, strict=True)) + ")"
    return f"{dtype.name}[{', '.join(map(str, shape))}]"


def show(outputs: Sequence[Node], is_leaf: Callable[[Node], bool] | None = None) -> str:
    """The program as numbered lines, one a node.

    >>> from thalweg.dtype import float32
    >>> x = make_input((3,), float32)
    >>> print(show([x]))
    %0 = input() : float32[3]
    return %0
    """
    names: dict[Node, str] = {}
    lines = []
    for node in toposort(outputs, is_leaf):
        names[node] = f"%{len(names)}"
        arguments = [names[each] for each in node.inputs if each in names]
        arguments += [f"{key}={value!r}" for key, value in node.attributes.items() if node.op is not input_leaf]
        where = "  ".join(filter(None, (node.origin, getattr(node.origin, "line", ""))))
        where = f"    # {where}" if where else ""
        lines.append(
            f"{names[node]} = {node.op.name}({', '.join(arguments)}) : {describe(node.shape, node.dtype)}{where}"
        )
    lines.append("return " + ", ".join(names[node] for node in outputs))
    return "\n".join(lines)
