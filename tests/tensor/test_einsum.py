"""`einsum` against NumPy: diagonals, ellipsis, broadcasting, outer products, traces, many operands; and its gradients.

In: equations with the shapes of their operands. Out: NumPy's values, PyTorch's gradients (or finite differences).
"""

from __future__ import annotations

import numpy as np
import pytest

import thalweg as tw

EQUATIONS = [
    ("ij,jk->ik", (2, 3), (3, 4)), ("ij,jk", (2, 3), (3, 4)), ("ij,kj->ik", (2, 3), (4, 3)), ("ji,jk->ki", (3, 2),
    (3, 4)),
    ("bij,bjk->bik", (2, 3, 4), (2, 4, 5)), ("bij,jk->bik", (2, 3, 4), (4, 5)), ("i,i->", (4,), (4,)), ("i,i", (4,),
    (4,)),
    ("i,j->ij", (3,), (4,)), ("i,j->ji", (3,), (4,)), ("ij->ji", (2, 3)), ("ij->", (2, 3)), ("ij->i", (2, 3)),
    ("ij->j", (2, 3)),
    ("ii->i", (3, 3)), ("ii->", (3, 3)), ("ii", (3, 3)), ("iij->ij", (3, 3, 2)), ("iij->j", (3, 3, 2)),
    ("ijji->ij", (2, 3, 3, 2)),
    ("...ij,...jk->...ik", (2, 3, 4), (2, 4, 5)), ("...ij,jk->...ik", (2, 5, 3, 4), (4, 2)), ("...i->...", (2, 3, 4)),
    ("...ij->...ji", (2, 3, 4)), ("...,...->...", (2, 3), (3,)), ("i...,i...->...", (3, 2), (3, 4, 2)),
    ("...i,...i", (2, 3), (2, 3)), ("bhqd,bhkd->bhqk", (2, 2, 3, 4), (2, 2, 5, 4)), ("ij,jk,kl->il", (2, 3), (3, 4),
    (4, 2)),
    ("ij,jk,kl,lm->im", (2, 3), (3, 2), (2, 4), (4, 2)), ("ij,ij,ij->ij", (2, 3), (2, 3), (2, 3)),
    ("i,j,k->kij", (2,), (3,), (4,)),
    ("ij,ik,il->jkl", (2, 3), (2, 2), (2, 4)), ("ii,ij->j", (3, 3), (3, 2)), ("ab,c->", (2, 3), (4,)), ("->", ()),
    (",->", (), ()),
    (",i->i", (), (3,)), ("bn,anm,bm->ba", (2, 3), (4, 3, 2), (2, 2)), ("ba", (2, 3)), ("ij,k->ik", (2, 3), (4,)),
    (" i j , j k -> i k ", (2, 3), (3, 4)), ("Ab,bC->AC", (2, 3), (3, 4)), ("ij,ji->", (2, 3), (3, 2)),
    ("ij,jk->ik", (0, 3), (3, 2)),
    ("ij,jk->ik", (2, 0), (0, 3)), ("...,i->...i", (2, 3), (4,)), ("a...b->b...a", (2, 3, 4)),
]  # fmt: skip


def operands(shapes):
    rng = np.random.default_rng(1)
    return [rng.normal(size=shape) for shape in shapes]


@pytest.mark.parametrize(("equation", "shapes"), [(e, s) for e, *s in EQUATIONS])
def test_values_and_gradients(equation, shapes):
    arrays = operands(shapes)
    expected = np.einsum(equation.replace(" ", ""), *arrays)
    found = tw.einsum(equation, *[tw.tensor(each) for each in arrays])
    assert found.shape == expected.shape
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12, atol=1e-12)
    assert tw.gradcheck(lambda *each: tw.einsum(equation, *each), arrays, order=2 if len(arrays) < 3 else 1)


@pytest.mark.peer
@pytest.mark.parametrize(("equation", "shapes"), [
    ("ij,jk->ik", [(2, 1), (3, 4)]), ("bij,bjk->bik", [(1, 3, 4), (2, 4, 5)]), ("...ij,...jk->...ik", [(1, 3, 4),
    (2, 4, 5)]),
    ("i,i->i", [(1,), (4,)]), ("bi,bi->b", [(2, 1), (1, 3)]), ("i,i,i->", [(3,), (1,), (3,)]),
])  # fmt: skip
def test_extents_of_one_broadcast_as_in_pytorch(equation, shapes):
    torch = pytest.importorskip("torch")
    arrays = operands(shapes)
    mine = [tw.tensor(each, requires_grad=True) for each in arrays]
    theirs = [torch.tensor(each, requires_grad=True) for each in arrays]
    a, b = tw.einsum(equation, *mine), torch.einsum(equation, *theirs)
    np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-12)
    (a * a).sum().backward()
    (b * b).sum().backward()
    for x, y in zip(mine, theirs, strict=True):
        np.testing.assert_allclose(x.grad.numpy(), y.grad.numpy(), rtol=1e-12)


def test_a_list_of_operands_integers_and_mixed_dtypes():
    a, b = tw.arange(6).view(2, 3), tw.arange(3)
    assert tw.einsum("ij,j->i", a, b).tolist() == [5, 14]
    assert tw.einsum("ij,j->i", [a, b]).tolist() == [5, 14]
    assert tw.einsum("ij,j->i", a, tw.ones(3)).dtype == "float32"
    assert tw.einsum("ii->i", tw.arange(9).view(3, 3)).tolist() == [0, 4, 8]


@pytest.mark.parametrize(
    ("equation", "shapes", "message"),
    [
        ("ij,jk->ik", [(2, 3)], "another number of operands"),
        ("ij->ij", [(2, 3), (3,)], "another number of operands"),
        ("ij,jk->ik", [(2, 3), (4, 2)], "axis 'j' has two extents"),
        ("ijk->i", [(2, 3)], "labels and axes differ"),
        ("i...->i", [()], "labels and axes differ"),
        ("ij->ik", [(2, 3)], "unknown axes"),
        ("ij->ii", [(2, 3)], "stands twice"),
        ("i1->i", [(2, 3)], "letters"),
        ("ii->i", [(2, 3)], "axis 'i' has two extents"),
        ("i->i->i", [(2,)], "one -"),
        ("i,,i->i", [(2,), (2,), (2,)], "labels and axes differ"),
        (".i->i", [(2, 3)], "letters"),
    ],
)
def test_misuse(equation, shapes, message):
    with pytest.raises(tw.ThalwegError, match=message):
        tw.einsum(equation, *[tw.ones(*shape) for shape in shapes])
