"""The networks have the sizes that were published, and torchvision's names for their layers.

In: every network at its published size. Out: numbers of parameters, counted by hand or by others; shapes of states.
"""

from __future__ import annotations

import numpy as np
import pytest

import thalweg as tw
from thalweg import models, nn
from thalweg.models import vgg


def count(model):
    return sum(parameter.numel() for parameter in model.parameters())


PUBLISHED = [
    # He et al. 2016, table 6 say 0.27, 0.46, 0.66, 0.85 and 1.7 million
    (lambda: models.resnet20(), 269_722),
    (lambda: models.resnet20(shortcut="B"), 272_474),
    (lambda: models.resnet32(), 464_154),
    (lambda: models.resnet44(), 658_586),
    (lambda: models.resnet56(), 853_018),
    (lambda: models.resnet110(), 1_727_962),
    (lambda: models.resnet18(), 11_689_512),  # torchvision
    (lambda: models.resnet18(10, stem="small"), 11_173_962),  # as built for CIFAR
    (lambda: models.LeNet5(), 61_706),
    (lambda: models.mobilenet_v1(), 4_231_976),  # 4.2 million in the paper
    (lambda: models.mobilenet_v1(num_classes=10, image_size=32), 3_217_226),
    (lambda: models.mobilenet_v2(), 3_504_872),  # torchvision
    (lambda: models.mobilenet_v2(num_classes=10, image_size=32), 2_236_682),
    (lambda: models.vgg11(10, image_size=32), 9_225_610),
    (lambda: models.vgg11(10, image_size=32, norm=nn.BatchNorm2d), 9_231_114),  # as built for CIFAR
    (lambda: models.vgg16(10, image_size=32, norm=nn.BatchNorm2d), 14_728_266),
    (lambda: models.UNet(1, 1, norm=None), 31_030_593),
]  # fmt: skip


@pytest.mark.parametrize(("build", "parameters"), PUBLISHED)
def test_numbers_of_parameters_are_the_published_ones(build, parameters):
    assert count(build()) == parameters


@pytest.mark.parametrize(("build", "parameters"), [(models.vgg11, 132_863_336), (models.vgg16, 138_357_544)])
def test_vgg_with_the_published_head(build, parameters):
    """Without half a gigabyte of numbers: the convolutions are built, the three linear layers counted."""
    convolutions = count(build(10, image_size=32)) - (512 * 10 + 10)
    head = (512 * 7 * 7 + 1) * 4096 + (4096 + 1) * 4096 + (4096 + 1) * 1000
    assert convolutions + head == parameters


def test_the_published_head_of_vgg_reads_seven_by_seven_places(monkeypatch):
    monkeypatch.setattr(vgg, "HIDDEN", 8)
    model = models.VGG((2, 0, 2, 0, 2, 0, 2, 0, 1, 0), num_classes=3).eval()
    shapes = {name: tuple(value.shape) for name, value in model.state_dict().items() if name.startswith("classifier")}
    assert shapes == {
        "classifier.0.weight": (8, 49), "classifier.0.bias": (8,), "classifier.3.weight": (8, 8),
        "classifier.3.bias": (8,), "classifier.6.weight": (3, 8), "classifier.6.bias": (3,),
    }  # fmt: skip
    assert model(tw.zeros(1, 3, 96, 128)).shape == (1, 3)


def test_leaving_out_skips_and_normalisation():
    """Option A has no parameters in its shortcuts; without normalisation, biases take the place of shifts."""
    assert count(models.resnet20(skip=False)) == count(models.resnet20())
    convolved = 16 * (1 + 6) + 32 * 6 + 64 * 6
    assert count(models.resnet20(norm=None)) == count(models.resnet20()) - convolved
    assert count(models.resnet18(skip=False)) < count(models.resnet18())
    carried = sum(9 * width * width for width in (64, 128, 256, 512))
    assert count(models.UNet(skip=False)) == count(models.UNet()) - carried


TORCHVISION = {
    "resnet18": (models.resnet18, 122, {
        "conv1.weight": (64, 3, 7, 7), "bn1.running_mean": (64,), "layer1.0.conv1.weight": (64, 64, 3, 3),
        "layer2.0.downsample.0.weight": (128, 64, 1, 1), "layer2.0.downsample.1.num_batches_tracked": (),
        "layer4.1.bn2.bias": (512,), "fc.weight": (1000, 512), "fc.bias": (1000,),
    }),
    "mobilenet_v2": (models.mobilenet_v2, 314, {
        "features.0.0.weight": (32, 3, 3, 3), "features.0.1.weight": (32,), "features.1.conv.0.0.weight": (32, 1, 3, 3),
        "features.1.conv.1.weight": (16, 32, 1, 1), "features.1.conv.2.running_var": (16,),
        "features.2.conv.0.0.weight": (96, 16, 1, 1), "features.2.conv.1.0.weight": (96, 1, 3, 3),
        "features.2.conv.2.weight": (24, 96, 1, 1), "features.2.conv.3.weight": (24,),
        "features.18.0.weight": (1280, 320, 1, 1), "classifier.1.weight": (1000, 1280),
    }),
    "vgg11_bn": (lambda: models.vgg11(10, 32, nn.BatchNorm2d), 58, {
        "features.0.weight": (64, 3, 3, 3), "features.1.weight": (64,), "features.4.weight": (128, 64, 3, 3),
        "features.25.weight": (512, 512, 3, 3), "features.26.running_var": (512,),
    }),
    "vgg11": (lambda: models.vgg11(10, 32), 18, {"features.3.weight": (128, 64, 3, 3), "features.18.bias": (512,)}),
}  # fmt: skip


@pytest.mark.parametrize("name", TORCHVISION)
def test_states_have_the_names_that_torchvision_gives_them(name):
    """How many entries there are, and those by which the numbering of layers shows."""
    build, entries, shapes = TORCHVISION[name]
    state = build().state_dict()
    assert len(state) == entries
    assert {key: tuple(state[key].shape) for key in shapes} == shapes


def test_resnets_start_as_he_initialised_them():
    model = models.resnet20()
    weight = model.layer3[1].conv1.weight.detach().numpy()
    assert weight.std() == pytest.approx(np.sqrt(2 / (64 * 9)), rel=0.03)
    assert abs(weight.mean()) < 2e-3
    depthwise = models.mobilenet_v1(num_classes=2).features[-2][0].weight.detach().numpy()
    assert depthwise.std() == pytest.approx(np.sqrt(2 / 9), rel=0.05)


def test_blocks_that_start_as_the_identity():
    model = models.resnet20(zero_init_residual=True)
    blocks = [module for module in model.modules() if isinstance(module, models.BasicBlock)]
    assert len(blocks) == 9
    assert not any(block.bn2.weight.detach().numpy().any() for block in blocks)
    assert all((block.bn1.weight.detach().numpy() == 1).all() for block in blocks)
