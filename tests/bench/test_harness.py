"""The speed harness: statistics, rounds, protocol and workloads, without measuring anything.

In: workers that answer from a script. Out: failures where a figure would be wrong or a reason lost.
"""

import io
import json
import sys

import pytest

from bench.client import Client, WorkerError
from bench.harness import Plan, measure
from bench.peers import AVX2, ITSELF, SIDES, Setting, environment
from bench.peers.worker import Library, Timed, Worker, repeated, repeated_epochs, serve
from bench.prediction import Prediction, Rates, predict
from bench.report import Run
from bench.report import report_of as report_of_run
from bench.rows import EXTENTS, GROUPS, PRODUCTS, ROWS, chosen, group_of
from bench.shortfalls import shortfalls
from bench.stability import median_ranks, paired_ratio
from bench.store import save, stored
from bench.table import ratio_text
from bench.workloads import Workload, batches, weights

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
    return report_of_run(outcomes, Run("a machine", sides=["thalweg", "torch", "jax"], **rest))


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


class Epochs(Scripted):
    """Each variant of the row takes its own time for an epoch of ten steps."""

    def __init__(self, **variants):
        super().__init__(1.0)
        self.variants = variants

    def ask(self, do, **rest):
        if do == "build":
            return super().ask(do) | {"steps": 10}
        return {"seconds": rest["calls"] * self.variants[rest["variant"].split()[0]]}


def test_time_is_per_step_and_variants_that_are_far_behind_are_set_aside():
    row = Workload("row", "a row", "fit", (4, 2), 5, peers=("torch",))
    torch = Epochs(slices=20.0, rows=22.0, DataLoader=50.0)
    outcome = measure(row, {"thalweg": Scripted(1.0), "torch@1 thread": torch}, QUICK)
    assert outcome.best("torch") == "torch@1 thread, slices of shuffled arrays"
    assert outcome.median(outcome.best("torch")) == 2.0
    assert outcome.set_aside == {"torch@1 thread, DataLoader": 5.0}
    assert "torch@1 thread, rows gathered batch by batch" in outcome.seconds


def test_a_side_that_fails_between_rounds_is_left_out_with_its_reason():
    class Dying(Scripted):
        def ask(self, do, **rest):
            if do == "run" and len(self.log) > 8:
                raise WorkerError("out of memory")
            return super().ask(do, **rest)

    outcome = measure(ROW, {"thalweg": Scripted(1.0), "torch": Dying(*[1.0, 4.0] * 9), "jax": Scripted(2.0)}, QUICK)
    assert outcome.missing == {"torch": "out of memory"}
    assert outcome.ratio(["jax"]).value == 2.0


def test_what_is_counted_is_asked_for_once_and_not_warmed_up():
    row = Workload("row", "a row", "recompile", (4, 2), unit="kernels", rounds=1, peers=("thalweg.whole",))
    outcome = measure(row, {"thalweg": Scripted(3.0), "thalweg.whole": Scripted(9.0)}, Plan())
    assert outcome.seconds == {"thalweg": [3.0], "thalweg.whole": [9.0]}


# --- protocol --------------------------------------------------------------------------------------------------------


def answers(library, *requests):
    target = io.StringIO()
    serve(Worker(library, {"row": ROW}), io.StringIO("".join(json.dumps(each) + "\n" for each in requests)), target)
    return [json.loads(line) for line in target.getvalue().splitlines()]


def test_a_worker_builds_runs_and_lives_on_after_an_error():
    calls = []
    library = Library(lambda: {"versions": {}}, dict, lambda row, variant: lambda: calls.append(row.name) or 1.5)
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
    library = Library(dict, dict, lambda row, variant: Timed(lambda calls: 2.0 * calls, "its own way"))
    built, run = answers(library, {"do": "build", "name": "row"}, {"do": "run", "calls": 4})
    assert built["how"] == "its own way"
    assert run["seconds"] == 8.0


def test_the_variants_of_a_row_are_kept_until_another_row_comes():
    library = Library(dict, dict, lambda row, variant: Timed(lambda calls: float(len(variant)), steps=7))
    done = answers(library, *({"do": "build", "name": "row", "variant": name} for name in ("a", "bb")),
                   *({"do": "run", "calls": 1, "variant": name} for name in ("a", "bb", "c")))  # fmt: skip
    assert done[0]["steps"] == 7
    assert [each.get("seconds") for each in done[2:]] == [1.0, 2.0, None]


def test_an_epoch_is_timed_as_the_difference_of_two_fits():
    asked = []
    row = Workload("row", "a row", "fit", (4, 2), 5, examples=12)
    timed = repeated_epochs(lambda epochs: asked.append(epochs) or 0.25, row)
    timed.run(4)
    assert asked == [1, 1, 5]
    assert (timed.steps, timed.result) == (3, 0.25)


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


# --- settings --------------------------------------------------------------------------------------------------------


def test_thread_counts_reach_every_library_and_only_peers_choose_theirs():
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "THALWEG_THREADS")
    assert [environment(Setting(threads=2))[name] for name in names] == ["2"] * 3
    two = Setting(threads=2)
    assert [each.threads for each in SIDES["torch"].settings(two)] == [1, 2]
    assert SIDES["torch"].settings(Setting()) == (Setting(),)
    assert SIDES["thalweg"].settings(two) == (two,)
    assert [each.threads for each in SIDES["thalweg.one"].settings(two)] == [1]


def test_more_threads_than_processors_stay_on_the_rows_processors():
    crowded = Setting(threads=8, processors=2)
    assert (crowded.width, crowded.with_threads(1).width, Setting(threads=3).width) == (2, 1, 3)


def test_every_side_is_told_to_leave_avx_512_alone():
    given = environment(Setting(target=AVX2))
    assert given["THALWEG_TARGET"] == "x86-64-v3"
    assert given["ATEN_CPU_CAPABILITY"] == "avx2"
    assert "--xla_cpu_max_isa=AVX2" in given["XLA_FLAGS"]
    assert environment(Setting())["THALWEG_TARGET"] == "native"


def test_the_rows_of_whole_epochs_agree_with_the_sides_about_their_variants():
    fits = [row for row in ROWS if row.family == "fit"]
    assert {side for row in fits for side in row.peers} == {"torch", "keras", "keras.16", "sklearn"}
    assert all(row.setting.threads == 2 for row in ROWS if row.table in ("two", "fit", "process"))
    assert {side for row in ROWS for side in row.peers if side.startswith("thalweg.")} == set(ITSELF)


# --- what is kept ----------------------------------------------------------------------------------------------------


def kept(*names, date="2026-01-01T10:00:00+00:00", ratio=3.0):
    """A run of these rows."""
    rates = {Setting(): Rates(1e11, {1 << 20: 1e10}), Setting(threads=2): Rates(2e11, {1 << 20: 1e10})}
    run = Run("a machine", date, "abc", 0.1, ["thalweg", "torch"], {"thalweg": "0"}, rates, {"jax": "none here"})
    outcomes = [measure(row, {"thalweg": Scripted(1.0), "torch": Scripted(ratio)}, QUICK) for row in chosen(names)]
    return report_of_run(outcomes, run)


def test_what_is_kept_comes_back_as_it_was(tmp_path):
    report = kept("mlp-784", "mlp-512", "two-mlp-784")
    save(report, tmp_path / "kept.json")
    again = stored(tmp_path / "kept.json")
    assert [each.workload for each in again.outcomes] == [each.workload for each in report.outcomes]
    assert [each.ratio(["torch"]) for each in again.outcomes] == [each.ratio(["torch"]) for each in report.outcomes]
    assert [each.first_calls for each in again.outcomes] == [each.first_calls for each in report.outcomes]
    assert list(again.runs.values()) == list(report.runs.values())
    assert again.rates_of(again.outcomes[0]) == Rates(1e11, {1 << 20: 1e10})
    save(again, tmp_path / "again.json")
    assert (tmp_path / "again.json").read_text() == (tmp_path / "kept.json").read_text()
    assert stored(tmp_path / "nothing.json").outcomes == []


def test_rows_that_are_measured_again_are_replaced_and_the_others_keep_their_run():
    report = kept("mlp-784", "mlp-512")
    report.merge(kept("mlp-512", "mlp-13", date="2026-02-02T10:00:00+00:00", ratio=5.0))
    assert [each.workload.name for each in report.outcomes] == ["mlp-13", "mlp-784", "mlp-512"]
    assert [round(each.ratio(["torch"]).value) for each in report.outcomes] == [5, 3, 5]
    assert [run.date[:7] for run, _ in report.runs_of(report.outcomes)] == ["2026-02", "2026-01"]


def test_a_row_that_is_measured_in_another_way_by_now_is_not_read_back(tmp_path):
    path = tmp_path / "kept.json"
    save(kept("mlp-784", "mlp-512"), path)
    path.write_text(path.read_text().replace('"sizes": [784, 128, 10]', '"sizes": [784, 64, 10]'))
    assert [each.workload.name for each in stored(path).outcomes] == ["mlp-512"]


def test_every_row_is_in_a_group_and_a_group_names_its_rows():
    assert {group_of(row) for row in ROWS} == set(GROUPS)
    assert not set(GROUPS) & {row.name for row in ROWS}
    assert sum(len(chosen([name])) for name in GROUPS) == len(ROWS)
    assert {row.table for row in chosen(["fit", "fresh"])} == {"fit", "process"}


def test_keras_stands_in_the_tables_as_it_is_by_default_and_apart_with_many_steps_a_call():
    default, tuned = chosen(["fit-mlp-13", "fit-mlp-13-keras-16"])
    assert default.floor_against("keras") == 50
    assert SIDES["keras"].variants["fit"] == ("one step a call",)
    assert tuned.peers == ("keras.16",)
    assert tuned.floor_against("keras.16") == 1


# --- workloads -------------------------------------------------------------------------------------------------------


def test_names_are_unique_and_rows_are_found_by_name():
    names = [each.name for each in ROWS]
    assert len(set(names)) == len(names)
    assert len(PRODUCTS) == 4 * len(EXTENTS)
    assert len(chosen([])) == len(names)
    with pytest.raises(ValueError, match="no rows nonsense"):
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
