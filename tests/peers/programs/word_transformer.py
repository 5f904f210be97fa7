"""A word language model: a transformer encoder that may not look ahead, with positions as sines and cosines."""

import math

import torch
import torch.nn as nn
import torch.nn.functional as F

WORDS, BATCH, WINDOW = 23, 3, 6


class PositionalEncoding(nn.Module):
    def __init__(self, d_model, dropout=0.1, max_len=64):
        super().__init__()
        self.dropout = nn.Dropout(p=dropout)
        pe = torch.zeros(max_len, d_model)
        position = torch.arange(0, max_len, dtype=torch.float).unsqueeze(1)
        rates = torch.exp(torch.arange(0, d_model, 2).float() * (-math.log(10000.0) / d_model))
        pe[:, 0::2] = torch.sin(position * rates)
        pe[:, 1::2] = torch.cos(position * rates)
        self.register_buffer("pe", pe.unsqueeze(0).transpose(0, 1))

    def forward(self, x):
        return self.dropout(x + self.pe[: x.size(0), :])


class TransformerModel(nn.Module):
    def __init__(self, ntoken, ninp, nhead, nhid, nlayers, dropout=0.2):
        super().__init__()
        self.model_type = "Transformer"
        self.src_mask = None
        self.ninp = ninp
        self.input_emb = nn.Embedding(ntoken, ninp)
        self.pos_encoder = PositionalEncoding(ninp, dropout)
        layer = nn.TransformerEncoderLayer(ninp, nhead, nhid, dropout)
        self.encoder = nn.TransformerEncoder(layer, nlayers, enable_nested_tensor=False)
        self.decoder = nn.Linear(ninp, ntoken)
        for p in self.parameters():
            if p.dim() > 1:
                nn.init.xavier_uniform_(p)

    def _mask(self, sz):
        return torch.log(torch.tril(torch.ones(sz, sz)))

    def forward(self, src, has_mask=True):
        mask = None
        if has_mask:
            mask = self._mask(len(src)).to(device=src.device, dtype=self.decoder.weight.dtype)
        src = self.input_emb(src) * math.sqrt(self.ninp)
        output = self.encoder(self.pos_encoder(src), mask=mask)
        return F.log_softmax(self.decoder(output), dim=-1)


def build():
    return TransformerModel(WORDS, 16, 2, 24, 2)


def make_batches(draw):
    text = draw.integers(0, WORDS, size=(WINDOW + 1, BATCH))
    return [(text[:-1], text[1:].reshape(-1))] * 6


def loss_of(model, data, targets):
    output = model(data)
    return F.nll_loss(output.view(-1, output.size(-1)), targets), output


def train(model, batches, compiled):
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)

    @compiled
    def step(data, targets):
        optimizer.zero_grad()
        loss, _ = loss_of(model, data, targets)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()
        return loss

    model.train()
    return [step(data, targets).item() for data, targets in batches], ()
