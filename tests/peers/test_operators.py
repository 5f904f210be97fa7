"""PyTorch's own operator samples (OpInfo): values and first gradients in float64, evaluated on NumPy and compiled.

In: a seeded tenth of the samples of every operator that we have (all with THALWEG_SWEEP=1). Out: agreement, or a
difference that stands in `differences.py`; `python -m tests.peers.agreement` prints the table.
"""

import pytest

from tests.peers.differences import reason
from tests.support.sweep import is_full_sweep, sweep

pytestmark = [pytest.mark.peer, pytest.mark.filterwarnings("ignore")]
pytest.importorskip("torch")
pytest.importorskip("expecttest")  # PyTorch's own tables import it

LEAST_NAMES = 160
SHARE = 0.97


@pytest.fixture(scope="module")
def operators():
    from tests.peers import agreement

    return list(agreement.operators())


def compared(op, ours, chosen, is_compiled):
    """What differs without a reason, and how many samples agree."""
    from tests.peers import agreement

    found = agreement.differences_of(op, ours, chosen, is_compiled)
    unexplained = [f"{op.name}: {each}" for each in found if each and reason(op.name, each) is None]
    return unexplained, found.count(None)


def test_samples_agree_with_pytorch(operators):
    from tests.peers import agreement

    unexplained, good = [], {}
    for number, (op, ours) in enumerate(operators):
        chosen = sweep(agreement.samples(op), fraction=0.1, seed=number, at_least=1)
        others, agreed = compared(op, ours, chosen, is_compiled=False)
        unexplained += others
        before = good.get(op.name, (0, 0))
        good[op.name] = before[0] + agreed, before[1] + len(chosen)
    assert not unexplained, "\n".join(unexplained[:50])
    assert sum(agreed >= SHARE * total for agreed, total in good.values()) >= LEAST_NAMES


def test_compiled_samples_agree_with_pytorch(operators):
    from tests.peers import agreement

    chosen = operators if is_full_sweep() else sweep(operators, fraction=0.1, seed=63)
    unexplained = []
    for number, (op, ours) in enumerate(chosen):
        samples = sweep(agreement.samples(op), fraction=0.1, seed=number, at_least=1)
        unexplained += compared(op, ours, samples if is_full_sweep() else samples[:1], is_compiled=True)[0]
    assert not unexplained, "\n".join(unexplained[:50])
