"""A word language model: an LSTM of two layers whose table of words is also the output layer, and a hidden state that
goes on from window to window without its history. Gradients are clipped, and weights moved by hand."""

import torch
import torch.nn as nn
import torch.nn.functional as F

WORDS, WIDTH, BATCH, WINDOW = 29, 12, 3, 5


class RNNModel(nn.Module):
    def __init__(self, ntoken, ninp, nhid, nlayers, dropout=0.2, tie_weights=True):
        super().__init__()
        self.ntoken, self.nhid, self.nlayers = ntoken, nhid, nlayers
        self.drop = nn.Dropout(dropout)
        self.encoder = nn.Embedding(ntoken, ninp)
        self.rnn = nn.LSTM(ninp, nhid, nlayers, dropout=dropout)
        self.decoder = nn.Linear(nhid, ntoken)
        if tie_weights:
            if nhid != ninp:
                raise ValueError("tied weights need nhid equal to ninp")
            self.decoder.weight = self.encoder.weight
        self.init_weights()

    def init_weights(self):
        nn.init.uniform_(self.encoder.weight, -0.1, 0.1)
        nn.init.zeros_(self.decoder.bias)
        nn.init.uniform_(self.decoder.weight, -0.1, 0.1)

    def forward(self, tokens, hidden):
        emb = self.drop(self.encoder(tokens))
        output, hidden = self.rnn(emb, hidden)
        decoded = self.decoder(self.drop(output)).view(-1, self.ntoken)
        return F.log_softmax(decoded, dim=1), hidden

    def init_hidden(self, bsz):
        weight = next(self.parameters())
        return (weight.new_zeros(self.nlayers, bsz, self.nhid), weight.new_zeros(self.nlayers, bsz, self.nhid))


def repackage(hidden):
    """The same numbers without their history."""
    if isinstance(hidden, torch.Tensor):
        return hidden.detach()
    return tuple(repackage(each) for each in hidden)


def build():
    return RNNModel(WORDS, WIDTH, WIDTH, 2)


def make_batches(draw):
    text = draw.integers(0, WORDS, size=(2 * WINDOW + 1, BATCH))
    windows = [text[start : start + WINDOW + 1] for start in (0, WINDOW)]
    return [(each[:-1], each[1:].reshape(-1)) for each in windows] * 4


def loss_of(model, data, targets):
    output, _ = model(data, model.init_hidden(data.size(1)))
    return nn.NLLLoss()(output, targets), output


def train(model, batches, compiled):
    criterion = nn.NLLLoss()
    lr = 10.0

    @compiled
    def step(data, targets, hidden):
        model.zero_grad()
        hidden = repackage(hidden)
        output, hidden = model(data, hidden)
        loss = criterion(output, targets)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.25)
        for p in model.parameters():
            p.data.add_(p.grad, alpha=-lr)
        return loss, hidden

    model.train()
    losses, hidden = [], model.init_hidden(BATCH)
    for data, targets in batches:
        loss, hidden = step(data, targets, hidden)
        losses.append(loss.item())
    return losses, [each.sum().item() for each in hidden]
