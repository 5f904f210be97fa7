"""`thalweg train WHAT --cross-validate`: as many trainings as there are folds, each tested on another one.

In: settings.
Out: a run folder with a run for each fold in it, and a results.json with the means.
"""

from __future__ import annotations

import statistics
from typing import Any

from thalweg.recipes.run_folder import RunFolder
from thalweg.recipes.settings import Settings
from thalweg.recipes.train import Outcome, Say, train


def cross_validate(settings: Settings, command: str = "", say: Say = print) -> list[Outcome]:
    """Train on all folds but one, for each of them; every example is tested once.

    Ctrl-C ends it after the fold that is being trained; the means are then those of the folds that are done.
    """
    whole = RunFolder.create(settings.recipe, settings.run)
    outcomes: list[Outcome] = []
    for fold in range(settings.folds):
        own = settings.replaced(fold=fold, run=str(whole.path / f"fold-{fold}"), quiet=True, cross_validate=False)
        outcomes.append(train(own, f"{command} --fold {fold}", say))
        whole.write(whole.results, means(outcomes))
        if outcomes[-1].was_interrupted:
            break
    if not settings.quiet:
        say(f"trained   {sum(each.seconds for each in outcomes):.1f} s, {len(outcomes)} folds: {whole}")
    found = means(outcomes)["test"]
    name = outcomes[0].scores.headline
    say(f"mean      test {name.replace('_', ' ')} {found[name]:.6g}")
    return outcomes


def means(outcomes: list[Outcome]) -> dict[str, Any]:
    """What results.json says of all folds."""
    names = outcomes[0].scores.numbers
    test = {name: statistics.fmean(each.scores.numbers[name] for each in outcomes) for name in names}
    return {
        "test": test | {"examples": sum(each.scores.examples for each in outcomes)},
        "folds": [each.scores.numbers for each in outcomes],
        "training_seconds": round(sum(each.seconds for each in outcomes), 3),
        "interrupted": outcomes[-1].was_interrupted,
    }
