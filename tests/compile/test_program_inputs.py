"""The inputs of a program may be known results of other operations: no pass may look behind them.

In: programs whose inputs are nodes with a graph of their own, as pending values have. Out: the values that follow from
the given arrays, and a cache that holds no node of whoever came first.
"""

import gc
import weakref

import numpy as np

from thalweg import ops
from thalweg.compile.executable import executable_for
from thalweg.compile.program import Program
from thalweg.dtype import float64
from thalweg.graph import make_input


def test_an_input_that_a_pass_would_simplify_is_left_alone():
    x = make_input((3,), float64, np.ones(3))
    known = ops.detach(ops.add(x, x))  # a pass that dropped this `detach` would read x instead
    run = executable_for(Program((known,), (ops.multiply(known, known),)))
    np.testing.assert_array_equal(run([np.array([2.0, 3.0, 4.0])])[0], [4.0, 9.0, 16.0])


def test_two_inputs_that_are_the_same_operation_stay_two():
    x = make_input((2,), float64, np.ones(2))
    a, b = ops.exp(x), ops.exp(x)
    run = executable_for(Program((a, b), (ops.subtract(a, b),)))
    np.testing.assert_array_equal(run([np.array([5.0, 5.0]), np.array([1.0, 2.0])])[0], [4.0, 3.0])


def test_the_cache_keeps_nothing_of_the_first_caller_alive():
    x = make_input((4,), float64, np.ones(4))
    known = ops.sqrt(x)
    executable_for(Program((known,), (ops.add(known, known),)))
    reference = weakref.ref(x)
    del x, known
    gc.collect()
    assert reference() is None
