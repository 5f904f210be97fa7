"""Fast neural style: a network repaints a picture so that a fixed network sees the same things in another style."""

import torch.nn as nn
import torch.nn.functional as F
from torch.optim import Adam


class ConvLayer(nn.Module):
    def __init__(self, in_channels, out_channels, kernel_size, stride):
        super().__init__()
        self.reflection_pad = nn.ReflectionPad2d(kernel_size // 2)
        self.conv2d = nn.Conv2d(in_channels, out_channels, kernel_size, stride)

    def forward(self, x):
        return self.conv2d(self.reflection_pad(x))


class ResidualBlock(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv1 = ConvLayer(channels, channels, kernel_size=3, stride=1)
        self.in1 = nn.InstanceNorm2d(channels, affine=True)
        self.conv2 = ConvLayer(channels, channels, kernel_size=3, stride=1)
        self.in2 = nn.InstanceNorm2d(channels, affine=True)
        self.relu = nn.ReLU()

    def forward(self, x):
        return self.in2(self.conv2(self.relu(self.in1(self.conv1(x))))) + x


class UpsampleConvLayer(nn.Module):
    def __init__(self, in_channels, out_channels, kernel_size, stride, upsample=None):
        super().__init__()
        self.upsample = upsample
        self.reflection_pad = nn.ReflectionPad2d(kernel_size // 2)
        self.conv2d = nn.Conv2d(in_channels, out_channels, kernel_size, stride)

    def forward(self, x):
        if self.upsample:
            x = F.interpolate(x, mode="nearest", scale_factor=self.upsample)
        return self.conv2d(self.reflection_pad(x))


class TransformerNet(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.conv1 = ConvLayer(3, width, kernel_size=9, stride=1)
        self.in1 = nn.InstanceNorm2d(width, affine=True)
        self.conv2 = ConvLayer(width, width * 2, kernel_size=3, stride=2)
        self.in2 = nn.InstanceNorm2d(width * 2, affine=True)
        self.res = nn.Sequential(*[ResidualBlock(width * 2) for _ in range(2)])
        self.deconv1 = UpsampleConvLayer(width * 2, width, kernel_size=3, stride=1, upsample=2)
        self.in3 = nn.InstanceNorm2d(width, affine=True)
        self.deconv2 = ConvLayer(width, 3, kernel_size=9, stride=1)
        self.relu = nn.ReLU()

    def forward(self, X):
        y = self.relu(self.in1(self.conv1(X)))
        y = self.relu(self.in2(self.conv2(y)))
        y = self.relu(self.in3(self.deconv1(self.res(y))))
        return self.deconv2(y)


class Features(nn.Module):
    """The network that looks, which is not trained: its place is VGG's in the real program."""

    def __init__(self):
        super().__init__()
        self.slice1 = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU())
        self.slice2 = nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(6, 8, 3, padding=1), nn.ReLU())
        for param in self.parameters():
            param.requires_grad = False

    def forward(self, X):
        h1 = self.slice1(X)
        return h1, self.slice2(h1)


def gram_matrix(y):
    (b, ch, h, w) = y.size()
    features = y.view(b, ch, w * h)
    return features.bmm(features.transpose(1, 2)) / (ch * h * w)


def build():
    return nn.ModuleDict({"transformer": TransformerNet(), "features": Features()})


def make_batches(draw):
    content, style = draw.random(size=(2, 2, 3, 12, 12))
    return [(content, style)] * 6


def loss_of(model, x, style):
    mse_loss = nn.MSELoss()
    y = model["transformer"](x)
    features_y, features_x = model["features"](y), model["features"](x)
    content_loss = 10.0 * mse_loss(features_y[1], features_x[1])
    style_loss = 0.0
    for ft_y, ft_s in zip(features_y, model["features"](style), strict=True):
        style_loss += mse_loss(gram_matrix(ft_y), gram_matrix(ft_s))
    return content_loss + 100.0 * style_loss, y


def train(model, batches, compiled):
    optimizer = Adam(model["transformer"].parameters(), 3e-3)

    @compiled
    def step(x, style):
        optimizer.zero_grad()
        total_loss, _ = loss_of(model, x, style)
        total_loss.backward()
        optimizer.step()
        return total_loss

    return [step(x, style).item() for x, style in batches], ()
