"""Recipes for sequences from end to end: texts, translations, recordings, the truck.

In: small generated sets. Out: run folders, the same predictions again from disk, texts that go on.
"""

import csv
import io
import json
import wave
from pathlib import Path

import numpy as np
import pytest

from tests.recipes.sequence_samples import (
    NUMBERS,
    RATE,
    write_recordings,
    write_reviews,
    write_text,
    write_translations,
)
from tests.support.shared_data import shared_data
from thalweg import cli
from thalweg.data import write_sound
from thalweg.errors import ConfigurationError, DataError, FileFormatError, ThalwegError
from thalweg.recipes import use
from thalweg.recipes.cross_validation import cross_validate
from thalweg.recipes.defaults import with_network
from thalweg.recipes.drawing import REPORT, draw
from thalweg.recipes.predictor import load_predictor
from thalweg.recipes.preparing import prepare
from thalweg.recipes.recognition import recognised
from thalweg.recipes.run_folder import RunFolder
from thalweg.recipes.sequence_drawing import SAID_OF_SEQUENCES, attention_weights
from thalweg.recipes.sequence_network import BUILDERS, EXPECTED, SequenceNetwork
from thalweg.recipes.settings import settings_from
from thalweg.recipes.train import train
from thalweg.recipes.truck import Lessons
from thalweg.train.checkpoint import load_weights

pytest.importorskip("tokenizers")
QUICK = {"no_pictures": True, "quiet": True, "doctor": "off"}
CASES = ("text", "reviews", "translations", "recordings", "truck")


def quick(recipe, folder, **flags):
    return train(settings_from(recipe, {**QUICK, "run": str(folder), **flags}, {}), say=lambda line: None)


def made(case, folder):
    """A run of a case, trained for a moment."""
    run = folder / "run"
    if case == "text":
        small = {"context": 16, "width": 16, "depth": 1, "heads": 2, "epochs": 6, "lr": 0.01}
        return quick("text", run, data=write_text(folder), **small)
    if case == "reviews":
        return quick("text_table", run, data=write_reviews(folder), width=8, epochs=8, batch_size=8, lr=0.01)
    if case == "translations":
        source, target = write_translations(folder)
        small = {"network": "gru", "width": 16, "tokens": "words", "epochs": 12, "batch_size": 16, "lr": 0.02}
        return quick("translations", run, data=source, translation=target, **small)
    if case == "recordings":
        return quick("recordings", run, data=write_recordings(folder / "tones"), width=8, epochs=8, batch_size=8)
    return quick("truck", run, width=4, epochs=1, batch_size=8)


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    """A run of each case, trained when it is asked for."""
    kept = {}

    def run(case):
        if case not in kept:
            kept[case] = made(case, tmp_path_factory.mktemp(case))
        return kept[case]

    return run


# --- what is learnt and kept -----------------------------------------------------------------------------------------

LEARNT = {
    "text": ("loss", 0.0, 0.7), "reviews": ("accuracy", 0.9, 1.0), "translations": ("bleu", 30.0, 100.1),
    "recordings": ("accuracy", 0.9, 1.0), "truck": ("docked", 0.0, 1.0),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_run_learns_and_measures_the_same_from_its_folder(runs, case):
    run = runs(case)
    name, least, most = LEARNT[case]
    assert run.scores.headline == name
    assert least <= run.scores.numbers[name] <= most
    again = use.evaluate(str(run.folder), None)
    assert again.numbers == pytest.approx(run.scores.numbers, rel=1e-6)
    assert load_predictor(RunFolder(run.folder.path)).shape == run.predictor.shape


def test_predictions_for_texts_files_of_lines_translations_and_recordings(runs, tmp_path, capsys):
    (tmp_path / "lines.txt").write_text("a great film\nthe dull plot\n")
    rows = predicted(capsys, runs("reviews"), "a lovely story with music", str(tmp_path / "lines.txt"))
    assert [row["prediction"] for row in rows] == ["up", "up", "down"]
    assert rows[0]["text"] == "a lovely story with music"
    rows = predicted(capsys, runs("translations"), "three one two")
    assert set(rows[0]["prediction"].split()) <= set(NUMBERS.values())
    tones = write_recordings(tmp_path / "stereo", 6, channels=2)
    rows = predicted(capsys, runs("recordings"), tones)
    assert all(row["prediction"] in row["recording"] for row in rows)


def test_translations_are_searched_for_as_asked(runs, capsys):
    run = str(runs("translations").folder)
    assert cli.main(["predict", run, "three one two", "--beam", "3", "--length-penalty", "0.6"]) == 0
    assert set(capsys.readouterr().out.splitlines()[1].split(",")[1].split()) <= set(NUMBERS.values())
    assert use.evaluate(run, None, search={"beam": 4}).numbers["brevity_penalty"] > 0.7
    for arguments, message in (
        ([run, "one", "--beam", "0"], "not a possible value of beam"),
        ([run, "one", "--length-penalty", "-1"], "not a possible value of length penalty"),
        ([str(runs("reviews").folder), "a film", "--beam", "2"], "translates nothing"),
    ):
        assert cli.main(["predict", *arguments]) == 2
        assert message in capsys.readouterr().err


def predicted(capsys, run, *given):
    use.predict(str(run.folder), list(given))
    return list(csv.DictReader(io.StringIO(capsys.readouterr().out)))


def test_a_truck_is_driven_from_the_starts_of_a_file(runs, tmp_path, capsys):
    (tmp_path / "starts.csv").write_text("x,y,trailer,cab\n60,5,0.1,0\n")
    (row,) = predicted(capsys, runs("truck"), str(tmp_path / "starts.csv"))
    assert row["docked"] in "01"
    (tmp_path / "starts.csv").write_text("x,y,trailer\n60,5,0.1\n")
    with pytest.raises(DataError, match="cab is missing"):
        use.predict(str(runs("truck").folder), [str(tmp_path / "starts.csv")])


def test_lessons_begin_near_the_dock_and_reach_the_whole_field():
    lessons = Lessons(100, 10)
    assert [round(lessons.difficulty(epoch), 2) for epoch in (0, 2, 5, 9)] == [0.2, 0.52, 1.0, 1.0]
    assert lessons.take(np.arange(100))[0][:, 0].max() > 50


def test_a_language_model_is_measured_on_every_token_of_the_test_part_and_shows_what_it_writes(runs):
    run = runs("text")
    whole = len(Path(run.settings.data).read_text())
    assert run.scores.examples == whole - (whole - round(whole * 0.2)) - 1
    results = json.loads(run.folder.results.read_text())
    (heading, header, rows) = results["samples"][0]
    assert "writes" in heading
    assert len(header) == len(rows[0])


def test_attention_weights_are_shares_of_what_came_before():
    draw = np.random.default_rng(0)
    weights = attention_weights(draw.normal(size=(5, 8)), draw.normal(size=(24, 8)), 2)
    assert weights.shape == (2, 5, 5)
    np.testing.assert_allclose(weights.sum(-1), 1)
    assert not np.triu(weights, 1).any()


@pytest.mark.parametrize(
    ("case", "name"), [("text", "attention.png"), ("translations", "attention.png"), ("truck", "trajectories.png")]
)
def test_pictures_of_a_run_are_drawn_into_its_report(runs, case, name):
    pytest.importorskip("matplotlib")
    run = runs(case)
    problem = prepare(with_network(run.settings))
    assert name in draw(run, problem, None)
    assert SAID_OF_SEQUENCES[problem.outputs.task, name][0] in (run.folder.path / REPORT).read_text()


# --- generate --------------------------------------------------------------------------------------------------------


def generated(capsys, *arguments):
    status = cli.main(["generate", *map(str, arguments)])
    shown = capsys.readouterr()
    return status, shown.out, shown.err


def test_the_same_seed_writes_the_same_text(runs, capsys):
    folder = runs("text").folder
    texts = [generated(capsys, folder, "--prompt", "the ", "--length", 30, "--seed", seed)[1] for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]
    assert texts[0].startswith("the ")
    assert len(texts[0]) == 4 + 30 + 1


def test_without_temperature_the_likeliest_token_is_taken(runs, capsys):
    folder = runs("text").folder
    greedy = {generated(capsys, folder, "--temperature", 0, "--length", 20, "--seed", seed)[1] for seed in (1, 2)}
    narrow = generated(capsys, folder, "--top-k", 1, "--top-p", 0.5, "--length", 20)[1]
    assert greedy == {narrow}


MISUSES = {
    "an unknown character": (["--prompt", "Ω"], "'Ω'"),
    "an empty prompt": (["--prompt", ""], "empty prompt"),
    "a negative temperature": (["--temperature", "-1"], "not a possible value of temperature"),
    "no token to draw from": (["--top-k", "0"], "not a possible value of top k"),
    "a share above one": (["--top-p", "1.5"], "not a possible value of top p"),
    "two prompts": (["--prompt", "a", "--prompt-file", "b"], "two prompts"),
}


@pytest.mark.parametrize("case", MISUSES)
def test_misuses_of_generate_are_named(runs, capsys, case):
    arguments, message = MISUSES[case]
    status, _, errors = generated(capsys, runs("text").folder, *arguments)
    assert status == 2
    assert message in errors


def test_only_a_language_model_writes(runs, capsys):
    assert "no language model" in generated(capsys, runs("recordings").folder)[2]
    with pytest.raises(DataError, match="thalweg generate"):
        use.predict(str(runs("text").folder), ["the cat"])


# --- what is recognised ----------------------------------------------------------------------------------------------


def test_what_a_path_holds_is_recognised(tmp_path):
    source, target = write_translations(tmp_path)
    assert recognised(write_text(tmp_path)) == "text"
    assert recognised(write_reviews(tmp_path)) == "text_table"
    assert recognised(write_reviews(tmp_path), {"no_header"}) == "table"
    assert recognised(write_recordings(tmp_path / "tones", 2)) == "recordings"
    assert recognised(source, {"translation": target}) == "translations"
    numbers = tmp_path / "numbers.csv"
    numbers.write_text("a,b\n" + "\n".join(f"{i},{i * i}" for i in range(9)))
    assert recognised(str(numbers)) == "table"
    assert recognised(str(numbers), {"text"}) == "text_table"


# --- bad input -------------------------------------------------------------------------------------------------------


def empty_cell(folder):
    path = folder / "a.csv"
    path.write_text(Path(write_reviews(folder)).read_text() + ",up\n")
    return "text_table", {"data": str(path)}


def mismatched(folder):
    source, target = write_translations(folder)
    with open(target, "a") as stream:
        stream.write("eins zwei\n")
    return "translations", {"data": source, "translation": target}


def without_translations(folder):
    return "translations", {"data": write_translations(folder)[0]}


def short_text(folder):
    (folder / "a.txt").write_text("too short")
    return "text", {"data": str(folder / "a.txt")}


def strange_test(folder):
    (folder / "t.txt").write_text("the cat sat Ω on the mat")
    return "text", {"data": write_text(folder), "test": str(folder / "t.txt")}


def silent_recording(folder):
    data = write_recordings(folder / "tones")
    write_sound(folder / "tones" / "low_99.wav", np.zeros(8), RATE)
    content = (folder / "tones" / "low_99.wav").read_bytes()
    (folder / "tones" / "low_99.wav").write_bytes(content[:44])
    return "recordings", {"data": data}


def one_class(folder):
    data = write_recordings(folder / "tones", 12)
    for path in (folder / "tones").glob("high*"):
        path.unlink()
    return "recordings", {"data": data}


BAD = {
    "an empty cell": (empty_cell, DataError, "empty cell"),
    "different numbers of lines": (mismatched, DataError, "120 and 121 lines"),
    "no translations": (without_translations, ConfigurationError, "--translation"),
    "a text shorter than the context": (short_text, DataError, "too short"),
    "characters that the training part lacks": (strange_test, DataError, "Ω"),
    "a recording without samples": (silent_recording, FileFormatError, "low_99"),
    "a single class": (one_class, DataError, "single class"),
}


@pytest.mark.parametrize("case", BAD)
def test_data_that_cannot_be_used_is_named(tmp_path, case):
    write, error, message = BAD[case]
    recipe, flags = write(tmp_path)
    with pytest.raises(error, match=message):
        prepare(with_network(settings_from(recipe, flags, {})))


def test_a_broken_recording_is_left_out_when_asked(tmp_path):
    recipe, flags = silent_recording(tmp_path)
    with pytest.warns(RuntimeWarning, match="left out"):
        problem = prepare(with_network(settings_from(recipe, {**flags, "skip_bad": True}, {})))
    assert any("low_99" in note for note in problem.notes)


def test_empty_lines_and_files_that_are_not_there_are_named(runs, tmp_path):
    (tmp_path / "lines.txt").write_text("a fine film\n\nthe end\n")
    with pytest.raises(DataError, match="first is number 2"):
        use.predict(str(runs("reviews").folder), [str(tmp_path / "lines.txt")])
    with pytest.raises(DataError, match="no such file"):
        use.predict(str(runs("reviews").folder), ["lines.text"])
    with pytest.raises(FileFormatError, match="nowhere"):
        use.predict(str(runs("recordings").folder), ["nowhere.wav"])


def test_a_sentence_to_translate_ends_once_however_long_it_is(runs):
    reader = runs("translations").predictor.reader
    eos, longest = reader.source.eos, reader.longest
    for count in (1, longest - 1, longest, longest + 9):
        (row,) = reader.encode(["two " * count], "here")
        assert len(row) == min(count + 1, longest)
        assert np.flatnonzero(row == eos).tolist() == [len(row) - 1]


def test_long_and_unknown_texts_are_read_as_far_as_they_are_known(runs, capsys):
    rows = predicted(capsys, runs("reviews"), "great " * 500, "qwertz " * 3)
    assert len(rows) == 2


def test_translations_of_odd_lines_are_stated_or_refused(runs, tmp_path, capsys):
    """Unknown words and sentences longer than the network takes are translated; empty and missing lines are named."""
    run = runs("translations")
    assert len(predicted(capsys, run, "qwertz two", "two " * 200)) == 2
    (tmp_path / "a.txt").write_text("one two\n\nthree\n")
    (tmp_path / "b.txt").write_text("eins zwei\ndrei\n")
    with pytest.raises(DataError, match="first is number 2"):
        use.predict(str(run.folder), [str(tmp_path / "a.txt")])
    with pytest.raises(DataError, match="3 and 2 lines"):
        use.evaluate(str(run.folder), f"{tmp_path / 'a.txt'}:{tmp_path / 'b.txt'}")
    with pytest.raises(DataError, match="SOURCE_FILE:TARGET_FILE"):
        use.evaluate(str(run.folder), str(tmp_path / "a.txt"))


def test_a_prompt_longer_than_the_context_is_gone_on_with(runs, capsys):
    prompt = "the cat sat on the mat and slept the cat sat on "
    status, text, _ = generated(capsys, runs("text").folder, "--prompt", prompt, "--length", 5)
    assert (status, text[: len(prompt)], len(text)) == (0, prompt, len(prompt) + 5 + 1)
    assert len(prompt) > 16


@pytest.mark.parametrize(("bits", "channels"), [(8, 1), (16, 2), (24, 2), (24, 1), (32, 1)])
def test_recordings_of_any_width_and_of_several_channels_are_heard_alike(runs, tmp_path, capsys, bits, channels):
    times = np.arange(1200) / RATE
    for name, pitch in (("low", 300), ("high", 1500)):
        tone = 0.5 * np.sin(2 * np.pi * pitch * times) + np.random.default_rng(0).normal(size=len(times)) * 0.05
        write_wave(tmp_path / f"{name}.wav", np.stack([tone] * channels, 1), bits)
    rows = predicted(capsys, runs("recordings"), str(tmp_path / "low.wav"), str(tmp_path / "high.wav"))
    assert [row["prediction"] for row in rows] == ["low", "high"]


def write_wave(path, samples, bits):
    """A wav file of integers; 8 bits are unsigned."""
    whole = np.round(samples * (2 ** (bits - 1) - 1)).astype(np.int64) + (128 if bits == 8 else 0)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(samples.shape[1])
        file.setsampwidth(bits // 8)
        file.setframerate(RATE)
        file.writeframes(b"".join(int(each).to_bytes(bits // 8, "little", signed=bits > 8) for each in whole.ravel()))


def test_a_recording_without_samples_is_refused_when_it_is_predicted(runs, tmp_path):
    write_wave(tmp_path / "nothing.wav", np.zeros((0, 1)), 16)
    with pytest.raises(FileFormatError, match="nothing"):
        use.predict(str(runs("recordings").folder), [str(tmp_path / "nothing.wav")])


@pytest.mark.parametrize(("recipe", "flag", "message"), [
    ("shakespeare", {"network": "centernet"}, "does no language"),
    ("text", {"heads": 3, "width": 16}, "do not divide"),
    ("truck", {"layers": "8"}, "means nothing for truck"),
    ("text_table", {"fold": 10}, "no such fold"),
])  # fmt: skip
def test_settings_that_do_not_fit_are_named(tmp_path, recipe, flag, message):
    files = {"text": write_text, "text_table": write_reviews, "shakespeare": write_text}
    data = {"data": files[recipe](tmp_path)} if recipe in ("text", "text_table") else {}
    if recipe == "shakespeare":
        recipe, data = "text", {"data": write_text(tmp_path)}
    with pytest.raises(ThalwegError, match=message):
        train(settings_from(recipe, {**QUICK, **data, **flag, "run": str(tmp_path / "run")}, {}), say=lambda line: None)


# --- the networks ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("task", "kind"), sorted(BUILDERS))
def test_the_weights_that_a_description_expects_are_those_of_its_network(task, kind):
    ends = {"control": (4, 4), "language": (12, 12)}.get(task, (12, 7))
    network = SequenceNetwork(kind, task, *ends, width=8, depth=2, heads=2, context=4)
    model = network.build()
    arrays = {name: np.asarray(each.numpy()) for name, each in model.state_dict().items()}
    network.check_weights(arrays, "here")
    assert SequenceNetwork.from_config(json.loads(json.dumps(network.to_config())), "here") == network
    wrong = dict(arrays)
    wrong[next(iter(EXPECTED[task, kind](network)))] = np.zeros((1, 1), np.float32)
    with pytest.raises(FileFormatError, match="not those of the network"):
        network.check_weights(wrong, "here")


@pytest.mark.parametrize("change", [{"kind": "gpt", "task": "control"}, {"width": 1 << 30}, {"depth": 0}, {"heads": 3}])
def test_a_damaged_description_is_refused(change):
    network = SequenceNetwork("gpt", "language", 12, 12, width=8, depth=2, heads=2, context=4)
    with pytest.raises(FileFormatError):
        SequenceNetwork.from_config(network.to_config() | change, "here")


# --- cross-validation ------------------------------------------------------------------------------------------------


def test_every_text_is_tested_once_in_cross_validation(tmp_path):
    flags = {"data": write_reviews(tmp_path), "folds": 2, "width": 4, "epochs": 1, "batch_size": 16}
    settings = settings_from("text_table", {**QUICK, **flags, "run": str(tmp_path / "run")}, {})
    said = []
    outcomes = cross_validate(settings, say=said.append)
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    values = [each.scores.numbers["accuracy"] for each in outcomes]
    assert results["test"]["accuracy"] == pytest.approx(np.mean(values))
    assert results["test"]["examples"] == 80
    assert "mean" in said[-1]
    first, second = (load_weights(tmp_path / "run" / f"fold-{fold}" / "model.safetensors") for fold in (0, 1))
    assert any((first[name].shape != second[name].shape or (first[name] != second[name]).any()) for name in first)


# --- the real data ---------------------------------------------------------------------------------------------------


def test_the_named_sets_are_prepared_in_their_usual_parts():
    data = str(shared_data("rt_polarity").parent)
    reviews = prepare(with_network(settings_from("rt_polarity", {"data": data}, {})))
    assert sum(reviews.counts.values()) == 10_662
    shakespeare = prepare(with_network(settings_from("shakespeare", {"data": data}, {})))
    assert shakespeare.outputs.width == 65
    assert shakespeare.counts["test"] == 111_540
