"""PyTorch's own module cases (ModuleInfo): outputs, gradients of inputs and parameters, and buffers, in float64.

In: a seeded tenth of the cases of every class (all with THALWEG_SWEEP=1), NumPy evaluation, and some compiled. Out:
agreement, or a difference that stands in `differences.py`.
"""

import itertools

import pytest

from tests.peers.differences import reason
from tests.support.sweep import is_full_sweep, sweep

pytestmark = [pytest.mark.peer, pytest.mark.filterwarnings("ignore")]
pytest.importorskip("torch")
pytest.importorskip("expecttest")  # PyTorch's own tables import it


@pytest.fixture(scope="module")
def cases():
    from tests.peers import modules

    return [(info, case) for info in modules.classes() for case in modules.cases_of(info)]


def compared(chosen, is_compiled):
    """What differs without a reason, and how many cases agree."""
    from tests.peers import modules

    unexplained, agreed = [], 0
    for info, case in chosen:
        found = modules.difference(info, case, is_compiled)
        agreed += found is None
        if found and reason(info.name, found) is None:
            unexplained.append(f"{info.name}: {found}")
    return unexplained, agreed


def one_of_each(cases):
    return [next(group) for _, group in itertools.groupby(cases, key=lambda each: each[0].name)]


def test_module_cases_agree_with_pytorch(cases):
    chosen = sweep([*cases], fraction=0.1, seed=61)
    chosen = chosen if is_full_sweep() else [*one_of_each(cases), *chosen]
    unexplained, agreed = compared(chosen, is_compiled=False)
    assert not unexplained, "\n".join(unexplained)
    assert agreed >= 0.97 * len(chosen)


def test_compiled_module_cases_agree_with_pytorch(cases):
    chosen = sweep(cases, fraction=0.01, seed=62)
    unexplained, agreed = compared(chosen, is_compiled=True)
    assert not unexplained, "\n".join(unexplained)
    assert not is_full_sweep() or agreed >= 0.97 * len(chosen)  # one of eighteen is more than 3 %


def test_no_class_of_the_table_is_missing(cases):
    from thalweg import nn

    assert {info.name.removeprefix("nn.") for info, _ in cases} <= set(nn.__all__)
