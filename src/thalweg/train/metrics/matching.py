"""Which detections are right: COCO's matching of boxes in one image, and the precision that a ranking of them has.

In: the boxes of one image and one class; then hits by falling score. Out: hit or miss at every threshold; the average
precision. Both as in the COCO evaluation (pycocotools), with which they agree number by number.
"""

from __future__ import annotations

import numpy as np

from thalweg.data.box_overlaps import box_iou
from thalweg.train.metrics.arrays import Array

RECALLS = {"coco": np.linspace(0.0, 1.0, 101), "voc2007": np.linspace(0.0, 1.0, 11)}
"""The recalls at which precision is read off, by interpolation; "area" takes the area under all of the curve."""


def match(found: Array, true: Array, difficult: Array, thresholds: Array) -> tuple[Array, Array]:
    """Detections (D, 4), best first, against truths (G, 4): (D, T) of hits and (D, T) of what is not judged.

    Every detection takes the truth it overlaps most among those that are still free and overlap enough. One that finds
    only a difficult truth, of which any number may be found, is neither right nor wrong.
    """
    hits = np.zeros((len(found), len(thresholds)), dtype=bool)
    unjudged = np.zeros_like(hits)
    overlaps = box_iou(found, true)
    levels = np.minimum(thresholds, 1 - 1e-10)[:, None]
    free = np.repeat(~difficult[None], len(thresholds), axis=0)
    for place, overlap in enumerate(overlaps if len(true) else ()):
        enough = overlap >= levels
        candidates = np.where(enough & free, overlap, -1.0)
        best = len(true) - 1 - candidates[:, ::-1].argmax(axis=1)  # of equal ones the last, as pycocotools has it
        rows = np.flatnonzero((enough & free).any(axis=1))
        hits[place, rows] = True
        free[rows, best[rows]] = False
        unjudged[place] = ~hits[place] & (enough & difficult).any(axis=1)
    return hits, unjudged


def average_precision(hits: Array, weights: Array, truths: float, interpolation: str) -> float:
    """The mean precision over recalls, for hits (D,) by falling score, each with its weight, among so many truths."""
    right = np.cumsum(hits * weights)
    recall = right / truths
    precision = right / np.cumsum(weights)
    best_from_here = np.maximum.accumulate(precision[::-1])[::-1]
    if interpolation == "area":
        return float((np.diff(recall, prepend=0.0) * best_from_here).sum())
    places = np.searchsorted(recall, RECALLS[interpolation], side="left")
    return float(np.append(best_from_here, 0.0)[places].mean())
