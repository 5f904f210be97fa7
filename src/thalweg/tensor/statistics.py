"""Expressions that count, average and accumulate along axes, and products of matrices with something added.

In: nodes, and axes as users count them. Out: nodes, or named pairs of them. `FUNCTIONS` says under which names users
find them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from thalweg import ops
from thalweg.dtype import int64
from thalweg.errors import ArgumentError, ShapeError, explain
from thalweg.graph import Node, size_of
from thalweg.tensor.arithmetic import (
    add,
    broadcast_shapes,
    clamp,
    convert,
    divide,
    expand_to,
    floating,
    isnan,
    meet_dtype,
    multiply,
    not_equal,
    sqrt,
    subtract,
    where,
)
from thalweg.tensor.products import matmul, outer
from thalweg.tensor.reductions import (
    Dims,
    ValuesAndIndices,
    amax,
    amin,
    logsumexp,
    mean,
    norm,
    sort,
    std,
    sum_,
    var,
)
from thalweg.tensor.shaping import axis_of, cat, permute, reshape, take_range, unsqueeze


class MinAndMax(NamedTuple):
    """What `aminmax` returns."""

    min: Any
    max: Any


# --- counting, averaging ---------------------------------------------------------------------------------------------


def aminmax(x: Node, *, dim: int | None = None, keepdim: bool = False) -> MinAndMax:
    """The smallest and the largest entry along `dim`, or of all."""
    return MinAndMax(amin(x, dim, keepdim), amax(x, dim, keepdim))


def _without_nan(x: Node) -> Node:
    return where(isnan(x), 0, x) if x.dtype.is_floating_point else x


def nansum(x: Node, dim: Dims = None, keepdim: bool = False, dtype: object = None) -> Node:
    """The sum of the entries that are no NaN."""
    return sum_(_without_nan(x), dim, keepdim, dtype)


def nanmean(x: Node, dim: Dims = None, keepdim: bool = False, dtype: object = None) -> Node:
    """The mean of the entries that are no NaN."""
    total = nansum(x, dim, keepdim, dtype)
    return divide(total, convert(sum_(convert(not_equal(isnan(x), True), int64), dim, keepdim), total.dtype))


def count_nonzero(x: Node, dim: Dims = None) -> Node:
    """How many entries are not 0."""
    return sum_(not_equal(x, 0), dim)


def std_mean(
    x: Node, dim: Dims = None, unbiased: bool = True, keepdim: bool = False, correction: float | None = None
) -> tuple[Node, Node]:
    """The standard deviation and the mean."""
    dim, unbiased = (None, dim) if isinstance(dim, bool) else (dim, unbiased)
    return std(x, dim, unbiased, keepdim, correction), mean(x, dim, keepdim)


def var_mean(
    x: Node, dim: Dims = None, unbiased: bool = True, keepdim: bool = False, correction: float | None = None
) -> tuple[Node, Node]:
    """The variance and the mean."""
    dim, unbiased = (None, dim) if isinstance(dim, bool) else (dim, unbiased)
    return var(x, dim, unbiased, keepdim, correction), mean(x, dim, keepdim)


def cov(
    x: Node, *, correction: int = 1, fweights: Node | None = None, aweights: Node | None = None
) -> Node:  # fmt: skip
    """The covariances of variables (rows) over observations (columns), with whole and real weights."""
    if x.ndim > 2:
        raise ShapeError(explain("cov takes a matrix of variables", received=f"shape {x.shape}", expected="(N, M)"))
    rows = reshape(floating(x), (1, x.size)) if x.ndim < 2 else floating(x)
    given = [convert(each, rows.dtype) for each in (fweights, aweights) if each is not None]
    weights = add(multiply(ops.iota(shape=(rows.shape[1],), axis=0, dtype=rows.dtype.name), 0.0), 1.0)
    for each in given:
        weights = multiply(weights, each)
    total = sum_(weights)
    centred = subtract(rows, divide(sum_(multiply(rows, weights), 1, keepdim=True), total))
    count = subtract(total, float(correction))
    if aweights is not None:
        squares = sum_(multiply(weights, convert(aweights, rows.dtype)))
        count = subtract(total, multiply(divide(squares, total), float(correction)))
    product = matmul(multiply(centred, weights), permute(centred, 1, 0))
    result = divide(product, clamp(count, min=0.0))
    return reshape(result, ()) if rows.shape[0] == 1 else result


def corrcoef(x: Node) -> Node:
    """Pearson's correlations of variables (rows) over observations (columns)."""
    matrix = cov(x)
    if not matrix.ndim:
        return divide(matrix, matrix)
    position = ops.iota(shape=(matrix.shape[0],), axis=0, dtype="int64")
    deviation = sqrt(ops.gather(matrix, position, position, role="index"))
    return clamp(divide(matrix, outer(deviation, deviation)), -1.0, 1.0)


def dist(x: Node, other: Node, p: float = 2.0) -> Node:
    """The p-norm of the difference."""
    return norm(subtract(x, other), p)


def renorm(x: Node, p: float, dim: int, maxnorm: float) -> Node:
    """Slices along an axis, those whose p-norm is larger scaled down to `maxnorm`."""
    axis = axis_of(dim, x.ndim)
    others = tuple(each for each in range(x.ndim) if each != axis)
    length = norm(x, p, others, keepdim=True)
    is_long = ops.less(expand_to(_number(maxnorm, length), length.shape), length)
    return multiply(x, where(is_long, divide(maxnorm, add(length, 1e-7)), 1.0))


def _number(value: float, like: Node) -> Node:
    return add(multiply(ops.detach(like), 0.0), value)


# --- order -----------------------------------------------------------------------------------------------------------


def msort(x: Node) -> Node:
    """Sorted along the first axis."""
    return sort(x, 0).values if x.ndim else x


def kthvalue(x: Node, k: int, dim: int = -1, keepdim: bool = False) -> ValuesAndIndices:
    """The k-th smallest entry along an axis, and where it stands."""
    if not x.ndim:
        return sort(x)
    axis = axis_of(dim, x.ndim)
    if not 1 <= k <= x.shape[axis]:
        raise ArgumentError(explain("kthvalue: k is out of range", received=k, expected=f"1 <= k <= {x.shape[axis]}"))
    found = [take_range(each, axis, k - 1, k) for each in sort(x, axis)]
    shape = (*x.shape[:axis], *x.shape[axis + 1 :])
    return ValuesAndIndices(*(each if keepdim else reshape(each, shape) for each in found))


# --- accumulating ----------------------------------------------------------------------------------------------------


def _doubled(x: Node, axis: int, combine: Callable[[Node, Node], Node]) -> Node:
    """All running combinations along an axis in log2(n) steps (Hillis and Steele, 1986)."""
    step, extent = 1, x.shape[axis]
    while step < extent:
        joined = combine(take_range(x, axis, step, extent), take_range(x, axis, 0, extent - step))
        x = ops.concatenate(take_range(x, axis, 0, step), joined, axis=axis)
        step *= 2
    return x


def cumprod(x: Node, dim: int, *, dtype: object = None) -> Node:
    """Running products; their derivatives are exact also where factors are 0."""
    given = sum_(x, (), dtype=dtype) if dtype is not None and not x.ndim else x
    given = convert(given, int64) if not given.dtype.is_floating_point else given
    return _doubled(given, axis_of(dim, x.ndim), multiply) if x.ndim else given


def logcumsumexp(x: Node, dim: int) -> Node:
    """The logarithms of running sums of e^x, without overflow."""
    axis = axis_of(dim, x.ndim)
    return _doubled(x, axis, _log_of_sum) if x.ndim else x


def _log_of_sum(a: Node, b: Node) -> Node:
    pair = ops.concatenate(unsqueeze(a, 0), unsqueeze(b, 0), axis=0)
    return logsumexp(pair, 0)


def diff(x: Node, n: int = 1, dim: int = -1, prepend: Node | None = None, append: Node | None = None) -> Node:
    """The differences of neighbours along an axis, n times."""
    axis = axis_of(dim, x.ndim)
    if n == 0:
        return x
    parts = [each for each in (prepend, x, append) if each is not None]
    x = cat(parts, axis) if len(parts) > 1 else x
    for _ in range(min(n, x.shape[axis]) if n >= 0 else 0):
        after, before = take_range(x, axis, 1, x.shape[axis]), take_range(x, axis, 0, max(x.shape[axis] - 1, 0))
        x = ops.bitwise_xor(after, before) if x.dtype.name == "bool" else subtract(after, before)
    return x


def _trapezia(y: Node, x: Node | None, dx: float, dim: int) -> tuple[Node, int]:
    axis = axis_of(dim, y.ndim)
    extent = y.shape[axis]
    middle = add(take_range(y, axis, 1, extent), take_range(y, axis, 0, max(extent - 1, 0)))
    if x is None:
        return multiply(middle, dx / 2), axis
    last = x if x.ndim > 1 else reshape(x, tuple(x.size if each == axis else 1 for each in range(y.ndim)))
    width = diff(last, dim=axis if last.ndim == y.ndim else dim)
    return multiply(divide(middle, 2.0), width), axis


def trapezoid(y: Node, x: Node | None = None, *, dx: float = 1, dim: int = -1) -> Node:
    """The integral along an axis by the trapezoidal rule, at places `x` or `dx` apart."""
    parts, axis = _trapezia(y, x, dx, dim)
    return sum_(parts, axis)


def cumulative_trapezoid(y: Node, x: Node | None = None, *, dx: float = 1, dim: int = -1) -> Node:
    """The running integral along an axis by the trapezoidal rule."""
    parts, axis = _trapezia(y, x, dx, dim)
    return ops.cumsum(parts, axis=axis, reverse=False)


# --- products --------------------------------------------------------------------------------------------------------


def _scaled_sum(x: Node, product: Node, beta: float, alpha: float) -> Node:
    """beta x + alpha product; with beta 0 the entries of x do not count, NaN neither."""
    product = product if alpha == 1 else multiply(product, alpha)
    if beta == 0:
        return expand_to(product, broadcast_shapes(x.shape, product.shape))
    return add(x if beta == 1 else multiply(x, beta), product)


def _added(product: Callable[[Node, Node], Node], ranks: tuple[int, int], name: str) -> Callable[..., Node]:
    def function(x: Node, a: Node, b: Node, *, beta: float = 1, alpha: float = 1) -> Node:
        if (a.ndim, b.ndim) != ranks:
            raise ShapeError(explain(f"{name} takes tensors of {ranks[0]} and {ranks[1]} axes",
                                     received=f"{a.shape} and {b.shape}"))  # fmt: skip
        return _scaled_sum(x, product(a, b), beta, alpha)

    function.__name__ = name
    function.__doc__ = "beta x + alpha times the product of the two others."
    return function


addmm = _added(matmul, (2, 2), "addmm")
addmv = _added(matmul, (2, 1), "addmv")
addr = _added(outer, (1, 1), "addr")
baddbmm = _added(matmul, (3, 3), "baddbmm")
addbmm = _added(lambda a, b: sum_(matmul(a, b), 0), (3, 3), "addbmm")


def inner(a: Node, b: Node) -> Node:
    """The sums of products over the last axes of both."""
    if not a.ndim or not b.ndim:
        return multiply(a, b)
    if a.shape[-1] != b.shape[-1]:
        raise ShapeError(explain("inner: the last extents differ", received=f"{a.shape} and {b.shape}"))
    return tensordot(a, b, ([-1], [-1]))


def tensordot(a: Node, b: Node, dims: Any = 2) -> Node:
    """The sums of products over several axes: the last of one and the first of the other, or two lists of them."""
    if isinstance(dims, int):
        dims = (list(range(a.ndim - dims, a.ndim)), list(range(dims)))
    left, right = ([axis_of(each, x.ndim) for each in named] for x, named in ((a, dims[0]), (b, dims[1])))
    if [a.shape[i] for i in left] != [b.shape[i] for i in right]:
        raise ShapeError(explain("tensordot: the extents differ", received=f"{a.shape} and {b.shape}, axes {dims}"))
    rows, columns = ([i for i in range(x.ndim) if i not in named] for x, named in ((a, left), (b, right)))
    shape = (*[a.shape[i] for i in rows], *[b.shape[i] for i in columns])
    inside = size_of(tuple(a.shape[i] for i in left))
    first = reshape(permute(a, [*rows, *left]), (size_of(tuple(a.shape[i] for i in rows)), inside))
    second = reshape(permute(b, [*right, *columns]), (inside, size_of(tuple(b.shape[i] for i in columns))))
    return reshape(matmul(first, second), shape)


def vdot(a: Node, b: Node) -> Node:
    """The sum of products of two vectors."""
    if a.ndim != 1 or b.ndim != 1:
        raise ShapeError(explain("vdot takes two vectors", received=f"{a.shape} and {b.shape}"))
    return matmul(a, b)


def kron(a: Node, b: Node) -> Node:
    """Kronecker's product: every entry of a times all of b."""
    count = max(a.ndim, b.ndim)
    a, b = (reshape(x, (1,) * (count - x.ndim) + x.shape) for x in (a, b))
    left = reshape(a, tuple(each for extent in a.shape for each in (extent, 1)))
    right = reshape(b, tuple(each for extent in b.shape for each in (1, extent)))
    return reshape(multiply(left, right), tuple(i * j for i, j in zip(a.shape, b.shape, strict=True)))


def cross(a: Node, b: Node, dim: int | None = None) -> Node:
    """The vector product along an axis of extent 3, the first such if none is named."""
    a, b = meet_dtype("cross", a, b)
    shape = broadcast_shapes(a.shape, b.shape, name="cross")
    a, b = expand_to(a, shape), expand_to(b, shape)
    found = [axis for axis, extent in enumerate(shape) if extent == 3] if dim is None else [axis_of(dim, len(shape))]
    if not found or shape[found[0]] != 3:
        raise ShapeError(explain("cross needs an axis of extent 3", received=f"shape {shape}"))
    x, y = ([take_range(each, found[0], i % 3, i % 3 + 1) for i in range(5)] for each in (a, b))
    parts = [subtract(multiply(x[i + 1], y[i + 2]), multiply(x[i + 2], y[i + 1])) for i in range(3)]
    return cat(parts, found[0])


def matrix_power(x: Node, n: int) -> Node:
    """The n-th power of square matrices, n at least 0, by repeated squaring."""
    if n < 0 or x.ndim < 2 or x.shape[-1] != x.shape[-2]:
        raise ArgumentError(explain("matrix_power takes square matrices and n >= 0", received=f"{x.shape}, n={n}"))
    row, column = (ops.iota(shape=x.shape, axis=x.ndim - each, dtype="int64") for each in (2, 1))
    result: Node | None = None
    while n:
        if n % 2:
            result = x if result is None else matmul(result, x)
        x, n = (matmul(x, x) if n > 1 else x), n // 2
    return result if result is not None else convert(ops.equal(row, column), x.dtype)


def cdist(
    x1: Node, x2: Node, p: float = 2.0, compute_mode: str = "use_mm_for_euclid_dist_if_necessary"
) -> Node:  # fmt: skip
    """The p-norm distances of all pairs of rows: (*, P, M) and (*, R, M) give (*, P, R). Batches broadcast."""
    if min(x1.ndim, x2.ndim) < 2 or x1.shape[-1] != x2.shape[-1]:
        raise ShapeError(
            explain("cdist takes rows of one length", received=f"{x1.shape} and {x2.shape}",
                    expected="(*, P, M) and (*, R, M)")
        )  # fmt: skip
    batch = broadcast_shapes(x1.shape[:-2], x2.shape[:-2], name="cdist")
    a, b = (expand_to(x, (*batch, *x.shape[-2:])) for x in (x1, x2))
    return norm(subtract(unsqueeze(a, -2), unsqueeze(b, -3)), p, -1)


def vander(x: Node, N: int | None = None, increasing: bool = False) -> Node:
    """The powers of the entries of a vector as columns, the highest first."""
    count = x.shape[-1] if N is None else N
    columns = [add(multiply(x, 0), 1)]
    for _ in range(1, count):
        columns.append(multiply(columns[-1], x))
    order: Sequence[Node] = columns[:count] if increasing else columns[:count][::-1]
    return cat([unsqueeze(each, -1) for each in order], -1)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "aminmax": aminmax, "nansum": nansum, "nanmean": nanmean, "count_nonzero": count_nonzero, "std_mean": std_mean,
    "var_mean": var_mean, "cov": cov, "corrcoef": corrcoef, "dist": dist, "renorm": renorm, "msort": msort,
    "kthvalue": kthvalue, "cumprod": cumprod, "logcumsumexp": logcumsumexp, "diff": diff, "trapezoid": trapezoid,
    "trapz": trapezoid, "cumulative_trapezoid": cumulative_trapezoid, "addmm": addmm, "addmv": addmv, "addr": addr,
    "baddbmm": baddbmm, "addbmm": addbmm, "inner": inner, "tensordot": tensordot, "vdot": vdot, "kron": kron,
    "cross": cross, "matrix_power": matrix_power, "cdist": cdist, "vander": vander, "ger": outer,
}  # fmt: skip

# Those whose in-place form PyTorch has too.
IN_PLACE = ("addmm", "addmv", "addr", "baddbmm", "addbmm", "cumprod", "renorm")
