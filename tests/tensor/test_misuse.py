"""Misuse of tensors: what is raised, and what the message says was received, expected, and can be done.

In: a table of wrong calls. Out: for each, an error of ours that is also the built-in one that fits, raised at once (no
value had to be computed), with the words that help. More of them stand beside indexing, creation, random, einsum.
"""

from __future__ import annotations

import re

import numpy as np
import pytest

import thalweg as tw

f = tw.ones(2, 3)
i = tw.arange(6).view(2, 3)
v = tw.ones(3)
b = f > 0

MISUSES = {
    # shapes
    "add shapes": (lambda: f + tw.ones(4), ValueError, r"\(2, 3\) and \(4,\).*aligned at the right"),
    "matmul inner": (lambda: f @ f, ValueError, r"inner extents differ.*\(2, 3\) @ \(2, 3\).*transpose"),
    "matmul scalar": (lambda: f @ tw.tensor(2.0), ValueError, r"at least one axis.*use \* to scale"),
    "matmul batch": (lambda: tw.ones(2, 3, 4) @ tw.ones(3, 4, 5), ValueError, "batch axes"),
    "mm ranks": (lambda: tw.mm(v, f), ValueError, "mm takes tensors of 2 and 2 axes.*use @"),
    "bmm ranks": (lambda: f.bmm(f), ValueError, "bmm takes"),
    "dot ranks": (lambda: f.dot(v), ValueError, "dot takes two vectors"),
    "outer ranks": (lambda: f.outer(v), ValueError, "outer takes two vectors"),
    "reshape": (lambda: f.reshape(4, 2), ValueError, r"6 entries for shape \(4, 2\).*use -1"),
    "two unknowns": (lambda: f.view(-1, -1), ValueError, "at most one extent may be -1"),
    "unknown does not divide": (lambda: f.view(4, -1), ValueError, "cannot have that shape"),
    "cat shapes": (lambda: tw.cat([f, tw.ones(2, 4)], 0), ValueError, r"outside the joined axis.*\(2, 4\).*axis 0"),
    "cat ranks": (lambda: tw.cat([f, v]), ValueError, "outside the joined axis"),
    "cat numbers": (lambda: tw.cat([tw.tensor(1.0)]), ValueError, "0-d.*use stack"),
    "cat nothing": (lambda: tw.cat([]), ValueError, "at least one tensor"),
    "cat a tensor": (lambda: tw.cat(f), TypeError, r"list or tuple of tensors.*\[a, b\]"),
    "cat of arrays and text": (lambda: tw.cat([f, "a"]), TypeError, "list or tuple of tensors"),
    "stack shapes": (lambda: tw.stack([f, v]), ValueError, r"shapes differ.*\(2, 3\), \(3,\)"),
    "stack nothing": (lambda: tw.stack([]), ValueError, "at least one tensor"),
    "expand": (lambda: f.expand(4, 3), ValueError, "repeats axes of size 1 only"),
    "expand drops": (lambda: f.expand(3), ValueError, "cannot drop axes"),
    "permute": (lambda: f.permute(0, 0), ValueError, "every axis exactly once"),
    "t of three axes": (lambda: tw.ones(1, 2, 3).t(), ValueError, "at most two axes.*transpose"),
    "narrow": (lambda: f.narrow(1, 2, 2), ValueError, "over the edge"),
    "split sections": (lambda: f.split([1, 1], 1), ValueError, "do not add up"),
    "split size": (lambda: f.split(0), ValueError, "must be positive"),
    "chunk": (lambda: f.chunk(0), ValueError, "must be positive"),
    "where shapes": (lambda: tw.where(b, f, tw.ones(5)), ValueError, "where: shapes"),
    "gather": (lambda: f.gather(1, tw.zeros(3, 3, dtype="int64")), ValueError, r"gather.*at most \(2, 3\)"),
    "scatter": (lambda: f.scatter(1, i[:, :2], tw.ones(1, 2)), ValueError, "src is smaller than index"),
    "item": (lambda: f.item(), ValueError, r"one entry.*shape \(2, 3\)"),
    "truth": (lambda: bool(f), ValueError, r"ambiguous.*\.any\(\) or \.all\(\)"),
    "topk": (lambda: f.topk(4), ValueError, "k=4"),
    "empty maximum": (lambda: tw.zeros(0, 3).amax(0), ValueError, "size 0 has no value"),
    "empty argmax": (lambda: tw.zeros(0).argmax(), ValueError, "size 0 has no value"),
    "empty median": (lambda: tw.zeros(0).median(), ValueError, "size 0 has no value"),
    "in-place shape": (lambda: tw.ones(3).add_(f), ValueError, "cannot change the shape"),
    "copy shape": (lambda: tw.ones(3).copy_(f), ValueError, r"copy_.*broadcasts to \(3,\)"),
    "fill tensor": (lambda: tw.ones(3).fill_(v), ValueError, "one number"),
    "negative size": (lambda: tw.zeros(2, -1), ValueError, "cannot be negative"),
    # axes
    "axis": (lambda: f.sum(2), ValueError, r"not an axis.*-2 <= dim < 2"),
    "axis twice": (lambda: f.sum((0, -2)), ValueError, "named twice"),
    "axis type": (lambda: f.sum(1.0), TypeError, "must be an integer"),
    "axis of a number": (lambda: tw.tensor(1.0).unsqueeze(3), ValueError, "not an axis"),
    "softmax axis": (lambda: f.softmax(5), ValueError, "not an axis"),
    # dtypes
    "mean of integers": (lambda: i.mean(), TypeError, r"mean is defined for floating.*int64.*\.float\(\)"),
    "std of integers": (lambda: i.std(), TypeError, "floating-point"),
    "norm of integers": (lambda: i.norm(), TypeError, "floating-point"),
    "subtract bools": (lambda: b - b, TypeError, "not defined for bool"),
    "negate bool": (lambda: -b, TypeError, "negative is not defined.*bool"),
    "bitwise floats": (lambda: f & f, TypeError, "bitwise_and is not defined.*float32"),
    "where condition": (lambda: tw.where(f, f, f), TypeError, "bool condition.*x > 0"),
    "mask": (lambda: f.masked_fill(i, 0.0), TypeError, "bool condition|bool mask"),
    "gather index": (lambda: f.gather(1, f), TypeError, r"integer positions.*\.long\(\)"),
    "scatter dtype": (lambda: f.scatter(1, i, i), TypeError, "another dtype"),
    "integer power": (lambda: i ** -1, TypeError, r"negative power.*\.float\(\)"),
    "gradient of integers": (lambda: i.clone().requires_grad_(), TypeError, r"only floating-point.*\.float\(\)"),
    "dtype name": (lambda: f.to("float12"), ValueError, "float12"),
    "dtype": (lambda: tw.zeros(2, dtype="complex64"), TypeError, "unknown dtype.*float32"),
    "infinity as integer": (lambda: i.masked_fill(b, float("inf")), TypeError, "no integer value"),
    "index": (lambda: [1, 2][tw.tensor(0.0)], TypeError, "cannot be an index"),
    "length": (lambda: len(tw.tensor(1.0)), TypeError, "0-d tensor has no length"),
    "iterate": (lambda: list(tw.tensor(1.0)), TypeError, "0-d tensor cannot be iterated"),
    # other arguments
    "operand": (lambda: f.add("a"), TypeError, r"operand of this type.*str.*tw\.tensor"),
    "operand none": (lambda: tw.exp(None), TypeError, "operand of this type.*NoneType"),
    "operand list": (lambda: tw.add(f, [1, 2, 3]), TypeError, "operand of this type.*list"),
    "softmax of a list": (lambda: tw.softmax([1.0, 2.0], 0), TypeError, "softmax takes a tensor.*list"),
    "gather with a list": (lambda: f.gather(1, [[0]]), TypeError, "gather.*takes a tensor.*list"),
    "matmul with a list": (lambda: f.matmul([1, 2, 3]), TypeError, "matmul takes a tensor.*list"),
    "mask as a list": (lambda: f.masked_fill([True], 0.0), TypeError, "masked_fill takes a tensor.*list"),
    "method on a list": (lambda: tw.reshape([1, 2], (2, 1)), TypeError, "takes a tensor.*list"),
    "device": (lambda: f.to("cuda"), ValueError, "device is not there.*cuda.*cpu"),
    "clamp": (lambda: f.clamp(), ValueError, "needs a limit"),
    "norm name": (lambda: f.norm("nuc"), ValueError, "unknown norm"),
    "rounding mode": (lambda: f.div(2, rounding_mode="up"), ValueError, "rounding_mode.*floor, trunc"),
    "arange": (lambda: tw.arange(3, 1), ValueError, "never reaches its end"),
    "arange step": (lambda: tw.arange(0, 3, 0), ValueError, "never reaches its end"),
    "from a list": (lambda: tw.from_numpy([1, 2]), TypeError, "takes a NumPy array.*list"),
    "diagonal": (lambda: f.diagonal(0, 1, 1), ValueError, "two different axes"),
    "diag": (lambda: tw.ones(1, 1, 1).diag(), ValueError, "vector or a matrix"),
    "tril": (lambda: v.tril(), ValueError, "at least two axes"),
    "movedim": (lambda: f.movedim((0, 1), (0,)), ValueError, "as many different places"),
    "roll": (lambda: f.roll((1, 2), (0,)), ValueError, "one shift an axis"),
    "repeat": (lambda: f.repeat(2), ValueError, "count for every axis"),
    "negative repeat": (lambda: f.repeat(2, -1), ValueError, "copies cannot be negative"),
    "setting data": (lambda: setattr(tw.ones(2), "data", tw.ones(3)), ValueError, "cannot change the shape"),
    "numpy of a leaf": (lambda: tw.ones(2, requires_grad=True).numpy(), RuntimeError, r"\.detach\(\)\.numpy\(\)"),
}  # fmt: skip


@pytest.mark.parametrize(("call", "kind", "message"), MISUSES.values(), ids=MISUSES)
def test_misuse_is_explained(call, kind, message):
    with pytest.raises(kind) as error:
        call()
    assert isinstance(error.value, tw.ThalwegError), repr(error.value)
    flat = " ".join(str(error.value).split())
    assert re.search(message, flat), flat
    assert "received:" in str(error.value)


def test_python_answers_for_operands_it_knows_better():
    with pytest.raises(TypeError, match="unsupported operand"):
        f + "a"
    assert (f == "a") is False
    assert f != None  # noqa: E711
    assert (np.ones(3) + v).tolist() == [2, 2, 2]
    assert isinstance(np.float64(2) * v, tw.Tensor)
    assert isinstance(np.ones((2, 3)) @ tw.ones(3, dtype="float64"), tw.Tensor)
