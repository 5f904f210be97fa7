"""The rows of networks on sequences: the same network and the same text on every side, what is counted and asked for.

In: rows, and networks on few short sequences. Out: failures where sides would train different networks, or a limit be
lost.
"""

from dataclasses import replace

import numpy as np
import pytest

from bench.document import figures
from bench.harness import Outcome, Plan
from bench.models import BUILDERS
from bench.peers.thalweg_framework import FRAMEWORK
from bench.peers.thalweg_fresh import attention_memory
from bench.peers.thalweg_generation import generation
from bench.peers.worker import comparable, repeated_texts
from bench.prediction import predict
from bench.report import Run, report_of
from bench.rows import chosen, group_of
from bench.rows_of_sequences import (
    ALONE,
    ATTENTION_MEMORY,
    ATTENTIONS,
    COMPILATIONS,
    GENERATION,
    SCORES,
    SEQUENCE_STEPS,
    SEQUENCES,
)
from bench.sequence_layers import work_of
from bench.sequences import NETWORKS, SIZES, network, sequence_batches
from bench.shortfalls import shortfalls

SMALL = {
    "char-lstm": (5, 7, 8), "gru": (5, 4, 8, 3), "gpt": (6, 7, 8, 2, 2), "translator": (5, 11, 8, 2, 1, 12),
    "sentence-cnn": (7, 11, 8, 3, 2),
}  # fmt: skip


def small(name):
    """The row with three short sequences, as a plain loop; without dropout, so that losses can be compared."""
    (row,) = chosen([name])
    return replace(row, sizes=SMALL[name], batch=3, is_compiled=False, dropout=0.0)


def short(family):
    return replace(ALONE[ATTENTIONS.index(family)], sizes=(2, 9, 4), is_compiled=False)


def first_results(framework):
    """Losses of the first step of all networks, and how large attention's answers are."""
    rows = [*map(small, NETWORKS), *map(short, ATTENTIONS)]
    return [comparable(BUILDERS[row.family](framework, row)(), row) for row in rows]


def measured(row, **seconds):
    return Outcome(row, Plan(), {key: [value] * 5 for key, value in seconds.items()})


# --- networks --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NETWORKS)
def test_the_parameters_that_are_counted_are_those_of_the_network(name):
    model = network(FRAMEWORK, small(name))
    assert work_of(small(name)).parameters == sum(each.numel() for each in model.parameters())


@pytest.mark.parametrize("name", NETWORKS)
def test_inputs_and_labels_fit_the_network(name):
    x, y = sequence_batches(small(name))[0]
    logits = network(FRAMEWORK, small(name))(FRAMEWORK.tensor(x))
    assert logits.shape[:-1] == y.shape
    assert y.max() < logits.shape[-1]


def test_the_gpt_has_as_many_parameters_as_nanogpt_says():
    gpt = SEQUENCE_STEPS[2]
    positions = gpt.sizes[0] * gpt.sizes[2]  # its count leaves them out
    assert round((work_of(gpt).parameters - positions) / 1e6, 2) == 0.80
    assert set(SIZES) == set(NETWORKS)


@pytest.mark.peer
def test_pytorch_has_the_same_networks_and_writes_the_same_text():
    pytest.importorskip("torch")
    from bench.peers import torch_generation
    from bench.peers.torch_framework import FRAMEWORK as TORCH

    np.testing.assert_allclose(first_results(FRAMEWORK), first_results(TORCH), rtol=1e-5)
    row = replace(GENERATION, sizes=SMALL["gpt"])
    np.testing.assert_array_equal(generation(row)(), torch_generation.generation(row)())


@pytest.mark.peer
def test_jax_has_the_same_networks_and_writes_the_same_text():
    """Going forward: the steps take long to compile; the harness compares their losses too."""
    jax = pytest.importorskip("jax")
    from bench.peers import jax_sequences
    from bench.peers.jax_images import state_of

    for row in map(small, NETWORKS):
        x, forward = sequence_batches(row)[0][0], jax_sequences.network(row)
        parameters, _ = state_of(forward, x, jax_sequences.SequencePass)
        theirs = jax.jit(lambda p, x, f=forward: f(jax_sequences.SequencePass(p, {}, False), x))(parameters, x)
        ours = network(FRAMEWORK, row)(FRAMEWORK.tensor(x)).detach().numpy()
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
    row = replace(GENERATION, sizes=SMALL["gpt"])
    np.testing.assert_array_equal(generation(row)(), jax_sequences.generation(row)())
    for family in ATTENTIONS:
        answers = [BUILDERS[family](FRAMEWORK, short(family)), getattr(jax_sequences, family)(short(family))]
        np.testing.assert_allclose(*(np.asarray(each()) for each in answers), rtol=1e-4, atol=1e-5)


def test_a_text_is_timed_by_its_tokens():
    texts = []
    timed = repeated_texts(lambda: texts.append(1) or np.array([2, 4]), GENERATION)
    timed.run(3)
    assert (len(texts), timed.steps, timed.result) == (4, 64, 3.0)


# --- what is counted -------------------------------------------------------------------------------------------------


def test_predictions_count_the_products_of_a_step_forward_and_backward():
    row = small("gru")  # 5 frames of 4, 8 wide, 3 classes
    given, recurrent, head = 2 * 5 * 4 * 24, 2 * 5 * 8 * 24, 2 * 8 * 3
    assert predict(row).flops == 3 * (3 * (given + recurrent + head) - given)
    assert predict(row).bytes == 24 * (24 * (4 + 8 + 2) + 8 * 3 + 3)


def test_causal_attention_is_predicted_to_skip_what_is_not_looked_at():
    whole, causal = (predict(short(family)) for family in ATTENTIONS)
    assert whole.flops == 6 * 2 * 2 * 9 * 9 * 4
    assert causal.flops / whole.flops == 45 / 81
    assert whole.bytes == causal.bytes == 8 * 4 * 2 * 9 * 4


def test_attentions_memory_is_what_the_step_plans_beside_the_matrix_of_scores():
    row = replace(ATTENTION_MEMORY[0], sizes=(2, 32, 4))
    assert attention_memory(SCORES, row) == {"cost": 4 * 2 * 32 * 32}
    results = 4 * 4 * 2 * 32 * 4
    assert results <= attention_memory("thalweg", row)["cost"]


# --- what is asked for -----------------------------------------------------------------------------------------------


def test_every_sequence_row_asks_for_a_ratio_and_nobody_may_be_ahead():
    assert all(group_of(row) == "sequences" and row.floor > 1 and row.setting.threads == 2 for row in SEQUENCES)
    assert all(side in row.peers for row in SEQUENCES for side in ("torch", "jax"))
    found = shortfalls(report_of([measured(SEQUENCES[0], thalweg=1.0, torch=1.4, jax=0.9)], Run()))
    assert any("1.40 times PyTorch, asked for 1.5" in line for line in found)
    assert any("JAX jit is ahead: 0.90" in line for line in found)


def test_each_step_compiles_within_a_second_and_a_half_whatever_its_length():
    assert {row.network for row in COMPILATIONS} == set(NETWORKS)
    assert {row.limit for row in COMPILATIONS} == {1.5}
    lengths = {row.sizes[0] for row in COMPILATIONS if row.network == "char-lstm"}
    assert lengths == {64, 1024}
    slow = report_of([measured(COMPILATIONS[0], thalweg=1.6, jax=9.0)], Run())
    assert any("at most 1,500 ms" in line for line in shortfalls(slow))


def test_attention_may_need_a_tenth_of_the_matrix_of_scores():
    row = ATTENTION_MEMORY[0]
    assert shortfalls(report_of([measured(row, **{"thalweg": 2.6e7, SCORES: 2.68e8})], Run())) == []
    large = report_of([measured(row, **{"thalweg": 4.6e7, SCORES: 2.68e8})], Run())
    assert any("5.83 times the matrix of scores alone, asked for 10" in line for line in shortfalls(large))
    assert "| 46 MB | the matrix of scores alone | 268 MB | **5.83** | at least 10 |" in figures(large)
