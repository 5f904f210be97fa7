"""`thalweg train WHAT --find-learning-rate`: a range test of what would be trained, in place of the training.

In: the settings of a run. Out: lines of text with a suggested rate, and on request the curve as an SVG file. Nothing is
trained and no run folder is made.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from thalweg.diagnose import find_learning_rate
from thalweg.errors import ConfigurationError, explain
from thalweg.recipes.flags import FIND_RATE
from thalweg.recipes.run_folder import unwritable
from thalweg.recipes.settings import Settings
from thalweg.recipes.train import made, make_trainer


def find_rate(settings: Settings, figure: str = "", say: Callable[[str], object] = print) -> None:
    """Say which learning rate suits the network, the optimizer and the batch size of these settings.

    `figure` is the name of an SVG file for the curve. Raises ThalwegError for settings and data that cannot work.
    """
    path = _checked(figure)
    problem, settings, model, _ = made(settings)
    trainer = make_trainer(settings, problem, model)
    assert settings.batch_size is not None
    curve = find_learning_rate(trainer, problem.training, batch_size=settings.batch_size)
    say(str(curve))
    if settings.lr is not None and curve.suggestion is not None:
        say(f"  {'use it:':17s} --lr {curve.suggestion:.2g} (these settings have {settings.lr:g}; the highest rate of "
            f"the schedule {settings.schedule})")  # fmt: skip
    if path is not None:
        try:
            curve.to_svg(path)
        except OSError as error:
            raise unwritable(path, error) from None
        say(f"  {'figure:':17s} {path}")


def _checked(figure: str) -> Path | None:
    """The path, before anything is computed; a word that is no SVG file was probably meant as WHAT."""
    if not figure:
        return None
    if not figure.endswith(".svg"):
        raise ConfigurationError(
            explain("the curve is drawn as SVG", received=figure, expected="a name that ends in .svg, or none",
                    where=FIND_RATE, remedy=f"thalweg train WHAT {FIND_RATE} rates.svg")
        )  # fmt: skip
    return Path(figure)
