"""Pictures of a run: each is a PNG, whatever the numbers are like.

In: made-up histories and predictions. Out: files; their looks are judged by eye, their robustness here.
"""

import math

import numpy as np
import pytest

from thalweg.report import pictures

pytest.importorskip("matplotlib")


def history(steps=60, epochs=6, **changes):
    made = {
        "step": list(range(steps)),
        "epoch": [step * epochs // steps for step in range(steps)],
        "loss": [2.0 / (1 + step) for step in range(steps)],
        "learning_rate": [0.1] * steps,
        "gradient_norm/hidden_1": [1.0 if step % 3 == 0 else None for step in range(steps)],
        "gradient_norm/output": [0.0] * steps,
    }
    return made | changes


def epochs(count=6, **changes):
    made = {name: [1.0 / (1 + i) for i in range(count)] for name in ("loss", "val_loss", "rmse", "val_rmse")}
    return made | {"seconds": [0.1] * count} | changes


def is_png(path, drawn):
    return pictures.saved(drawn, path).read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("steps", "by_epoch", "best"),
    [
        (history(), epochs(), 5),
        (history(), epochs(), None),
        (history(1, 1), epochs(1), 0),
        (history(5, 1), {}, None),
        (history(loss=[math.nan, None, math.inf] * 20), epochs(val_loss=[math.nan] * 6), 2),
        (history(loss=[0.0] * 60), epochs(val_loss=[-1.0] * 6), 0),
        (history(loss=[10.0 ** (-i / 5) for i in range(60)]), epochs(), 3),
        (history(6000, 30), epochs(30), 29),
    ],
)
def test_the_course_of_training_is_drawn(tmp_path, steps, by_epoch, best):
    assert is_png(tmp_path / "loss.png", pictures.draw_loss(steps, by_epoch, best))
    assert is_png(tmp_path / "rate.png", pictures.draw_learning_rate(steps))
    assert is_png(tmp_path / "norms.png", pictures.draw_gradient_norms(steps))
    if by_epoch:
        assert is_png(tmp_path / "epochs.png", pictures.draw_epochs(by_epoch, best, pictures.measures_of(by_epoch)))


def test_the_best_epoch_stands_in_the_legend_where_nothing_can_lie_under_it():
    for best in (0, 3, 5):
        (axes,) = pictures.draw_loss(history(), epochs(), best).axes
        assert f"best epoch: {best + 1}" in [each.get_text() for each in axes.get_legend().get_texts()]
        assert not axes.texts


@pytest.mark.parametrize("count", [2, 10, 40, 300])
def test_confusion_matrices_of_any_size_are_drawn(tmp_path, count):
    matrix = np.random.default_rng(0).integers(0, 50, (count, count)).astype(float)
    names = [f"class $ number {i}" for i in range(count)]
    assert is_png(tmp_path / "a.png", pictures.draw_confusion(matrix, names))
    assert is_png(tmp_path / "b.png", pictures.draw_confusion(np.zeros((count, count)), list(range(count))))


@pytest.mark.parametrize("count", [1, 50, 20_000])
def test_predictions_are_drawn(tmp_path, count):
    true = np.linspace(1, 2, count)
    assert is_png(tmp_path / "a.png", pictures.draw_predictions(true, true * 3, "price in $ and $", "R2 0.5"))


def test_smoothing_keeps_the_mean_of_its_window():
    values = np.random.default_rng(0).normal(size=400)
    smooth = pictures.smoothed(values, share=0.05)
    np.testing.assert_allclose(smooth[200], values[190:211].mean())
    np.testing.assert_allclose(pictures.smoothed(values, share=0.0), values)
    assert pictures.smoothed(np.empty(0)).shape == (0,)


def test_pictures_are_the_same_bytes_every_time(tmp_path):
    names = [tmp_path / "a.png", tmp_path / "b.png"]
    one, two = (pictures.saved(pictures.draw_loss(history(), epochs(), 1), name) for name in names)
    assert one.read_bytes() == two.read_bytes()
