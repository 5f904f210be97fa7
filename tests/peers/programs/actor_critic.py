"""A policy and the value of states on one trunk, trained on whole episodes of a toy world: a cart in a corridor."""

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim

STEPS, GAMMA = 8, 0.9


DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


class Policy(nn.Module):
    def __init__(self):
        super().__init__()
        self.affine1 = nn.Linear(2, 32)
        self.action_head = nn.Linear(32, 2)
        self.value_head = nn.Linear(32, 1)

    def forward(self, x):
        x = F.relu(self.affine1(x))
        return F.softmax(self.action_head(x), dim=-1), self.value_head(x)


def build():
    return Policy()


def make_batches(draw):
    """An episode that was seen, and the chances by which actions are taken in the next one."""
    states, returns = draw.normal(size=(STEPS, 2)), draw.normal(size=STEPS)
    return [(states, draw.integers(0, 2, size=STEPS), returns, draw.random(size=STEPS))] * 6


def play(model, chances):
    """One episode of the corridor: states, actions, rewards; to stay in the middle is rewarded."""
    place, speed, states, actions, rewards = 0.5, 0.0, [], [], []
    for chance in chances:
        state = torch.tensor([place, speed], dtype=model.affine1.weight.dtype)
        with torch.no_grad():
            probs, _ = model(state)
        action = int(chance.item() > probs[0].item())
        speed = 0.8 * speed + (0.3 if action else -0.3)
        place += speed
        states.append(state)
        actions.append(action)
        rewards.append(1.0 - abs(place))
    return torch.stack(states), torch.tensor(actions), rewards


def returns_of(rewards, like):
    R, returns = 0.0, []
    for r in rewards[::-1]:
        R = r + GAMMA * R
        returns.insert(0, R)
    returns = torch.tensor(returns, dtype=like.dtype, device=like.device)
    return (returns - returns.mean()) / (returns.std() + np.finfo(np.float32).eps.item())


def episode_loss(model, states, actions, returns):
    probs, values = model(states)
    log_prob = probs.log().gather(1, actions.unsqueeze(1)).squeeze(1)
    advantage = returns - values.detach().squeeze(-1)
    return (-log_prob * advantage).sum() + F.smooth_l1_loss(values.squeeze(-1), returns, reduction="sum"), probs


def loss_of(model, states, actions, returns, chances):
    return episode_loss(model, states, actions, returns)


def train(model, batches, compiled):
    optimizer = optim.Adam(model.parameters(), lr=1e-2)

    @compiled
    def finish_episode(states, actions, returns):
        optimizer.zero_grad()
        loss, _ = episode_loss(model, states, actions, returns)
        loss.backward()
        optimizer.step()
        return loss

    losses, rewarded = [], 0.0
    for *_, chances in batches:
        states, actions, rewards = play(model, chances)
        rewarded = 0.05 * sum(rewards) + 0.95 * rewarded
        losses.append(finish_episode(states, actions, returns_of(rewards, states)).item())
    return losses, rewarded
