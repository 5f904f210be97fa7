"""A generator of transposed convolutions and a discriminator of strided ones, trained against each other."""

import torch
import torch.nn as nn
from torch import optim

NOISE, WIDTH = 10, 4


def weights_init(m):
    classname = m.__class__.__name__
    if classname.find("Conv") != -1:
        torch.nn.init.normal_(m.weight, 0.0, 0.02)
    elif classname.find("BatchNorm") != -1:
        torch.nn.init.normal_(m.weight, 1.0, 0.02)
        torch.nn.init.zeros_(m.bias)


class Generator(nn.Module):
    def __init__(self, nz, ngf, nc=3):
        super().__init__()
        layers, channels = [], nz
        for index, factor in enumerate((8, 4, 2, 1)):
            stride, padding = (1, 0) if index == 0 else (2, 1)
            layers += [
                nn.ConvTranspose2d(channels, ngf * factor, 4, stride, padding, bias=False),
                nn.BatchNorm2d(ngf * factor),
                nn.ReLU(True),
            ]
            channels = ngf * factor
        self.main = nn.Sequential(*layers, nn.ConvTranspose2d(channels, nc, 4, 2, 1, bias=False), nn.Tanh())

    def forward(self, input):
        return self.main(input)


class Discriminator(nn.Module):
    def __init__(self, ndf, nc=3):
        super().__init__()
        layers = [nn.Conv2d(nc, ndf, 4, 2, 1, bias=False), nn.LeakyReLU(0.2, inplace=True)]
        for factor in (1, 2, 4):
            layers.append(nn.Conv2d(ndf * factor, ndf * factor * 2, 4, 2, 1, bias=False))
            layers.append(nn.BatchNorm2d(ndf * factor * 2))
            layers.append(nn.LeakyReLU(0.2, inplace=True))
        self.main = nn.Sequential(*layers, nn.Conv2d(ndf * 8, 1, 4, 1, 0, bias=False), nn.Sigmoid())

    def forward(self, input):
        return self.main(input).view(-1, 1).squeeze(1)


def build():
    model = nn.ModuleDict({"generator": Generator(NOISE, WIDTH), "discriminator": Discriminator(WIDTH)})
    model.apply(weights_init)
    return model


def make_batches(draw):
    real = draw.uniform(-1, 1, size=(4, 3, 64, 64))
    return [(real, draw.normal(size=(4, NOISE, 1, 1)))] * 5


def loss_of(model, real, noise):
    criterion = nn.BCELoss()
    fake = model["generator"](noise)
    scores = model["discriminator"](real), model["discriminator"](fake)
    label = torch.full((real.size(0),), 1.0, dtype=real.dtype, device=real.device)
    return criterion(scores[0], label) + criterion(scores[1], torch.zeros_like(label)), (fake, *scores)


def train(model, batches, compiled):
    netG, netD = model["generator"], model["discriminator"]
    criterion = nn.BCELoss()
    optimizerD = optim.Adam(netD.parameters(), lr=2e-3, betas=(0.5, 0.999))
    optimizerG = optim.Adam(netG.parameters(), lr=2e-4, betas=(0.5, 0.999))

    @compiled
    def step(real, noise):
        netD.zero_grad()
        label = torch.full((real.size(0),), 1.0, dtype=real.dtype, device=real.device)
        errD_real = criterion(netD(real), label)
        errD_real.backward()
        fake = netG(noise)
        label.fill_(0.0)
        errD_fake = criterion(netD(fake.detach()), label)
        errD_fake.backward()
        optimizerD.step()

        netG.zero_grad()
        label.fill_(1.0)
        errG = criterion(netD(fake), label)
        errG.backward()
        optimizerG.step()
        return errD_real + errD_fake, errG

    losses = [[each.item() for each in step(real, noise)] for real, noise in batches]
    return [errD for errD, _ in losses], [errG for _, errG in losses]
