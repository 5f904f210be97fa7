"""The rows of convolutional networks: training steps, answers of trained networks, single convolutions, compile time.

In: nothing. Out: rows for bench/rows.py, in the tables images, inference, convolution and process; `MEAN_FLOORS` is
what a table's rows must reach against PyTorch in the geometric mean.
"""

from __future__ import annotations

from bench.peers import CONVOLUTIONS, Setting
from bench.workloads import Workload

_TWO = Setting(threads=2)

# Channels, height, width of an image, and the number of classes.
_SIZES = {
    "lenet": (1, 28, 28, 10), "resnet-20": (3, 32, 32, 10), "mobilenet": (3, 32, 32, 10), "unet": (1, 128, 128, 2),
}  # fmt: skip
_NAMES = {
    "lenet": "LeNet-like network, 28x28",
    "resnet-20": "ResNet-20, 32x32",
    "unet": "U-Net of base 16 and depth 4, 128x128",
    "mobilenet": "MobileNet-like network, 32x32",
}


def _step(network: str, batch: int, floor: float) -> Workload:
    return Workload(network, f"{_NAMES[network]}, batch {batch}", "image_step", _SIZES[network], batch, floor=floor,
                    table="images", setting=_TWO, network=network)  # fmt: skip


IMAGE_STEPS = (
    _step("lenet", 64, 2.2),
    Workload("lenet-plain", "the same as a plain PyTorch-style loop, undecorated", "image_step", _SIZES["lenet"], 64,
             floor=1.5, is_compiled=False, peers=("torch",), table="images", setting=_TWO, network="lenet"),
    _step("resnet-20", 64, 1.5),
    _step("unet", 4, 1.5),
    _step("mobilenet", 32, 2.5),
)  # fmt: skip


def _inference(network: str, batch: int) -> Workload:
    """No floor for one row, but nobody may be ahead."""
    return Workload(f"{network}-infer-{batch}", f"{_NAMES[network]}, batch {batch}", "image_inference", _SIZES[network],
                    batch, floors=(("torch.compile", 1.0),), table="inference", setting=_TWO, network=network,
                    rounds=5 if batch > 1 else None)  # fmt: skip


INFERENCES = tuple(_inference(network, batch) for network in _NAMES for batch in (1, 64))

# Images, channels in and out, height and width: from wide images with few channels to small ones with many.
SHAPES = (
    (4, 16, 16, 112), (2, 32, 64, 112), (4, 64, 64, 56), (64, 16, 16, 32),
    (16, 32, 64, 28), (8, 128, 128, 28), (8, 256, 256, 14), (32, 256, 256, 7),
)  # fmt: skip
CONVOLUTION_FLOOR = 0.7


def _convolution(shape: tuple[int, int, int, int], family: str) -> Workload:
    count, inputs, outputs, extent = shape
    part = family.removeprefix("convolution_").replace("_", "-")
    return Workload(f"conv-{'x'.join(map(str, shape))}-{part}",
                    f"{count} of {extent}x{extent}, {inputs} to {outputs} channels", family, shape,
                    floor=CONVOLUTION_FLOOR, peers=("torch",), table="convolution", setting=_TWO,
                    seconds=5)  # fmt: skip


SINGLE = tuple(_convolution(shape, family) for shape in SHAPES for family in CONVOLUTIONS)

COMPILATION = Workload(
    "compile-resnet-20", "the first training step of ResNet-20, batch 64, from its call to its loss; empty code cache",
    "first_call_empty_cache", _SIZES["resnet-20"], 64, limit=2.0, peers=("jax",), table="process", setting=_TWO,
    rounds=3, network="resnet-20",
)  # fmt: skip

IMAGES = (*IMAGE_STEPS, *INFERENCES, *SINGLE)
MEAN_FLOORS = {"inference": 1.3, "convolution": 1.0}
