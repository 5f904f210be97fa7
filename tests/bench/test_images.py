"""The rows of convolutional networks: the same network on every side, what is counted, what is asked for.

In: rows, and networks with few images. Out: failures where sides would train different networks, or a floor be lost.
"""

from dataclasses import replace

import numpy as np
import pytest

from bench.document import figures
from bench.framework import initial
from bench.harness import Outcome, Plan
from bench.image_layers import layers_of
from bench.images import NETWORKS, image_inference, image_step, network
from bench.peers import CHANNELS_LAST, CONVOLUTIONS, SIDES
from bench.peers.thalweg_framework import FRAMEWORK
from bench.peers.thalweg_programs import convolution, convolution_program
from bench.peers.worker import comparable
from bench.prediction import predict
from bench.report import Run, report_of
from bench.rows import chosen, group_of
from bench.rows_of_images import COMPILATION, IMAGE_STEPS, INFERENCES, MEAN_FLOORS, SHAPES, SINGLE
from bench.shortfalls import shortfalls
from bench.workloads import Workload
from thalweg.compile.executable import executable_for
from thalweg.compile.program import Program

TINY = Workload("conv", "", CONVOLUTIONS[0], (2, 3, 4, 5))


def row_named(name):
    return next(iter(chosen([name])))


def of_two_images(name):
    """The row with two images, as a plain loop."""
    return replace(row_named(name), batch=2, is_compiled=False)


def measured(row, **seconds):
    return Outcome(row, Plan(), {key: [value] * 5 for key, value in seconds.items()})


# --- networks --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NETWORKS)
def test_the_layers_that_are_counted_are_those_of_the_network(name):
    model = NETWORKS[name](FRAMEWORK)
    assert sum(each.parameters for each in layers_of(name)) == sum(each.numel() for each in model.parameters())


def test_resnet_20_multiplies_as_often_as_is_published():
    assert sum(each.flops for each in layers_of("resnet-20")) / 2 == pytest.approx(40.8e6, rel=0.01)


def test_what_a_parameter_starts_as_follows_from_its_name_and_shape():
    assert (initial("a.weight", (4, 3)) == initial("a.weight", (4, 3))).all()
    assert not (initial("a.weight", (4, 3)) == initial("b.weight", (4, 3))).any()
    assert initial("bn.running_var", (64,)).min() > 0
    model = network(FRAMEWORK, row_named("lenet"))
    first = next(iter(model.parameters()))
    assert (first.detach().numpy() == initial("0.weight", first.shape)).all()


def answers_of(name):
    return replace(row_named(f"{name}-infer-1"), batch=2)


def our_answers(name):
    return comparable(image_inference(FRAMEWORK, answers_of(name))(), answers_of(name))


@pytest.mark.peer
@pytest.mark.parametrize("name", NETWORKS)
def test_pytorch_has_the_same_network_as_thalweg(name):
    pytest.importorskip("torch")
    from bench.peers.torch_framework import FRAMEWORK as TORCH
    from bench.peers.torch_side import in_order

    steps = [image_step(each, of_two_images(name)) for each in (in_order(TORCH, CHANNELS_LAST), FRAMEWORK)]
    assert steps[0]() == pytest.approx(steps[1](), rel=1e-4)
    theirs = comparable(image_inference(TORCH, answers_of(name))(), answers_of(name))
    assert theirs == pytest.approx(our_answers(name), rel=1e-4)


@pytest.mark.peer
@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_jax_has_the_same_network_as_thalweg(name):
    pytest.importorskip("jax")
    from bench.peers import jax_images, jax_side

    theirs = comparable(jax_images.image_inference(answers_of(name))(), answers_of(name))
    assert theirs == pytest.approx(our_answers(name), rel=1e-4)
    if name == "lenet":  # the others take long to compile; the harness compares their losses too
        step = image_step(FRAMEWORK, of_two_images(name))
        assert jax_images.image_step(of_two_images(name), jax_side.adam)() == pytest.approx(step(), rel=1e-4)


# --- single convolutions ---------------------------------------------------------------------------------------------


def padded(images):
    return np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))


def meaning(family, first, second):
    """The sum over the nine places of a window, images with their channels last."""
    steps = [(i, j) for i in range(3) for j in range(3)]
    if family == CONVOLUTIONS[2]:
        height, width = second.shape[1:3]
        parts = [np.einsum("nhwc,nhwo->oc", padded(first)[:, i : i + height, j : j + width], second) for i, j in steps]
        return np.stack(parts, -1).reshape(*parts[0].shape, 3, 3)
    height, width = first.shape[1:3]
    weight = second if family == CONVOLUTIONS[0] else second.swapaxes(0, 1)[:, :, ::-1, ::-1]
    return sum(padded(first)[:, i : i + height, j : j + width] @ weight[:, :, i, j].T for i, j in steps)


@pytest.mark.parametrize("family", CONVOLUTIONS)
def test_the_program_of_one_convolution_computes_it_or_its_gradient(family):
    row = replace(TINY, family=family)
    inputs, output = convolution_program(row)
    random = np.random.default_rng(0)
    arrays = [random.standard_normal(each.shape, np.float32) for each in inputs]
    (found,) = executable_for(Program(tuple(inputs), (output,))).native(arrays)
    np.testing.assert_allclose(found, meaning(family, *arrays), rtol=1e-4, atol=1e-5)
    assert convolution(row).run(2) > 0


def test_predictions_count_a_convolution_and_each_value_once():
    assert predict(TINY).flops == 2 * 2 * 25 * 9 * 12
    assert predict(TINY).bytes == 4 * (2 * 25 * 7 + 9 * 12)
    step, answers = predict(row_named("lenet")), predict(row_named("lenet-infer-64"))
    assert 2.8 * answers.flops < step.flops < 3 * answers.flops
    assert step.bytes > answers.bytes > 4 * 64 * 28 * 28


# --- rows ------------------------------------------------------------------------------------------------------------


def test_there_is_a_row_for_each_network_batch_and_convolution():
    assert {row.network for row in IMAGE_STEPS} == {row.network for row in INFERENCES} == set(NETWORKS)
    assert len(SINGLE) == len(SHAPES) * len(CONVOLUTIONS)
    assert {(min(shape[1:3]), shape[3]) for shape in SHAPES} >= {(16, 112), (256, 7)}
    assert {row.setting.threads for row in (*IMAGE_STEPS, *INFERENCES, *SINGLE)} == {2}
    assert [group_of(rows[0]) for rows in (IMAGE_STEPS, INFERENCES, SINGLE)] == ["images", "inference", "convolutions"]


def test_pytorch_has_images_in_both_orders():
    families = {row.family for row in (*IMAGE_STEPS, *INFERENCES, *SINGLE)}
    assert all(CHANNELS_LAST in SIDES["torch"].variants[family] for family in families)


def test_a_plain_loop_is_warmed_up_until_what_it_repeats_is_compiled():
    assert Plan().for_row(row_named("lenet-plain")).warm_up_calls > 20
    assert Plan().for_row(row_named("lenet")).warm_up_calls == 1


# --- what is asked for -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rows", "table"), [(INFERENCES, "inference"), (SINGLE, "convolution")])
def test_some_rows_may_be_slower_if_their_mean_is_not(rows, table):
    floor = MEAN_FLOORS[table]
    first, second, *_ = rows
    good = [measured(first, thalweg=1.0, torch=0.8 * floor), measured(second, thalweg=1.0, torch=1.4 * floor)]
    assert shortfalls(report_of(good, Run())) == []
    (line,) = shortfalls(report_of([good[0]], Run()))
    assert f"in the mean, asked for {floor}" in line


def test_nobody_may_be_ahead_where_only_a_mean_is_asked_for():
    found = shortfalls(
        report_of([measured(INFERENCES[0], **{"thalweg": 1.0, "torch": 2.0, "torch.compile": 0.9})], Run())
    )
    assert any("torch.compile is ahead: 0.90" in line for line in found)


def test_a_single_convolution_far_behind_is_said():
    found = shortfalls(report_of([measured(SINGLE[0], thalweg=1.0, torch=0.6)], Run()))
    assert any("0.60 times PyTorch, asked for 0.7" in line for line in found)


def test_resnet_20_must_compile_in_two_seconds():
    assert shortfalls(report_of([measured(COMPILATION, thalweg=1.9, jax=9.0)], Run())) == []
    slow = report_of([measured(COMPILATION, thalweg=2.1, jax=9.0)], Run())
    assert any("at most 2,000 ms" in line for line in shortfalls(slow))
    assert "| 2,100 ms | JAX jit | 9,000 ms | **4.29** | at most 2,000 ms |" in figures(slow)


def test_the_table_of_convolutions_has_a_line_for_each_shape_and_a_column_for_each_part():
    outcomes = [measured(row, thalweg=1e-2, torch=2e-2) for row in SINGLE[1:3]]
    text = figures(report_of(outcomes, Run(sides=["thalweg", "torch"])))
    assert "| images and channels | forward | gradient of the images | gradient of the weight |" in text
    assert "| 4 of 112x112, 16 to 16 channels | — | **2.00** (23 : 12) | **2.00** (23 : 12) |" in text
    assert "2.00 at least (asked for: 1.0 and 0.7)" in text
