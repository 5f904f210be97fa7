"""Where we differ from PyTorch on its own samples, and why: the one table that the peer tests read.

In: nothing. Out: `DIFFERENCES`, (operator or module class, a part of what the comparison says, reason). A sample that
differs in any other way fails the test. Names stand without "nn.functional." and "nn.".
"""

from __future__ import annotations

from fnmatch import fnmatch

ONE_DEVICE = "there is one device; `layout`, `pin_memory` and `memory_format` have nothing to choose"
ON_PURPOSE = "shapes that would be compared crosswise raise"
VALUES_DECIDE = "the shape, or an answer of Python's, depends on values; evaluated at once they agree"
KNOWN_SIZES = "what decides shapes is a number of the program, not a tensor's value"

DIFFERENCES: tuple[tuple[str, str, str], ...] = (
    ("*", "unexpected keyword argument 'memory_format'", ONE_DEVICE),
    ("*", "unexpected keyword argument 'layout'", ONE_DEVICE),
    ("BatchNorm*", "needs more than one value a channel", "an empty batch has no statistics; PyTorch's stay unchanged"),
    ("LPPool*", "PyTorch has [nan", "the root at 0: a gradient of zero stays zero"),
    ("lp_pool*", "PyTorch has [nan", "the root at 0: a gradient of zero stays zero"),
    ("batch_norm", "needs a batch axis", "PyTorch takes a batch without channels"),
    ("hardsigmoid", "Different: result 1", "PyTorch multiplies the gradient by 1/6 in float32"),
    ("gaussian_nll_loss", "different shapes", ON_PURPOSE),
    ("multi_margin_loss", "takes class scores", "a number has no classes"),
    ("multilabel_margin_loss", "takes class scores", "a number has no classes"),
    ("dropout2d", "drops whole channels", "(C, H, W) and (N, C, L) look the same"),
    ("scaled_dot_product_attention", "Different: result", "dropout: the numbers drawn are others"),
    ("cov", "Different: result", "PyTorch computes the weights in float32"),
    ("narrow", "narrow goes over the edge", KNOWN_SIZES),
    ("narrow", "input int64[]", KNOWN_SIZES),
    ("tensor_split", "'Node' object is not iterable", KNOWN_SIZES),
    ("repeat_interleave", "", KNOWN_SIZES),
    ("norm", "nuc", "no singular values: `numpy.linalg`"),
    *(
        (name, "a compiled step cannot look at a value", VALUES_DECIDE)
        for name in (
            "allclose",
            "argwhere",
            "bincount",
            "equal",
            "histc",
            "item",
            "masked_select",
            "nonzero",
            "unique",
            "unique_consecutive",
        )
    ),
    ("CTCLoss", "the shape of targets must tell the longest one", KNOWN_SIZES),
    ("index_*", "", "a number has no places"),
    ("gather", "", "a number has no places"),
    ("scatter", "the indices do not fit", "a number has no places"),
    ("scatter_add", "the indices do not fit", "a number has no places"),
    ("unfold", "Different: result 0: float64(1, 1)", "windows of a number: PyTorch drops their axis"),
    ("avg_pool*", "padding needs one number an axis", "one number in a tuple does not stand for all axes"),
    ("avg_pool*", "divisor_override must be", "a divisor below 1 is a mistake"),
    ("pad", "mode 'replicate' has no entries", "there is nothing to repeat; PyTorch pads with what it finds"),
    ("squeeze", "Different: result 0", "`squeeze(())` removes every axis of size 1"),
    ("tensordot", "the extents differ", "no broadcasting of contracted axes"),
    ("diff", "", "differences of no order give the input without what is put before and behind"),
)


def reason(name: str, found: str) -> str | None:
    """Why this operator differs in this way, if the table says so."""
    short = name.removeprefix("nn.functional.").removeprefix("nn.")
    return next((why for pattern, part, why in DIFFERENCES if fnmatch(short, pattern) and part in found), None)
