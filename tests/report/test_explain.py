"""Backpropagation as a worked example: the textbook's numbers, and agreement with `backward()` on any graph.

In: flags of the command, or losses. Out: the numbers of the public text to its nine decimals; explanations whose
products add up to what arrives, and whose gradients are those that training uses.
"""

from __future__ import annotations

import argparse
import re

import numpy as np
import pytest

import thalweg as tw
import thalweg.nn.functional as F
from thalweg import nn
from thalweg.errors import ArgumentError, ConfigurationError, DTypeError, GradientError
from thalweg.report import analysis
from thalweg.report import explain as command
from thalweg.report.settings import ACTIVATIONS, complete
from thalweg.report.worked_example import ScalarNetwork, tell


def parse(*flags: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="thalweg explain")
    command.add_arguments(parser)
    return parser.parse_args(flags)


def text(*flags: str) -> str:
    return command.example_of(parse(*flags))[0]


# --- the textbook case -----------------------------------------------------------------------------------------------

# Mazur 2015, "A step by step backpropagation example", to the decimals that are printed there.
TEXTBOOK_VALUES = {
    "net_h1": 0.3775,
    "out_h1": 0.593269992,
    "out_h2": 0.596884378,
    "net_o1": 1.105905967,
    "out_o1": 0.751365070,
    "out_o2": 0.772928465,
    "E_o1": 0.274811083,
    "E_o2": 0.023560026,
    "E": 0.298371109,
}
TEXTBOOK_GRADIENTS = {
    "out_o1": 0.741365070,
    "net_o1": 0.138498562,
    "out_h1": 0.036350306,
    "w5": 0.082167041,
    "w1": 0.000438568,
}
TEXTBOOK_WEIGHTS = {
    "w1": 0.149780716,
    "w2": 0.19956143,
    "w3": 0.24975114,
    "w4": 0.29950229,
    "w5": 0.35891648,
    "w6": 0.408666186,
    "w7": 0.511301270,
    "w8": 0.561370121,
}


@pytest.fixture(scope="module")
def textbook() -> tw.report.Explanation:
    return ScalarNetwork(complete()).explanation()


@pytest.mark.parametrize(("name", "value"), TEXTBOOK_VALUES.items())
def test_the_textbook_case_has_the_textbook_values(textbook, name, value):
    assert textbook.operation(name).value == pytest.approx(value, abs=6e-10)


@pytest.mark.parametrize(("name", "gradient"), TEXTBOOK_GRADIENTS.items())
def test_the_textbook_case_has_the_textbook_gradients(textbook, name, gradient):
    assert textbook.operation(name).gradient == pytest.approx(gradient, abs=6e-10)


def test_the_textbook_case_has_the_textbook_local_derivatives(textbook):
    (factor_out, factor_net) = reversed(textbook.chain("w5", stops=["out_o1"], milestones=["net_o1"]))
    assert (factor_out.result, factor_out.operand) == ("out_o1", "net_o1")
    assert factor_out.value == pytest.approx(0.186815602, abs=6e-10)
    assert (factor_net.result, factor_net.operand) == ("net_o1", "w5")
    assert factor_net.value == pytest.approx(0.593269992, abs=6e-10)


def test_what_reaches_a_hidden_unit_is_the_sum_over_the_outputs(textbook):
    products = sorted(share.product.item() for _, share in textbook.received("out_h1"))
    assert products == pytest.approx([-0.019049119, 0.055399425], abs=1e-8)


def test_one_update_gives_the_textbook_weights_and_error():
    network = ScalarNetwork(complete())
    optimizer = tw.optim.SGD(list(network.trained().values()), lr=0.5)
    assert network.step(optimizer) == pytest.approx(0.298371, abs=5e-7)
    for name, weight in TEXTBOOK_WEIGHTS.items():
        assert network.weights[name].item() == pytest.approx(weight, abs=6e-9)
    assert [each.item() for each in network.biases.values()] == [0.35, 0.35, 0.6, 0.6]
    assert network.forward()["E"].item() == pytest.approx(0.291028, abs=5e-7)


@pytest.mark.parametrize("flags", [(), ("--layers", "2,2,2", "--activation", "sigmoid")])
def test_the_command_prints_the_textbook_case(flags):
    printed = text(*flags)
    for number in ("0.3775", "0.593269992", "0.75136507", "0.298371109", "0.082167041", "0.35891648", "0.149780716"):
        assert number in printed
    assert "0.74136507 * 0.186815602 * 0.593269992" in printed
    assert re.search(r"loss 0\.298371\d+ before, 0\.291027\d+ after one update", printed)
    assert printed.isascii()


def test_run_prints_and_succeeds(capsys):
    assert command.run(parse()) == 0
    assert "0.298371109" in capsys.readouterr().out


# --- other networks --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_every_activation_and_loss_is_worked_out_and_improves(activation, loss):
    setting = complete(layers=(2, 3, 2), activation=activation, loss=loss, rate=0.05, seed=1)
    network = ScalarNetwork(setting)
    explanation = network.explanation()
    optimizer = tw.optim.SGD(list(network.trained().values()), lr=0.05)
    before = network.step(optimizer)
    assert before == explanation.loss
    for name, each in network.trained().items():
        assert each.grad.item() == pytest.approx(explanation.gradients[name].item(), rel=1e-12, abs=1e-15)
    assert network.forward()["E"].item() < before
    assert f"dE/d{'w1'} = " in tell(setting)[0]


def test_numbers_agree_with_the_same_network_made_of_arrays():
    setting = complete(layers=(3, 4, 2), activation="tanh", loss="cross_entropy", seed=2)
    numbers = ScalarNetwork(setting).explanation()
    weights, biases = np.array(setting.weights), np.array(setting.biases)
    first, second = nn.Linear(3, 4).double(), nn.Linear(4, 2).double()
    first.load_state_dict({"weight": weights[:12].reshape(4, 3), "bias": biases[:4]})
    second.load_state_dict({"weight": weights[12:].reshape(2, 4), "bias": biases[4:]})
    x, t = tw.tensor([setting.inputs], dtype=tw.float64), tw.tensor([setting.targets], dtype=tw.float64)
    loss = F.cross_entropy(second(first(x).tanh()), t)
    loss.backward()
    assert numbers.loss == pytest.approx(loss.item(), rel=1e-12)
    found = [numbers.gradients[f"w{k}"].item() for k in range(1, 21)]
    expected = np.concatenate([first.weight.grad.numpy().ravel(), second.weight.grad.numpy().ravel()])
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-14)


def test_at_the_outputs_of_a_softmax_the_gradient_is_p_minus_y():
    explanation = ScalarNetwork(complete(layers=(2, 3), loss="cross_entropy", targets=(0, 1, 0))).explanation()
    for unit, target in zip(("o1", "o2", "o3"), (0, 1, 0), strict=True):
        p = explanation.operation(f"p_{unit}").value.item()
        assert explanation.operation(f"net_{unit}").gradient.item() == pytest.approx(p - target, abs=1e-12)


def test_a_large_network_is_told_array_by_array():
    printed = text("--layers", "8,16,4", "--activation", "relu", "--loss", "cross_entropy", "--steps", "2")
    assert "BY LAYER" in printed
    assert "0.weight" in printed
    before, after = re.search(r"loss (\S+) before, (\S+) after 1,", printed).groups()
    assert float(after) < float(before)


def test_given_numbers_and_several_steps():
    flags = ("--layers", "1,1", "--activation", "identity", "--inputs", "2", "--targets", "3", "--weights", "1")
    printed = text(*flags, "--rate", "0.1", "--steps", "2", "--freeze-biases")
    # E = 1/2 (3 - 2w)^2: w = 1, then 1 + 0.1 * 2 = 1.2, then 1.2 + 0.1 * 1.2 = 1.32
    assert "loss 0.5 before, 0.18 after one update, 0.0648 after 2 updates" in printed


def test_the_seed_decides_the_weights():
    flags = ("--layers", "2,2,2", "--seed")
    assert text(*flags, "3") == text(*flags, "3")
    assert text(*flags, "3") != text(*flags, "4")
    assert complete(seed=3).freeze_biases is False


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--layers", "2"), "at least two layers"),
        (("--layers", "2,0,2"), "at least two layers"),
        (("--weights", "1,2,3"), "--weights does not fit --layers"),
        (("--biases", "1"), "--biases does not fit --layers"),
        (("--inputs", "1,2,3"), "--inputs does not fit --layers"),
        (("--targets", "nan,1"), "--targets must be finite"),
        (("--loss", "cross_entropy", "--targets", "1,1"), "compares probabilities"),
        (("--rate", "0"), "--rate must be a positive number"),
        (("--rate", "inf"), "--rate must be a positive number"),
        (("--steps", "0"), "--steps must be at least 1"),
        (("--layers", "1,1", "--loss", "cross_entropy", "--inputs", "1000", "--weights", "1"), "not a finite number"),
    ],
)
def test_flags_that_make_no_sense_are_refused(flags, message):
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        text(*flags)


@pytest.mark.parametrize("flags", [("--layers", "2,x"), ("--activation", "spline"), ("--inputs", "")])
def test_flags_that_cannot_be_read_are_refused_by_the_parser(flags, capsys):
    with pytest.raises(SystemExit):
        text(*flags)
    assert flags[0] in capsys.readouterr().err


# --- any graph -------------------------------------------------------------------------------------------------------


def model_and_loss() -> tuple[nn.Module, tw.Tensor]:
    tw.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 4), nn.LayerNorm(4), nn.GELU(), nn.Dropout(0.5), nn.Linear(4, 3))
    return model, F.cross_entropy(model(tw.randn(6, 5)), tw.tensor([0, 1, 2, 0, 1, 2]))


def test_gradients_are_those_of_backward_and_parameters_have_their_paths():
    model, loss = model_and_loss()
    explanation = tw.explain(loss)
    loss.backward()  # explaining used nothing up
    assert list(explanation.gradients) == [name for name, _ in model.named_parameters()]
    for name, parameter in model.named_parameters():
        np.testing.assert_array_equal(explanation.gradients[name], parameter.grad.numpy())


def test_products_add_up_to_what_arrives():
    _, loss = model_and_loss()
    explanation = tw.explain(loss)
    joined = 0
    for operation in explanation.operations:
        received = explanation.received(operation.name)
        if received:
            total = sum(share.product for _, share in received)
            np.testing.assert_allclose(total, operation.gradient, rtol=1e-5, atol=1e-6)
            joined += len(received) > 1
    assert joined > 3


def test_local_derivatives_times_the_gradient_are_what_is_passed_on():
    _, loss = model_and_loss()
    for operation in tw.explain(loss).operations:
        for share in operation.shares:
            if share.derivative is not None:
                expected = np.where(operation.gradient == 0, 0, operation.gradient * share.derivative)
                np.testing.assert_allclose(share.product, expected, rtol=1e-5, atol=1e-6)


def test_layers_are_summed_up_in_forward_order():
    _, loss = model_and_loss()
    assert [each.name for each in tw.explain(loss).layers] == ["0", "1", "2", "3", "4", "cross_entropy"]


def test_tensors_have_the_names_of_the_callers_variables():
    slope, x = tw.tensor(2.0, requires_grad=True), tw.tensor(3.0)
    printed = str(tw.explain(slope * x))
    assert "slope * x" in printed
    assert "g * x" in printed


def test_names_can_be_given():
    a = tw.tensor([1.0, 2.0], requires_grad=True)
    explanation = tw.explain((a * a).sum(), names={"speed": a})
    np.testing.assert_array_equal(explanation.gradients["speed"], [2.0, 4.0])
    model = nn.Linear(2, 1)
    assert set(tw.explain(model(tw.ones(2)).sum(), names=model).gradients) == {"weight", "bias"}


def test_how_the_data_were_made_is_left_out():
    w = tw.ones(3, requires_grad=True)
    x = tw.randn(3) * 2 + 1
    assert {each.kind for each in tw.explain((w * x).sum()).operations if not each.is_leaf} == {
        "multiply",
        "sum",
        "reshape",
    }


def test_the_rule_of_a_product_of_matrices_reads_as_matrices():
    x, w = tw.ones(2, 3), tw.ones(3, 4, requires_grad=True)
    printed = str(tw.explain((x @ w).sum()))
    assert "x @ w" in printed
    assert "x.T @ g" in printed


def test_a_long_graph_is_summed_up():
    w = tw.tensor(1.0, requires_grad=True)
    y = w
    for _ in range(300):
        y = y * 1.001
    printed = str(tw.explain(y))
    assert "FORWARD" not in printed
    assert len(printed.splitlines()) < 10


def test_a_very_deep_graph_is_all_right():
    w = tw.tensor(1.0, requires_grad=True)
    y = w
    for _ in range(3000):
        y = y + 1.0
    assert tw.explain(y, names={}).gradients["input_1"] == 1.0


def test_a_leaf_that_was_updated_is_a_leaf_again():
    w = tw.tensor(1.0, requires_grad=True)
    (w * w).backward()
    with tw.no_grad():
        w -= 0.5 * w.grad
    assert str(tw.explain(w * 3.0)).count("w * 3") == 1
    assert tw.explain(w * 3.0).gradients["w"] == 3.0


def test_a_graph_with_a_loop_is_explained_around_it():
    w = tw.tensor([1.0, 2.0, 3.0], requires_grad=True)
    explanation = tw.explain(w.cumsum(0).max())
    np.testing.assert_array_equal(explanation.gradients["w"], [1, 1, 1])


def test_misuse_says_what_to_do():
    w = tw.tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(GradientError, match="single number"):
        tw.explain(w * 2)
    with pytest.raises(GradientError, match="nothing is recorded"):
        tw.explain(tw.tensor(1.0))
    with pytest.raises(DTypeError, match="takes a loss"):
        tw.explain(3.0)
    loss = (w * w).sum()
    with pytest.raises(ArgumentError, match="no operation has this name"):
        tw.explain(loss).operation("nowhere")
    loss.backward()
    loss.item()
    with pytest.raises(GradientError, match=r"before loss\.backward"):
        tw.explain(loss)


def test_a_step_that_would_fill_the_memory_is_refused_before_it_is_computed():
    w = tw.ones(3, requires_grad=True)
    large = (w.reshape(3, 1) * tw.ones(1, 1)).expand(3, 1 << 26)
    with pytest.raises(ArgumentError, match="fewer, or smaller, examples"):
        tw.explain((large * 2.0).sum())


def test_a_large_step_goes_without_local_derivatives(monkeypatch):
    monkeypatch.setattr(analysis, "MOST_IN_FULL", 10)
    w = tw.tensor([1.0, 2.0, 3.0], requires_grad=True)
    shares = [share for each in tw.explain((w * w * w).sum()).operations for share in each.shares]
    assert all(share.derivative is None for share in shares)
    assert len(shares) > 2
