"""Layers that learn one by one: each makes what it says of right labels large and of wrong ones small."""

import torch
import torch.nn as nn
from torch.optim import Adam

CLASSES, THRESHOLD = 3, 1.0


def with_label(x, y):
    """The label, one-hot, in the first entries of the picture."""
    x_ = x.clone()
    x_[:, :CLASSES] *= 0.0
    x_[range(x.shape[0]), y] = x.max()
    return x_


class Layer(nn.Linear):
    def __init__(self, in_features, out_features, bias=True):
        super().__init__(in_features, out_features, bias=bias)
        self.relu = nn.ReLU()

    def forward(self, x):
        direction = x / (x.norm(2, 1, keepdim=True) + 1e-4)
        return self.relu(torch.mm(direction, self.weight.T) + self.bias.unsqueeze(0))

    def loss(self, x_pos, x_neg):
        g_pos = self.forward(x_pos).pow(2).mean(1)
        g_neg = self.forward(x_neg).pow(2).mean(1)
        return torch.log(1 + torch.exp(torch.cat([-g_pos + THRESHOLD, g_neg - THRESHOLD]))).mean()


class Net(nn.Module):
    def __init__(self, dims):
        super().__init__()
        self.layers = nn.ModuleList()
        for d in range(len(dims) - 1):
            self.layers.append(Layer(dims[d], dims[d + 1]))

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x

    def predict(self, x):
        goodness = []
        for label in range(CLASSES):
            h, total = with_label(x, torch.full((len(x),), label)), 0
            for layer in self.layers:
                h = layer(h)
                total = total + h.pow(2).mean(1)
            goodness += [total.unsqueeze(1)]
        return torch.cat(goodness, 1).argmax(1)


def build():
    return Net([16, 24, 24])


def make_batches(draw):
    x, y = draw.normal(size=(6, 16)), draw.integers(0, CLASSES, size=6)
    return [(x, y, (y + draw.integers(1, CLASSES, size=6)) % CLASSES)] * 6


def loss_of(model, x, y, wrong):
    h_pos, h_neg, total = with_label(x, y), with_label(x, wrong), 0
    for layer in model.layers:
        total = total + layer.loss(h_pos, h_neg)
        h_pos, h_neg = layer(h_pos).detach(), layer(h_neg).detach()
    return total, (h_pos, h_neg)


def train(model, batches, compiled):
    optimizers = [Adam(layer.parameters(), lr=0.03) for layer in model.layers]
    losses = []
    for layer, opt in zip(model.layers, optimizers, strict=True):

        @compiled
        def step(x_pos, x_neg, layer=layer, opt=opt):
            loss = layer.loss(x_pos, x_neg)
            opt.zero_grad()
            loss.backward()
            opt.step()
            return loss

        for x, y, wrong in batches:
            inputs = [with_label(x, y), with_label(x, wrong)]
            for below in model.layers:
                if below is layer:
                    break
                inputs = [below(each).detach() for each in inputs]
            losses.append(step(*inputs).item())
    accuracy = model.predict(batches[0][0]).eq(batches[0][1]).to(torch.float64).mean()
    return losses[: len(batches)], (losses, accuracy.item())
