"""Networks for images and for sequences as ready modules, with the sizes their authors published.

In: numbers of classes, channels or tokens, and what to leave out (`skip=False`, `norm=None`). Out: modules that start
with weights drawn anew. Names of layers are torchvision's or nanoGPT's where these have the network, so that states
carry over.
"""

from thalweg.models.beam_search import BeamSearch
from thalweg.models.centernet import CenterNet, CenterNetDecoder, CenterNetLoss
from thalweg.models.generation import TextGenerator, sample
from thalweg.models.language import GPT, LSTMLanguageModel
from thalweg.models.lenet import LeNet5
from thalweg.models.mobilenet import MobileNetV1, MobileNetV2, mobilenet_v1, mobilenet_v2
from thalweg.models.resnet import BasicBlock, ResNet, resnet18, resnet20, resnet32, resnet44, resnet56, resnet110
from thalweg.models.sentence_cnn import SentenceCNN
from thalweg.models.speech import SpeechCTC, ctc_greedy_decode
from thalweg.models.translation import GRUTranslator, TransformerTranslator
from thalweg.models.truck import Dock, TruckBackerUpper, docked, docking_loss, truck_starts
from thalweg.models.unet import UNet
from thalweg.models.vgg import VGG, vgg11, vgg16

__all__ = [
    "LeNet5",
    "VGG", "vgg11", "vgg16",
    "ResNet", "BasicBlock", "resnet18", "resnet20", "resnet32", "resnet44", "resnet56", "resnet110",
    "MobileNetV1", "MobileNetV2", "mobilenet_v1", "mobilenet_v2",
    "UNet",
    "CenterNet", "CenterNetLoss", "CenterNetDecoder",
    "GPT", "LSTMLanguageModel", "TextGenerator", "sample",
    "SentenceCNN", "GRUTranslator", "TransformerTranslator", "BeamSearch", "SpeechCTC", "ctc_greedy_decode",
    "TruckBackerUpper", "Dock", "docked", "docking_loss", "truck_starts",
]  # fmt: skip
