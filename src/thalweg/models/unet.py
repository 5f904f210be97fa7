"""U-Net: down to see what is in the image, up to say where, with the fine images of the way down at hand.

In: images (N, channels, H, W), whose sides can be halved `depth` times.
Out: scores for every pixel (N, classes, H, W).
"""

from __future__ import annotations

from thalweg import nn
from thalweg.models.parts import Norm, layer, need_images, refuse_choice, side_by_side, start_weights
from thalweg.tensor import Tensor


class UNet(nn.Module):
    """U-Net for the segmentation of images: 31,030,593 parameters at base 64, depth 4, one class, no normalisation.

    At every level two 3x3 convolutions; on the way down a pooling halves the size and the channels double, on the way
    up a transposed convolution does the opposite, and the level's result on the way down is set beside it. Convolutions
    are padded, so the scores have the size of the image, which must be a multiple of 2^depth.

    Args:
        in_channels: default 1.
        num_classes: scores a pixel; default 2. With 1, use "bce_with_logits".
        base: channels of the first level, default 64.
        depth: how often the size is halved, default 4.
        norm: default `nn.BatchNorm2d`, which the paper did not have; None leaves it out.
        skip: False leaves out what is carried across from the way down.
        upsample: ``"transpose"`` (default), as published; ``"nearest"`` or ``"bilinear"``: enlarged, then a 1x1
            convolution.

    >>> import thalweg as tw
    >>> from thalweg.models import UNet
    >>> UNet(base=4, depth=2)(tw.zeros(1, 1, 16, 24)).shape
    (1, 2, 16, 24)

    Source: Ronneberger, Fischer and Brox, MICCAI 2015.
    """

    def __init__(
        self,
        in_channels: int = 1,
        num_classes: int = 2,
        base: int = 64,
        depth: int = 4,
        norm: Norm = nn.BatchNorm2d,
        skip: bool = True,
        upsample: str = "transpose",
    ) -> None:
        super().__init__()
        refuse_choice("UNet(upsample)", upsample, "transpose", "nearest", "bilinear")
        self.in_channels, self.depth, self.skip = in_channels, depth, skip
        widths = [base * 2**level for level in range(depth + 1)]
        inputs = [in_channels, *widths[:-1]]
        self.encoder = nn.ModuleList([_double(a, b, norm) for a, b in zip(inputs[:-1], widths[:-1], strict=True)])
        self.pool = nn.MaxPool2d(2)
        self.bottleneck = _double(inputs[-1], widths[-1], norm)
        upwards = widths[-2::-1]
        self.upsamplers = nn.ModuleList([_upsampler(2 * width, width, upsample) for width in upwards])
        self.decoder = nn.ModuleList([_double(2 * width if skip else width, width, norm) for width in upwards])
        start_weights(self)
        self.head = nn.Conv2d(base, num_classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        need_images("UNet", x, self.in_channels, 2**self.depth)
        carried = []
        for level in self.encoder:
            x = level(x)
            carried.append(x)
            x = self.pool(x)
        x = self.bottleneck(x)
        for enlarge, level, across in zip(self.upsamplers, self.decoder, reversed(carried), strict=True):
            x = enlarge(x)
            x = level(side_by_side(across, x) if self.skip else x)
        scores: Tensor = self.head(x)
        return scores


def _double(inputs: int, outputs: int, norm: Norm) -> nn.Sequential:
    return nn.Sequential(layer(inputs, outputs, norm=norm), layer(outputs, outputs, norm=norm))


def _upsampler(inputs: int, outputs: int, kind: str) -> nn.Module:
    if kind == "transpose":
        return nn.ConvTranspose2d(inputs, outputs, 2, stride=2)
    return nn.Sequential(nn.Upsample(scale_factor=2, mode=kind), nn.Conv2d(inputs, outputs, 1))
