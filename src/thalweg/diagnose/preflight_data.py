"""What can be said about the arrays before training: what is not finite, says nothing, contradicts itself, is missing.

In: inputs and targets of the training part, and those of the validation part. Out: `Check`s, and findings where
something is wrong with them. What is only worth knowing, such as a column that never changes, is a note.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from thalweg.diagnose.finding import Evidence, Finding
from thalweg.diagnose.leakage import as_tuple, row_keys
from thalweg.diagnose.preflight_result import Check, Status
from thalweg.diagnose.rules.data import MANY_TIMES, counted_labels
from thalweg.diagnose.run import Run

Said = tuple[Check, Finding | None]
MOST_COLUMNS = 4096


def check_finite(parts: dict[str, Any]) -> Said:
    """NaN and infinity, in whichever array they are: `parts` has them by name."""
    total, first = 0, ""
    for name, arrays in parts.items():
        for array in as_tuple(arrays):
            bad = ~np.isfinite(array) if array.dtype.kind == "f" else np.zeros(0, bool)
            if bad.any():
                total += int(bad.sum())
                place = tuple(int(each) for each in np.argwhere(bad)[0])
                first = first or f"the first is {array[place]} at {place} of the {name}"
    if not total:
        return Check("finite values", Status.FINE, f"all of {', '.join(parts)}"), None
    said = f"{total:,} values are not finite; {first}"
    found = Finding("non_finite", evidence=(Evidence("values that are not finite", float(total), 0.0),),
                    explanation=f"The data hold values that are not finite: {said}.")  # fmt: skip
    return Check("finite values", Status.PROBLEM, said), found


def check_columns(x: Any) -> Check:
    """Columns that never change, or repeat another: they carry nothing, and harm little."""
    if isinstance(x, tuple) or x.ndim != 2 or x.shape[1] > MOST_COLUMNS:
        return Check("columns", Status.SKIPPED, "the inputs are no table")
    constant = np.flatnonzero((x == x[:1]).all(0))
    others = np.setdiff1d(np.arange(x.shape[1]), constant)
    keys = row_keys((np.ascontiguousarray(x[:, others].T),)) if len(others) else []
    first = {key: others[place] for place, key in reversed(list(enumerate(keys)))}
    again = [(int(column), int(first[key])) for column, key in zip(others, keys, strict=True) if first[key] != column]
    said = [f"{len(constant)} of {x.shape[1]} never change ({_listed(constant)})"] if len(constant) else []
    said += [f"{len(again)} repeat another (column {again[0][0]} is column {again[0][1]})"] if again else []
    return Check(
        "columns", Status.NOTE if said else Status.FINE, "; ".join(said) or f"all {x.shape[1]} differ and vary"
    )


def check_parts(run: Run) -> Check:
    """Rows that are in the training part twice, with other targets perhaps, and in both parts."""
    keys = np.array(row_keys(as_tuple(run.x)), np.int64)
    distinct, where = np.unique(keys, return_inverse=True)
    said = []
    if (repeats := len(keys) - len(distinct)) > 0:
        said.append(f"{repeats:,} of {len(keys):,} training examples repeat another")
    if repeats and len(keys) == len(run.y) and (contradictory := _contradictions(where, run.y)):
        said.append(f"{contradictory:,} inputs come with different targets")
    if run.leakage.count:
        natural = ", as such data is" if run.leakage.is_natural else ""
        said.append(f"{run.leakage.share:.1%} of the validation part is in the training part{natural}")
    return Check("duplicates", Status.NOTE if said else Status.FINE, "; ".join(said) or "none")


def _contradictions(where: np.ndarray, y: np.ndarray) -> int:
    """How many of the different inputs have more than one target."""
    targets = np.unique(y.reshape(len(y), -1), axis=0, return_inverse=True)[1].reshape(-1)
    pairs = np.unique(np.stack([where, targets], axis=1), axis=0)
    return int((np.bincount(pairs[:, 0]) > 1).sum())


def check_classes(run: Run) -> Said:
    """How often each class comes: none missing that the validation part has, none ten times as rare as another."""
    if not run.task.has_classes:
        return Check("targets", Status.FINE, _told(run.y)), None
    labels = counted_labels(run)
    counts = np.bincount(labels[labels >= 0], minlength=max(run.task.outputs, 2))
    unseen = _only_in_validation(run, counts)
    if len(unseen):
        said = f"class {_listed(unseen)} is in the validation part, and never in the training part"
        found = Finding("class_imbalance", evidence=(Evidence("classes without a training example", len(unseen), 0.0),),
                        explanation=f"{said[0].upper()}{said[1:]}: it cannot be learnt.")  # fmt: skip
        return Check("classes", Status.PROBLEM, said), found
    return _balance(counts)


def _told(y: np.ndarray) -> str:
    """Targets that are no classes of examples: numbers, or a label for each pixel."""
    if y.dtype.kind in "iu":
        return f"{len(np.unique(y)):,} different labels, {y[0].size:,} for each example"
    return f"numbers: mean {y.mean(dtype=np.float64):.3g}, spread {y.std(dtype=np.float64):.3g}"


def _balance(counts: np.ndarray) -> Said:
    present, missing = counts[counts > 0], np.flatnonzero(counts == 0)
    ratio = float(present.max() / present.min()) if len(present) else 1.0
    said = (
        f"{len(present)} classes, {present.min():,} to {present.max():,} examples each" if len(present) else "no labels"
    )
    if ratio >= MANY_TIMES:
        found = Finding("class_imbalance", certainty=0.5,
                        evidence=(Evidence("most frequent class over rarest", ratio, MANY_TIMES),),
                        explanation=f"{said}: predicting the frequent ones may look like success.")  # fmt: skip
        return Check("classes", Status.PROBLEM, said), found
    if len(missing):
        return Check("classes", Status.NOTE, f"{said}; no example for output {_listed(missing)}"), None
    return Check("classes", Status.FINE, said), None


def _only_in_validation(run: Run, counts: np.ndarray) -> np.ndarray:
    if run.sample.y_validation is None or run.task.targets.ndim > 1:
        return np.zeros(0, int)
    shown = np.unique(run.task.read(run.sample.y_validation))
    known = shown[(shown >= 0) & (shown < len(counts))]
    return np.asarray(known[counts[known] == 0])


def _listed(numbers: np.ndarray, most: int = 5) -> str:
    return ", ".join(str(int(each)) for each in numbers[:most]) + (", ..." if len(numbers) > most else "")
