"""Networks written once, and built of either library: the same source, `nn` is thalweg's or PyTorch's.

In: a module `nn`, its library (for `cat` and the like). Out: a network in evaluation mode; inputs for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np


class Architecture(NamedTuple):
    """How it is built, and what it is fed with."""

    build: Callable[[Any, Any], Any]
    inputs: Callable[[np.random.Generator], tuple[np.ndarray, ...]]


def mlp(nn: Any, lib: Any) -> Any:
    return nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Dropout(0.5), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 3))


def norms(nn: Any, lib: Any) -> Any:
    return nn.Sequential(nn.Linear(6, 16), nn.LayerNorm(16), nn.GELU(), nn.Linear(16, 12), nn.GroupNorm(3, 12),
                         nn.PReLU(), nn.BatchNorm1d(12), nn.Linear(12, 2))  # fmt: skip


def lenet(nn: Any, lib: Any) -> Any:
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.Sigmoid(), nn.AvgPool2d(2), nn.Conv2d(6, 16, 5), nn.Sigmoid(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(16, 20), nn.Linear(20, 10),
    )  # fmt: skip


def vgg(nn: Any, lib: Any) -> Any:
    class VGG(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            layers, channels = [], 3
            for width in (8, 8, "M", 16, 16, "M"):
                if width == "M":
                    layers.append(nn.MaxPool2d(2, 2))
                else:
                    layers += [nn.Conv2d(channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
                    channels = width
            self.features = nn.Sequential(*layers)
            self.avgpool = nn.AdaptiveAvgPool2d((2, 2))
            self.classifier = nn.Sequential(nn.Linear(64, 10), nn.Dropout(), nn.Linear(10, 5))

        def forward(self, x: Any) -> Any:
            return self.classifier(self.avgpool(self.features(x)).flatten(1))

    return VGG()


def resnet(nn: Any, lib: Any) -> Any:
    class Block(nn.Module):
        def __init__(self, inside: int, out: int, stride: int) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(inside, out, 3, stride, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(out)
            self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False, groups=2)
            self.bn2 = nn.BatchNorm2d(out)
            self.downsample = None
            if stride != 1:
                self.downsample = nn.Sequential(nn.Conv2d(inside, out, 1, stride, bias=False), nn.BatchNorm2d(out))

        def forward(self, x: Any) -> Any:
            y = self.bn2(self.conv2(nn.functional.relu(self.bn1(self.conv1(x)))))
            return nn.functional.relu(y + (x if self.downsample is None else self.downsample(x)))

    class ResNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Conv2d(3, 8, 3, 1, 1)
            self.layers = nn.ModuleList([Block(8, 8, 1), Block(8, 16, 2), Block(16, 16, 1)])
            self.fc = nn.Linear(16, 4)

        def forward(self, x: Any) -> Any:
            x = self.stem(x)
            for layer in self.layers:
                x = layer(x)
            return self.fc(x.mean((2, 3)))

    return ResNet()


def autoencoder(nn: Any, lib: Any) -> Any:
    class Autoencoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = nn.Sequential(nn.Conv2d(1, 4, 3, 2, 1), nn.ReLU(), nn.Conv2d(4, 8, 3, 2, 1), nn.ReLU())
            self.decoder = nn.Sequential(
                nn.ConvTranspose2d(8, 4, 4, 2, 1), nn.InstanceNorm2d(4, affine=True), nn.ReLU(),
                nn.ConvTranspose2d(4, 1, 3, 2, 1, output_padding=1), nn.Sigmoid(),
            )  # fmt: skip

        def forward(self, x: Any) -> Any:
            return self.decoder(self.encoder(x))

    return Autoencoder()


def recurrent(kind: str, **options: Any) -> Callable[[Any, Any], Any]:
    """A classifier of sequences by the last state of its recurrence."""

    def build(nn: Any, lib: Any) -> Any:
        class Classifier(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.embedding = nn.Embedding(20, 6, padding_idx=0)
                self.rnn = getattr(nn, kind)(6, 7, batch_first=True, **options)
                self.fc = nn.Linear(14 if options.get("bidirectional") else 7, 3)

            def forward(self, tokens: Any) -> Any:
                states, _ = self.rnn(self.embedding(tokens))
                return self.fc(states[:, -1])

        return Classifier()

    return build


def sentence_cnn(nn: Any, lib: Any) -> Any:
    class SentenceCNN(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(20, 8)
            self.convs = nn.ModuleList([nn.Conv1d(8, 5, size, padding=1) for size in (2, 3, 4)])
            self.fc = nn.Linear(15, 2)

        def forward(self, tokens: Any) -> Any:
            x = self.embed(tokens).transpose(1, 2)
            pooled = [nn.functional.relu(conv(x)).amax(2) for conv in self.convs]
            return self.fc(lib.cat(pooled, 1))

    return SentenceCNN()


def encoder(nn: Any, lib: Any) -> Any:
    class Encoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.1, batch_first=True, norm_first=True)
            self.embed = nn.Embedding(20, 8)
            self.layers = nn.TransformerEncoder(layer, 2, norm=nn.LayerNorm(8), enable_nested_tensor=False)
            self.out = nn.Linear(8, 20, bias=False)

        def forward(self, tokens: Any) -> Any:
            return self.out(self.layers(self.embed(tokens)))

    return Encoder()


def translator(nn: Any, lib: Any) -> Any:
    class Translator(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.source, self.target = nn.Embedding(20, 8), nn.Embedding(20, 8)
            self.transformer = nn.Transformer(8, 2, 1, 2, 16, batch_first=True)
            self.out = nn.Linear(8, 20)

        def forward(self, source: Any, target: Any) -> Any:
            return self.out(self.transformer(self.source(source), self.target(target)))

    return Translator()


def gpt(nn: Any, lib: Any) -> Any:
    """The output layer is the embedding: one tensor under two names."""

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.ln_1, self.ln_2 = nn.LayerNorm(8), nn.LayerNorm(8)
            self.attn = nn.MultiheadAttention(8, 2, batch_first=True)
            self.mlp = nn.Sequential(nn.Linear(8, 32), nn.GELU(), nn.Linear(32, 8))

        def forward(self, x: Any) -> Any:
            normal = self.ln_1(x)
            x = x + self.attn(normal, normal, normal, need_weights=False)[0]
            return x + self.mlp(self.ln_2(x))

    class GPT(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.wte = nn.Embedding(20, 8)
            self.wpe = nn.Parameter(lib.zeros(9, 8))
            self.h = nn.ModuleList([Block(), Block()])
            self.lm_head = nn.Linear(8, 20, bias=False)
            self.lm_head.weight = self.wte.weight

        def forward(self, tokens: Any) -> Any:
            x = self.wte(tokens) + self.wpe
            for block in self.h:
                x = block(x)
            return self.lm_head(x)

    return GPT()


def numbers(*shape: int) -> Callable[[np.random.Generator], tuple[np.ndarray, ...]]:
    return lambda draw: (draw.normal(size=shape).astype(np.float32),)


def tokens(*lengths: int) -> Callable[[np.random.Generator], tuple[np.ndarray, ...]]:
    return lambda draw: tuple(draw.integers(1, 20, (4, length)) for length in lengths)


ARCHITECTURES = {
    "MLP": Architecture(mlp, numbers(5, 6)),
    "MLP with LayerNorm, GroupNorm, BatchNorm": Architecture(norms, numbers(5, 6)),
    "LeNet": Architecture(lenet, numbers(3, 1, 12, 12)),
    "VGG with batch norm": Architecture(vgg, numbers(2, 3, 16, 16)),
    "ResNet": Architecture(resnet, numbers(2, 3, 8, 8)),
    "autoencoder with transposed convolutions": Architecture(autoencoder, numbers(2, 1, 8, 8)),
    "LSTM classifier": Architecture(recurrent("LSTM", num_layers=2), tokens(9)),
    "GRU classifier": Architecture(recurrent("GRU"), tokens(9)),
    "RNN classifier": Architecture(recurrent("RNN", nonlinearity="relu"), tokens(9)),
    "bidirectional LSTM": Architecture(recurrent("LSTM", num_layers=2, bidirectional=True), tokens(9)),
    "sentence CNN": Architecture(sentence_cnn, tokens(9)),
    "Transformer encoder": Architecture(encoder, tokens(9)),
    "Transformer encoder and decoder": Architecture(translator, tokens(9, 7)),
    "GPT with a shared embedding": Architecture(gpt, tokens(9)),
}
