"""A variational autoencoder of digits: the code is drawn by a mean and a log variance that gradients reach."""

import torch
from torch import nn, optim
from torch.nn import functional as F


class VAE(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(784, 400)
        self.fc21 = nn.Linear(400, 20)
        self.fc22 = nn.Linear(400, 20)
        self.fc3 = nn.Linear(20, 400)
        self.fc4 = nn.Linear(400, 784)

    def encode(self, x):
        h = F.relu(self.fc1(x))
        return self.fc21(h), self.fc22(h)

    def reparameterize(self, mu, logvar):
        std = torch.exp(0.5 * logvar)
        return mu + torch.randn_like(std) * std

    def decode(self, z):
        return torch.sigmoid(self.fc4(F.relu(self.fc3(z))))

    def forward(self, x):
        mu, logvar = self.encode(x.view(-1, 784))
        return self.decode(self.reparameterize(mu, logvar)), mu, logvar


def bound(recon, x, mu, logvar):
    """What is lost of the picture, and how far the code is from a standard normal distribution."""
    bce = F.binary_cross_entropy(recon, x.view(-1, 784), reduction="sum")
    return bce - 0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())


def build():
    return VAE()


def make_batches(draw):
    return [(draw.random(size=(4, 1, 28, 28)),)] * 6


def loss_of(model, data):
    recon, mu, logvar = model(data)
    return bound(recon, data, mu, logvar), (recon, mu, logvar)


def train(model, batches, compiled):
    optimizer = optim.Adam(model.parameters(), lr=1e-3)

    @compiled
    def step(data):
        optimizer.zero_grad()
        recon_batch, mu, logvar = model(data)
        loss = bound(recon_batch, data, mu, logvar)
        loss.backward()
        optimizer.step()
        return loss

    model.train()
    losses = [step(data).item() / len(data) for (data,) in batches]
    model.eval()
    with torch.no_grad():
        sample = model.decode(torch.ones(2, 20, dtype=batches[0][0].dtype)).cpu()
    return losses, sample.view(2, 1, 28, 28).mean().item()
