"""Nodes of a graph in classes: each layer mixes what the neighbours say, by a dense adjacency matrix."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.parameter import Parameter
from torch.optim import Adam

NODES, FEATURES, CLASSES = 20, 7, 3


class GraphConv(nn.Module):
    def __init__(self, in_features, out_features, bias=True):
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        self.weight = Parameter(torch.empty(in_features, out_features))
        if bias:
            self.bias = Parameter(torch.empty(out_features))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self):
        stdv = 1.0 / math.sqrt(self.weight.size(1))
        self.weight.data.uniform_(-stdv, stdv)
        if self.bias is not None:
            self.bias.data.uniform_(-stdv, stdv)

    def forward(self, input, adj):
        output = torch.mm(adj, torch.mm(input, self.weight))
        return output if self.bias is None else output + self.bias

    def __repr__(self):
        return f"{self.__class__.__name__} ({self.in_features} -> {self.out_features})"


class GCN(nn.Module):
    def __init__(self, nfeat, nhid, nclass, dropout):
        super().__init__()
        self.gc1 = GraphConv(nfeat, nhid)
        self.gc2 = GraphConv(nhid, nclass, bias=False)
        self.dropout = dropout

    def forward(self, x, adj):
        x = F.relu(self.gc1(x, adj))
        x = F.dropout(x, self.dropout, training=self.training)
        return F.log_softmax(self.gc2(x, adj), dim=1)


def build():
    return GCN(FEATURES, 16, CLASSES, dropout=0.5)


def make_batches(draw):
    edges = draw.random(size=(NODES, NODES)) < 0.2
    adj = (edges | edges.T | np.eye(NODES, dtype=bool)).astype(np.float64)
    degree = adj.sum(axis=1) ** -0.5
    return [(draw.normal(size=(NODES, FEATURES)), degree[:, None] * adj * degree, draw.integers(0, CLASSES, NODES))] * 8


def loss_of(model, features, adj, labels):
    output = model(features, adj)
    seen = torch.arange(0, NODES, 2)
    return F.nll_loss(output[seen], labels[seen]), output


def train(model, batches, compiled):
    optimizer = Adam(model.parameters(), lr=0.02, weight_decay=5e-4)

    @compiled
    def step(features, adj, labels):
        optimizer.zero_grad()
        output = model(features, adj)
        loss = F.nll_loss(output[: NODES // 2], labels[: NODES // 2])
        loss.backward()
        optimizer.step()
        return loss

    model.train()
    losses = [step(*batch).item() for batch in batches]
    model.eval()
    features, adj, labels = batches[0]
    output = model(features, adj)
    preds = output.max(1)[1].type_as(labels)
    correct = preds.eq(labels).double().sum()
    return losses, (correct / len(labels)).item()
