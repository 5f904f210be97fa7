"""Sequence to sequence: a GRU reads, a second one writes word by word and looks back by additive attention."""

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import optim

WORDS, WIDTH, BATCH, LENGTH, SOS = 17, 12, 3, 5, 0


class EncoderRNN(nn.Module):
    def __init__(self, input_size, hidden_size, dropout_p=0.1):
        super().__init__()
        self.embedding = nn.Embedding(input_size, hidden_size)
        self.gru = nn.GRU(hidden_size, hidden_size, batch_first=True)
        self.dropout = nn.Dropout(dropout_p)

    def forward(self, input):
        return self.gru(self.dropout(self.embedding(input)))


class BahdanauAttention(nn.Module):
    def __init__(self, hidden_size):
        super().__init__()
        self.Wa = nn.Linear(hidden_size, hidden_size)
        self.Ua = nn.Linear(hidden_size, hidden_size)
        self.Va = nn.Linear(hidden_size, 1)

    def forward(self, query, keys):
        scores = self.Va(torch.tanh(self.Wa(query) + self.Ua(keys))).squeeze(2).unsqueeze(1)
        weights = F.softmax(scores, dim=-1)
        return torch.bmm(weights, keys), weights


class AttnDecoderRNN(nn.Module):
    def __init__(self, hidden_size, output_size, dropout_p=0.1):
        super().__init__()
        self.embedding = nn.Embedding(output_size, hidden_size)
        self.attention = BahdanauAttention(hidden_size)
        self.gru = nn.GRU(2 * hidden_size, hidden_size, batch_first=True)
        self.out = nn.Linear(hidden_size, output_size)
        self.dropout = nn.Dropout(dropout_p)

    def forward(self, encoder_outputs, encoder_hidden, target_tensor=None):
        batch_size = encoder_outputs.size(0)
        decoder_input = torch.empty(batch_size, 1, dtype=torch.long, device=encoder_outputs.device).fill_(SOS)
        decoder_hidden = encoder_hidden
        outputs, attentions = [], []
        for i in range(LENGTH):
            output, decoder_hidden, weights = self.forward_step(decoder_input, decoder_hidden, encoder_outputs)
            outputs.append(output)
            attentions.append(weights)
            if target_tensor is not None:
                decoder_input = target_tensor[:, i].unsqueeze(1)
            else:
                _, topi = output.topk(1)
                decoder_input = topi.squeeze(-1).detach()
        return F.log_softmax(torch.cat(outputs, dim=1), dim=-1), decoder_hidden, torch.cat(attentions, dim=1)

    def forward_step(self, input, hidden, encoder_outputs):
        embedded = self.dropout(self.embedding(input))
        context, weights = self.attention(hidden.permute(1, 0, 2), encoder_outputs)
        output, hidden = self.gru(torch.cat((embedded, context), dim=2), hidden)
        return self.out(output), hidden, weights


def build():
    return nn.ModuleList([EncoderRNN(WORDS, WIDTH), AttnDecoderRNN(WIDTH, WORDS)])


def make_batches(draw):
    return [tuple(draw.integers(1, WORDS, size=(2, BATCH, LENGTH)))] * 6


def loss_of(model, source, target):
    """Without a teacher: what was written is read again."""
    encoder, decoder = model
    decoder_outputs, hidden, attentions = decoder(*encoder(source))
    loss = nn.NLLLoss()(decoder_outputs.view(-1, decoder_outputs.size(-1)), target.view(-1))
    return loss, (decoder_outputs, hidden, attentions)


def train(model, batches, compiled):
    encoder, decoder = model
    encoder_optimizer = optim.Adam(encoder.parameters(), lr=5e-3)
    decoder_optimizer = optim.Adam(decoder.parameters(), lr=5e-3)
    criterion = nn.NLLLoss()

    @compiled
    def step(source, target):
        encoder_optimizer.zero_grad()
        decoder_optimizer.zero_grad()
        encoder_outputs, encoder_hidden = encoder(source)
        decoder_outputs, _, _ = decoder(encoder_outputs, encoder_hidden, target)
        loss = criterion(decoder_outputs.view(-1, decoder_outputs.size(-1)), target.view(-1))
        loss.backward()
        encoder_optimizer.step()
        decoder_optimizer.step()
        return loss

    return [step(source, target).item() for source, target in batches], ()
