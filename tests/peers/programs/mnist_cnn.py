"""Handwritten digits by two convolutions, with dropout, log_softmax and a rate that falls after every epoch."""

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import optim
from torch.optim.lr_scheduler import StepLR


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, 3, 1)
        self.conv2 = nn.Conv2d(32, 64, 3, 1)
        self.drop_maps = nn.Dropout2d(0.25)
        self.drop_units = nn.Dropout(0.5)
        self.fc1 = nn.Linear(9216, 128)
        self.fc2 = nn.Linear(128, 10)

    def forward(self, x):
        x = F.relu(self.conv1(x))
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = torch.flatten(self.drop_maps(x), 1)
        x = self.drop_units(F.relu(self.fc1(x)))
        return F.log_softmax(self.fc2(x), dim=1)


def build():
    return Net()


def make_batches(draw):
    data = draw.normal(size=(4, 1, 28, 28))
    return [(data, draw.integers(0, 10, size=4))] * 6


def loss_of(model, data, target):
    output = model(data)
    return F.nll_loss(output, target), output


def train(model, batches, compiled):
    optimizer = optim.Adadelta(model.parameters(), lr=0.5)
    scheduler = StepLR(optimizer, step_size=1, gamma=0.7)

    @compiled
    def step(data, target):
        optimizer.zero_grad()
        loss = F.nll_loss(model(data), target)
        loss.backward()
        optimizer.step()
        return loss

    losses = []
    for epoch in range(2):
        model.train()
        for data, target in batches[3 * epoch : 3 * epoch + 3]:
            losses.append(step(data, target).item())
        scheduler.step()
    model.eval()
    correct, test_loss = 0, 0.0
    with torch.no_grad():
        for data, target in batches[:1]:
            output = model(data)
            test_loss += F.nll_loss(output, target, reduction="sum").item()
            guess = output.argmax(dim=1, keepdim=True)
            correct += guess.eq(target.view_as(guess)).sum().item()
    return losses, (test_loss / len(batches[0][0]), correct)
