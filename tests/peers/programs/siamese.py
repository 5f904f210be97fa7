"""Whether two digits are the same: one network looks at both, a second one at what it says of them."""

import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim


class SiameseNetwork(nn.Module):
    def __init__(self):
        super().__init__()
        self.trunk = nn.Sequential(
            nn.Conv2d(1, 8, kernel_size=5, stride=2, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2, stride=2),
            nn.Conv2d(8, 16, kernel_size=3, padding=1),
            nn.ReLU(inplace=True),
            nn.AdaptiveAvgPool2d((2, 2)),
        )
        self.fc_in_features = 16 * 2 * 2
        self.fc = nn.Sequential(
            nn.Linear(self.fc_in_features * 2, 32),
            nn.ReLU(inplace=True),
            nn.Linear(32, 1),
        )
        self.sigmoid = nn.Sigmoid()
        self.trunk.apply(self.init_weights)
        self.fc.apply(self.init_weights)

    def init_weights(self, m):
        if isinstance(m, nn.Linear):
            torch.nn.init.xavier_uniform_(m.weight)
            m.bias.data.fill_(0.01)

    def forward_once(self, x):
        output = self.trunk(x)
        return output.view(output.size()[0], -1)

    def forward(self, input1, input2):
        output = torch.cat((self.forward_once(input1), self.forward_once(input2)), 1)
        return self.sigmoid(self.fc(output))


def build():
    return SiameseNetwork()


def make_batches(draw):
    first, second = draw.normal(size=(2, 6, 1, 28, 28))
    return [(first, second, draw.integers(0, 2, size=6).astype(first.dtype))] * 6


def loss_of(model, first, second, targets):
    outputs = model(first, second).squeeze()
    return F.binary_cross_entropy(outputs, targets), outputs


def train(model, batches, compiled):
    optimizer = optim.Adadelta(model.parameters(), lr=1.0)
    criterion = nn.BCELoss()

    @compiled
    def step(first, second, targets):
        optimizer.zero_grad()
        loss = criterion(model(first, second).squeeze(), targets)
        loss.backward()
        optimizer.step()
        return loss

    model.train()
    losses = [step(*batch).item() for batch in batches]
    model.eval()
    with torch.no_grad():
        first, second, targets = batches[0]
        outputs = model(first, second).squeeze()
        pred = torch.where(outputs > 0.5, 1, 0)
        return losses, (criterion(outputs, targets).item(), pred.eq(targets.view_as(pred)).sum().item())
