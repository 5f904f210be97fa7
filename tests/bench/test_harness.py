"""The speed harness: statistics, rounds, protocol, tables and workloads, without measuring anything.

In: workers that answer from a script. Out: failures where a figure would be wrong or a reason lost.
"""

import io
import json
import sys

import pytest

from bench.client import Client, WorkerError
from bench.document import NOT_YET, document, figures
from bench.harness import Outcome, Plan, measure
from bench.peers import SIDES, environment
from bench.peers.worker import Library, Timed, Worker, repeated, serve
from bench.prediction import Prediction, Rates, predict
from bench.stability import median_ranks, paired_ratio
from bench.table import Report, main_table, ratio_text, shortfalls, time
from bench.workloads import EXTENTS, PRODUCTS, WORKLOADS, Workload, batches, chosen, weights

ROW = Workload("row", "a row", "dense", (4, 3, 2), 5, floor=2.0)
QUICK = Plan(block=1.0, warm_up=2.0, least_rounds=3, most_rounds=9)


class Scripted:
    """A worker whose calls take the given seconds, one after another; the last goes on."""

    def __init__(self, *seconds, loss=1.0, log=None, name=""):
        self.seconds, self.loss, self.log, self.name = list(seconds), loss, log if log is not None else [], name

    def ask(self, do, **rest):
        self.log.append((self.name, do))
        if do == "build":
            return {"how": "scripted", "first_call": 0.1, "first_result": self.loss}
        return {"seconds": rest["calls"] * (self.seconds.pop(0) if len(self.seconds) > 1 else self.seconds[0])}


class Broken:
    def ask(self, do, **rest):
        raise WorkerError("no such operation")


def report_of(*outcomes, **rest):
    return Report("a machine", 1, ["thalweg", "torch", "jax"], {"thalweg": "0"}, Rates(1e11, {1 << 20: 1e10}),
                  list(outcomes), **rest)  # fmt: skip


# --- statistics ------------------------------------------------------------------------------------------------------


def test_a_slow_phase_of_the_machine_cancels_in_the_paired_ratio():
    ours, theirs = [1.0, 1.0, 5.0, 5.0, 1.0], [3.0, 3.0, 15.0, 15.0, 3.0]
    assert paired_ratio(theirs, ours).value == 3.0
    assert paired_ratio(theirs, ours).uncertainty == 0.0


@pytest.mark.parametrize("count", range(1, 40))
def test_the_interval_of_the_median_lies_within_the_samples_and_around_the_middle(count):
    low, high = median_ranks(count)
    assert 0 <= low <= (count - 1) / 2 <= high < count


# --- rounds ----------------------------------------------------------------------------------------------------------


def test_rounds_are_interleaved_and_each_begins_with_another_side():
    log = []
    workers = {name: Scripted(1.0, log=log, name=name) for name in ("thalweg", "torch")}
    measure(ROW, workers, QUICK)
    runs = [name for name, do in log if do == "run"][-6:]
    assert runs == ["thalweg", "torch", "torch", "thalweg", "thalweg", "torch"]


def test_stable_ratios_stop_the_rounds_early_and_noisy_ones_are_marked():
    calm = measure(ROW, {"thalweg": Scripted(1.0), "torch": Scripted(3.0)}, QUICK)
    assert len(calm.seconds["torch"]) == QUICK.least_rounds
    assert calm.is_stable
    noisy = measure(ROW, {"thalweg": Scripted(1.0), "torch": Scripted(*[1.0, 4.0] * 20)}, QUICK)
    assert len(noisy.seconds["torch"]) == QUICK.most_rounds
    assert not noisy.is_stable
    assert "±" in ratio_text(noisy.ratio(["torch"]), noisy)


def test_calls_fill_a_block():
    outcome = measure(ROW, {"thalweg": Scripted(0.01)}, QUICK)
    assert outcome.median("thalweg") == pytest.approx(0.01)
    assert outcome.ratio(["torch"]) is None


def test_the_better_of_several_variants_counts():
    workers = {"thalweg": Scripted(1.0), "torch@1": Scripted(4.0), "torch@2": Scripted(3.0)}
    outcome = measure(ROW, workers, QUICK)
    assert outcome.best("torch") == "torch@2"
    assert outcome.ratio(["torch", "torch.compile"]).value == pytest.approx(3.0)


def test_a_side_that_fails_is_left_out_with_its_reason():
    outcome = measure(ROW, {"thalweg": Scripted(1.0), "torch": Scripted(3.0), "jax": Broken()}, QUICK)
    assert outcome.missing == {"jax": "no such operation"}
    assert outcome.ratio(["torch"]).value == 3.0
    assert "row: jax: no such operation" in shortfalls(report_of(outcome))


def test_sides_that_do_not_have_the_row_are_not_asked():
    only_torch = Workload("row", "a row", "dense", (4, 2), 5, peers=("torch",))
    assert list(measure(only_torch, {"thalweg": Scripted(1.0), "jax": Scripted(1.0)}, QUICK).seconds) == ["thalweg"]


# --- protocol --------------------------------------------------------------------------------------------------------


def answers(library, *requests):
    target = io.StringIO()
    serve(Worker(library, {"row": ROW}), io.StringIO("".join(json.dumps(each) + "\n" for each in requests)), target)
    return [json.loads(line) for line in target.getvalue().splitlines()]


def test_a_worker_builds_runs_and_lives_on_after_an_error():
    calls = []
    library = Library(lambda: {"versions": {}}, dict, lambda row: lambda: calls.append(row.name) or 1.5)
    done = answers(library, {"do": "describe"}, {"do": "run", "calls": 1}, {"do": "build", "name": "row"},
                   {"do": "run", "calls": 3}, {"do": "no such"}, {"do": "quit"}, {"do": "describe"})  # fmt: skip
    assert done[0] == {"versions": {}}
    assert done[1]["error"] == "RuntimeError: nothing is built yet"
    assert done[2]["first_result"] == 1.5
    assert done[3]["seconds"] >= 0
    assert "no such" in done[4]["error"]
    assert len(done) == 5
    assert calls == ["row"] * 4


def test_what_has_its_own_way_to_be_timed_is_asked_for_it():
    library = Library(dict, dict, lambda row: Timed(lambda calls: 2.0 * calls, "its own way"))
    built, run = answers(library, {"do": "build", "name": "row"}, {"do": "run", "calls": 4})
    assert built["how"] == "its own way"
    assert run["seconds"] == 8.0


def test_repeating_a_call():
    calls = []
    assert repeated(lambda: calls.append(1))(5) >= 0
    assert len(calls) == 5


_FAKE = """
import sys, json
for line in sys.stdin:
    request = json.loads(line)
    if request["do"] == "die":
        sys.exit("its last words")
    answer = {"error": "ValueError: no\\nmore"} if request["do"] == "fail" else {"did": request["do"]}
    print(json.dumps(answer), flush=True)
"""


def test_a_client_talks_to_a_process_and_tells_its_errors_and_its_last_words():
    with Client("fake", [sys.executable, "-c", _FAKE]) as client:
        assert client.ask("anything") == {"did": "anything"}
        with pytest.raises(WorkerError, match=r"^ValueError: no$"):
            client.ask("fail")
        with pytest.raises(WorkerError, match="its last words"):
            client.ask("die")
        with pytest.raises(WorkerError):
            client.ask("anything")
    assert client.process.returncode == 1


def test_thread_counts_reach_every_library_and_only_peers_choose_theirs():
    assert {environment(1)[name] for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")} == {"1"}
    assert SIDES["torch"].thread_choices(2) == (1, 2)
    assert SIDES["torch"].thread_choices(1) == (1,)
    assert SIDES["thalweg"].thread_choices(2) == (2,)


# --- words -----------------------------------------------------------------------------------------------------------


def test_the_table_has_times_ratio_floor_and_prediction():
    outcome = measure(ROW, {"thalweg": Scripted(1e-3), "torch": Scripted(3e-3), "jax": Scripted(2e-3)}, QUICK)
    head, _, row = main_table(report_of(outcome)).splitlines()
    assert head.startswith("| workload | Thalweg | PyTorch | JAX jit | PyTorch / Thalweg |")
    assert row.startswith("| a row | 1 ms | 3 ms | 2 ms | **3.00** | at least 2 | 2.00 | ")


def test_what_falls_short_is_said():
    slow = measure(ROW, {"thalweg": Scripted(1.0), "torch": Scripted(1.5), "jax": Scripted(0.5)}, QUICK)
    found = shortfalls(report_of(slow, start_times={"import thalweg": 0.4}))
    assert any("1.50 times PyTorch, asked for 2" in each for each in found)
    assert any("JAX jit is ahead" in each for each in found)
    assert any("import thalweg" in each for each in found)


def test_sides_whose_first_losses_disagree_are_not_compared_silently():
    outcome = measure(ROW, {"thalweg": Scripted(1.0, loss=1.0), "torch": Scripted(3.0, loss=1.1)}, QUICK)
    assert any("losses disagree" in each for each in shortfalls(report_of(outcome)))


def test_a_product_has_a_cell_for_each_transposition():
    row = next(each for each in PRODUCTS if each.transposes == (True, False))
    outcome = Outcome(row, QUICK, {"thalweg": [1e-5] * 5, "torch": [2e-5] * 5})
    text = figures(report_of(outcome))
    assert "| 64x64x64 | — | — | **2.00** (52 : 26) | — |" in text


def test_the_document_says_that_nothing_is_measured_or_what_is():
    assert NOT_YET in document(None)
    outcome = measure(ROW, {"thalweg": Scripted(1e-3), "torch": Scripted(3e-3)}, QUICK)
    text = document(report_of(outcome, left_out={"jax": "ModuleNotFoundError: No module named 'jax'"}))
    assert NOT_YET not in text
    assert "make bench" in text
    assert "Left out: JAX jit: ModuleNotFoundError" in text
    assert "/work" not in text


@pytest.mark.parametrize(("seconds", "text"), [(9.999e-4, "1,000 µs"), (1.5, "1,500 ms"), (0, "0 µs")])
def test_times_in_words(seconds, text):
    assert time(seconds) == text


# --- workloads -------------------------------------------------------------------------------------------------------


def test_names_are_unique_and_rows_are_found_by_name():
    names = [each.name for each in (*WORKLOADS, *PRODUCTS)]
    assert len(set(names)) == len(names)
    assert len(PRODUCTS) == 4 * len(EXTENTS)
    assert len(chosen([])) == len(names)
    with pytest.raises(ValueError, match="no workload nonsense"):
        chosen(["nonsense"])


def test_every_side_starts_from_the_same_numbers():
    for (x, y), (again, _) in zip(batches(ROW), batches(ROW), strict=True):
        assert x.shape == (5, 4)
        assert y.max() < 2
        assert (x == again).all()
    assert [weight.shape for weight, _ in weights(ROW)] == [(3, 4), (2, 3)]


def test_predictions_count_products_and_each_value_once():
    assert predict(ROW) == Prediction(3 * (120 + 60) - 120, 6 * 4 * (12 + 3 + 6 + 2) + 4 * 20)
    assert predict(Workload("p", "", "product", (2, 3, 4))) == Prediction(48, 4 * (6 + 12 + 8))
    assert predict(Workload("o", "", "overhead", (1,))) is None
    rates = Rates(1e9, {1000: 4e9, 100_000: 1e9})
    assert rates.bandwidth(500) == 4e9
    assert rates.bandwidth(1e9) == 1e9
    assert Prediction(1e6, 500).floor(rates) == 1e-3
