"""LeNet-5, the first convolutional network that read cheques: two convolutions, three linear layers.

In: grey images (N, 1, 28, 28), digits for example.
Out: class scores (N, classes).
"""

from __future__ import annotations

from collections.abc import Callable

from thalweg import nn
from thalweg.models.parts import Norm, need_images, normalisation
from thalweg.tensor import Tensor


class LeNet5(nn.Module):
    """LeNet-5 for images of 28 x 28: 61,706 parameters with 10 classes.

    Convolution 5x5 to 6 channels (padded by 2), pooling, convolution 5x5 to 16, pooling, linear layers of 120, 84 and
    `num_classes`. The second convolution sees all channels of the first, and the last layer is linear, as the field
    builds it today; the paper's table of connections has 60,000 parameters.

    Args:
        num_classes: default 10.
        in_channels: default 1.
        activation: default `nn.Tanh`, as published; `nn.ReLU` learns faster.
        pooling: default `nn.AvgPool2d`, as published; `nn.MaxPool2d` does better.
        norm: normalisation after each convolution, default none.

    >>> import thalweg as tw
    >>> from thalweg.models import LeNet5
    >>> model = LeNet5()
    >>> model(tw.zeros(2, 1, 28, 28)).shape, sum(each.numel() for each in model.parameters())
    ((2, 10), 61706)

    Source: LeCun, Bottou, Bengio and Haffner, Proceedings of the IEEE, 1998.
    """

    def __init__(
        self,
        num_classes: int = 10,
        in_channels: int = 1,
        activation: Callable[[], nn.Module] = nn.Tanh,
        pooling: Callable[[int], nn.Module] = nn.AvgPool2d,
        norm: Norm = None,
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.features = nn.Sequential(
            nn.Conv2d(in_channels, 6, 5, padding=2), normalisation(norm, 6), activation(), pooling(2),
            nn.Conv2d(6, 16, 5), normalisation(norm, 16), activation(), pooling(2),
        )  # fmt: skip
        self.classifier = nn.Sequential(
            nn.Linear(16 * 5 * 5, 120), activation(), nn.Linear(120, 84), activation(), nn.Linear(84, num_classes)
        )

    def forward(self, x: Tensor) -> Tensor:
        need_images("LeNet5", x, self.in_channels)
        scores: Tensor = self.classifier(self.features(x).flatten(1))
        return scores
