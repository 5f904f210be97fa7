"""`verify` finds each kind of illegal graph, and nothing wrong with legal ones."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from thalweg import ops
from thalweg.dtype import float32, float64, int64
from thalweg.errors import StructureError
from thalweg.graph import Form, Node, constant, full, make_input
from thalweg.verify import verify


def x(shape=(2, 3), dtype=float32):
    return make_input(shape, dtype)


def loop_of(body):
    return ops.scan(x((3,)), body=body, carries=1, sequences=0, length=2)


def cycle():
    node = ops.exp(x())
    other = ops.log(node)
    node.inputs = (other,)
    return other


def outside_the_set():
    return dataclasses.replace(ops.exp, name="exponential")(x())


def impostor_with_a_known_name():
    return dataclasses.replace(ops.exp)(x())


def attributes_that_are_not_hashable():
    return ops.reshape(x(), shape=[3, 2])


def wrong_shape():
    return Node(Form(ops.add, {}, (2, 4), float32), (x(), x()))


def wrong_dtype():
    return Node(Form(ops.add, {}, (2, 3), float64), (x(), x()))


def inputs_that_do_not_fit():
    return Node(Form(ops.add, {}, (2, 3), float32), (x(), x((3, 2))))


def mixed_dtypes():
    return Node(Form(ops.add, {}, (2, 3), float32), (x(), x(dtype=int64)))


def too_many_inputs():
    return Node(Form(ops.matmul, {"transpose_a": False, "transpose_b": True}, (2, 2), float32), (x(), x(), x()))


def missing_attribute():
    return Node(Form(ops.reshape, {}, (2, 3), float32), (x(),))


def unknown_attribute():
    return Node(Form(ops.reshape, {"shape": (6,), "order": "F"}, (6,), float32), (x(),))


def attribute_of_wrong_length():
    return Node(Form(ops.slice_, {"start": (0,), "stop": (2,), "step": (1,)}, (2, 3), float32), (x(),))


def several_results_read_as_one():
    inside = x((3,))
    return Node(Form(ops.exp, {}, (3, 3), float32), (loop_of(ops.Body((inside,), (ops.exp(inside),))),))


def projection_of_one_result():
    return Node(Form(ops.output, {"index": 0}, 2, float32), (x((2, 3)),))


def result_that_does_not_exist():
    inside = x((3,))
    loop = loop_of(ops.Body((inside,), (ops.exp(inside),)))
    return Node(Form(ops.output, {"index": 1}, (3, 3), float32), (loop,))


def mistake_in_the_body_of_a_loop():
    inside = x((3,))
    return loop_of(ops.Body((inside,), (inside, Node(Form(ops.exp, {}, (3,), float64), (inside,)))))


def value_of_another_shape():
    return make_input((2, 3), float32, np.zeros((3, 2), np.float32))


def value_of_another_dtype():
    return make_input((2, 3), float32, np.zeros((2, 3)))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (cycle, "cycle"),
        (outside_the_set, "not one of the primitives"),
        (impostor_with_a_known_name, "not one of the primitives"),
        (attributes_that_are_not_hashable, "hashable"),
        (wrong_shape, r"says float32\[2, 4\], its rules say float32\[2, 3\]"),
        (wrong_dtype, r"says float64\[2, 3\], its rules say float32\[2, 3\]"),
        (inputs_that_do_not_fit, "differ in shape"),
        (mixed_dtypes, "differ in dtype"),
        (too_many_inputs, "matmul on"),
        (missing_attribute, "missing"),
        (unknown_attribute, "unexpected"),
        (attribute_of_wrong_length, "one entry an axis"),
        (several_results_read_as_one, "several results"),
        (projection_of_one_result, "one result"),
        (result_that_does_not_exist, "no such result"),
        (mistake_in_the_body_of_a_loop, "exp says"),
        (value_of_another_shape, "its value is"),
        (value_of_another_dtype, "its value is"),
    ],
    ids=lambda each: getattr(each, "__name__", ""),
)
def test_an_illegal_graph_is_found(build, message):
    node = build()
    with pytest.raises(StructureError, match=message):
        verify([full((), 1.0, float32), node])


def test_a_legal_graph_passes():
    a, b = x((2, 3)), x((3, 4))
    hidden = ops.tanh(ops.matmul(a, b, transpose_a=False, transpose_b=False))
    verify([ops.sum_(hidden, axes=(0, 1)), constant(1), hidden])
