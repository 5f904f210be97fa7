"""From a graph to a native program: a visible list of passes, emission through LLVM, and running the result.

In: the nodes of a program, its inputs and the cells it writes. Out: a callable program. What the machine cannot run
natively is run by the NumPy meaning of its primitives, with the same results.
"""
