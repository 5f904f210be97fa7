"""How well masks fit: IoU, Dice and pixel accuracy, of one class or the mean over classes, over all pixels seen.

In: scores (N, C, H, W), binary scores or labels, and true labels (N, H, W) (the table in `labels` says which shapes
mean what). Out: one value, or one per class. Pixels of all images are counted together, so that an image without a
class does not decide what that class is worth.
"""

from __future__ import annotations

from thalweg.train.metrics.arrays import Array
from thalweg.train.metrics.classification import Accuracy
from thalweg.train.metrics.confusion import F1, ClassCounts


class IoU(ClassCounts):
    """Intersection over union, the Jaccard index: tp / (tp + fp + fn).

    Arguments as for `Precision`: ``average="binary"`` (default) is the value of class 1 of two, ``"macro"`` the mean
    IoU, None one value per class.

    Example:
        >>> metric = IoU(average=None)
        >>> metric.update([[[0, 0], [1, 1]]], [[[0, 1], [1, 1]]])
        >>> metric.compute()
        array([0.5       , 0.66666667])

    Source: Jaccard, 1912; the measure of PASCAL VOC's segmentation (Everingham et al., 2010); agrees with
    scikit-learn's `jaccard_score`.
    """

    default_name = "iou"

    def _ratio(self, hits: Array, predicted: Array, true: Array) -> Array:
        return self._divide(hits, predicted + true - hits)  # tp + fp = predicted, tp + fn = true


class Dice(F1):
    """The Dice coefficient 2·tp / (2·tp + fp + fn), which is F1 counted over pixels.

    Arguments as for `Precision`. Dice = 2·IoU / (1 + IoU), so both order models alike for one class.

    Example:
        >>> metric = Dice()
        >>> metric.update([[[0, 0], [1, 1]]], [[[0, 1], [1, 1]]])
        >>> metric.compute()
        0.8

    Source: Dice, 1945; agrees with scikit-learn's `f1_score` of the flattened masks.
    """

    default_name = "dice"


class PixelAccuracy(Accuracy):
    """The share of pixels that have their true label: `Accuracy` by the name that segmentation uses.

    Arguments as for `Accuracy`. The pixel accuracy of every class is its recall: ``Recall(average=None)``, and the mean
    over classes is ``macro_recall``.

    Example:
        >>> metric = PixelAccuracy()
        >>> metric.update([[[0, 0], [1, 1]]], [[[0, 1], [1, 1]]])
        >>> metric.compute()
        0.75

    Source: Long, Shelhamer and Darrell, CVPR 2015.
    """

    default_name = "pixel_accuracy"
