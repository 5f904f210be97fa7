"""What can be done about a training problem: the closed set of remedies, as data.

In: nothing. Out: `REMEDIES`, a `Remedy` under each name: a sentence for a person, and the code to write. `intrusion`
says how much of the user's set-up it changes; repair tries the least intrusive first.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Intrusion(IntEnum):
    """How much a remedy changes; what comes first is tried first."""

    SETTING = 1
    """A number of the optimizer or the loop: rate, clipping, momentum, penalty, when to stop."""
    WEIGHTS = 2
    """Values of weights are drawn again."""
    DATA = 3
    """What reaches the network: scaling, labels, weights of classes."""
    OBJECTIVE = 4
    """Output activation or loss."""
    ARCHITECTURE = 5
    """Layers: activations, normalisation, skip connections, width."""
    PERSON = 6
    """Only a person can do it: more data, another question."""


@dataclass(frozen=True)
class Remedy:
    """One thing to do: `text` is a sentence, `code` what to write where there is something to write."""

    name: str
    text: str
    code: str = ""
    intrusion: Intrusion = Intrusion.SETTING


_SETTING, _WEIGHTS, _DATA, _OBJECTIVE, _ARCHITECTURE, _PERSON = Intrusion

_ALL = (
    Remedy("clip_gradients", "Limit the norm of the gradient before each update.", "tw.Trainer(..., clip_norm=1.0)"),
    Remedy("lower_learning_rate", "Divide the learning rate by 3 to 10.", "optimizer.param_groups[0]['lr'] /= 10"),
    Remedy("raise_learning_rate", "Multiply the learning rate by 3 to 10.", "optimizer.param_groups[0]['lr'] *= 10"),
    Remedy("warm_up", "Start with a small rate and raise it over the first steps.",
           "lr=schedules.Product(schedules.Constant(lr), schedules.LinearWarmup(1.0, 200))"),
    Remedy("decay_rate", "Lower the rate as training goes on.", "lr=tw.optim.schedules.CosineAnnealing(lr, steps)"),
    Remedy("slower_decay", "Let the schedule lower the rate later, or less.",
           "lr=tw.optim.schedules.CosineAnnealing(lr, steps)"),
    Remedy("less_momentum", "Use less momentum.", "tw.optim.SGD(parameters, lr=lr, momentum=0.5)"),
    Remedy("larger_batch", "Average the gradient over more examples.", "trainer.fit(..., batch_size=128)"),
    Remedy("adaptive_optimizer", "Use an optimizer that scales each weight's step by itself.",
           "tw.Trainer(model, optimizer='adam', lr=1e-3)"),
    Remedy("larger_epsilon", "Use the optimizer's usual epsilon.", "tw.optim.Adam(parameters, eps=1e-8)"),
    Remedy("train_longer", "Make more updates: more epochs or smaller batches.", "trainer.fit(..., epochs=100)"),
    Remedy("stop_early", "Stop where the validation loss is lowest, and keep those weights.",
           "tw.callbacks.EarlyStopping(patience=5, restore_best_weights=True)"),
    Remedy("add_penalty", "Penalise large weights.", "tw.optim.L2(1e-4, model.named_parameters())"),
    Remedy("weaken_penalty", "Make the penalty 10 to 100 times smaller, or leave it out.",
           "tw.optim.L2(1e-5, model.named_parameters())"),
    Remedy("less_dropout", "Drop a smaller share of the units.", "nn.Dropout(0.2)"),
    Remedy("more_dropout", "Drop a share of the units while training.", "nn.Dropout(0.3)", _ARCHITECTURE),
    Remedy("remove_flipped_sign", "Minimise the loss: a negative rate, or a flipped sign, climbs it.",
           "tw.optim.SGD(parameters, lr=0.01, maximize=False)"),
    Remedy("fitted_initialisation", "Draw the weights with the spread that fits the activation.",
           "nn.init.kaiming_normal_(layer.weight, nonlinearity='relu')  # tanh, sigmoid: nn.init.xavier_normal_",
           _WEIGHTS),
    Remedy("fresh_initialisation", "Draw the weights again, from another seed.",
           "tw.manual_seed(1)  # before the model is built", _WEIGHTS),
    Remedy("reinitialise_dead_units", "Draw the weights of the dead units again, with a bias of zero.",
           "nn.init.kaiming_normal_(layer.weight); nn.init.zeros_(layer.bias)", _WEIGHTS),
    Remedy("zero_biases", "Start the biases at zero.", "nn.init.zeros_(layer.bias)", _WEIGHTS),
    Remedy("scale_inputs", "Bring the inputs to mean 0 and standard deviation 1.",
           "x = tw.data.Standardise().fit_transform(x)", _DATA),
    Remedy("scale_targets", "Bring the targets to mean 0 and standard deviation 1, and scale predictions back.",
           "y = (y - y.mean()) / y.std()", _DATA),
    Remedy("clean_data", "Remove or fill what is not a number before training.",
           "keep = np.isfinite(x).all(axis=1); x, y = x[keep], y[keep]", _DATA),
    Remedy("recode_labels", "Give the labels as the loss counts them: 0, 1, ..., classes - 1.",
           "y = np.unique(y, return_inverse=True)[1]", _DATA),
    Remedy("class_weights", "Weigh rare classes more.", "tw.Trainer(..., class_weight='balanced')", _DATA),
    Remedy("balanced_metric", "Judge by a metric that counts every class alike.",
           "tw.Trainer(..., metrics=['balanced_accuracy'])", _DATA),
    Remedy("remove_duplicates", "Keep equal examples on one side of the split.",
           "x, first = np.unique(x, axis=0, return_index=True); y = y[first]", _DATA),
    Remedy("matching_shapes", "Give predictions and targets the same shape.", "prediction.squeeze(1)", _OBJECTIVE),
    Remedy("matching_loss", "Use the loss that the targets ask for.",
           "tw.Trainer(model, loss='cross_entropy')  # numbers: loss='mse'", _OBJECTIVE),
    Remedy("matching_output", "End with the activation that the loss asks for: none for cross_entropy and mse.",
           "nn.Sequential(..., nn.Linear(hidden, classes))", _OBJECTIVE),
    Remedy("guard_operation", "Keep the operation inside the numbers that it is defined for.",
           "(x + 1e-8).log()  # or x.clamp(min=1e-8)", _OBJECTIVE),
    Remedy("rectifier", "Use an activation of the ReLU family in the hidden layers.", "nn.ReLU()", _ARCHITECTURE),
    Remedy("leaky_rectifier", "Use an activation that lets a little through everywhere.", "nn.LeakyReLU(0.1)",
           _ARCHITECTURE),
    Remedy("normalise_layers", "Normalise between a layer and its activation.", "nn.BatchNorm1d(features)",
           _ARCHITECTURE),
    Remedy("skip_connections", "Add the input of every two layers to their output.", "x = x + block(x)",
           _ARCHITECTURE),
    Remedy("gated_recurrence", "Use a recurrent layer with gates.", "nn.LSTM(features, hidden)", _ARCHITECTURE),
    Remedy("shorter_sequences", "Cut the sequences, or let the loss see every step, not the last one alone.",
           "outputs, _ = rnn(x); head(outputs.mean(1))", _ARCHITECTURE),
    Remedy("fewer_layers", "Use fewer layers.", "", _ARCHITECTURE),
    Remedy("more_capacity", "Use wider or more layers.", "nn.Linear(features, 256)", _ARCHITECTURE),
    Remedy("less_capacity", "Use narrower or fewer layers.", "", _ARCHITECTURE),
    Remedy("steadier_statistics", "Use larger batches or a smaller momentum, so that the running statistics fit.",
           "nn.BatchNorm1d(features, momentum=0.1)", _ARCHITECTURE),
    Remedy("unfreeze", "Let the parameter be trained.", "parameter.requires_grad_(True)"),
    Remedy("register_parameter", "Give the parameter to the optimizer.",
           "optimizer.add_param_group({'params': layer.parameters()})"),
    Remedy("use_or_remove", "Use the layer in forward(), or remove it.", "", _ARCHITECTURE),
    Remedy("keep_in_graph", "Compute with tensor operations that have a slope, all the way from weights to loss.",
           "x = layer(x)  # without .detach(), .numpy(), .item(), .round()", _ARCHITECTURE),
    Remedy("more_data", "Collect more examples, or vary those that are there.", "", _PERSON),
    Remedy("check_labels", "Look at some examples with their labels.", "", _PERSON),
)  # fmt: skip

REMEDIES: dict[str, Remedy] = {each.name: each for each in _ALL}
