"""The training problems that have a name: what each means, what causes it, what to do about it.

In: nothing. Out: `PROBLEMS`, a `Problem` under each name. The set is closed, and the names are used everywhere: in
findings, in reports, in benchmarks.
"""

from __future__ import annotations

from dataclasses import dataclass

from thalweg.diagnose.remedies import REMEDIES, Remedy


@dataclass(frozen=True)
class Problem:
    """One problem: `meaning` is a sentence for a student; causes and remedies come with the likeliest first.

    >>> PROBLEMS["dying_relu"].remedies[0].name
    'reinitialise_dead_units'
    """

    name: str
    title: str
    meaning: str
    causes: tuple[str, ...]
    remedies: tuple[Remedy, ...]


def _problem(name: str, title: str, meaning: str, causes: tuple[str, ...], remedies: str) -> Problem:
    return Problem(name, title, meaning, causes, tuple([REMEDIES[each] for each in remedies.split()]))


_ALL = (
    _problem("vanishing_gradient", "vanishing gradient",
             "The gradient shrinks layer by layer on its way back, so the first layers hardly move.",
             ("many sigmoid or tanh layers", "initial weights that are too small", "a long plain recurrence"),
             "fitted_initialisation adaptive_optimizer normalise_layers rectifier skip_connections gated_recurrence "
             "shorter_sequences"),
    _problem("exploding_gradient", "exploding gradient",
             "The gradient grows layer by layer or step by step until an update throws the weights far away.",
             ("initial weights that are too large", "inputs or targets that are not scaled", "a high learning rate",
              "a recurrence that amplifies"),
             "clip_gradients lower_learning_rate fitted_initialisation scale_inputs scale_targets normalise_layers"),
    _problem("dying_relu", "dead units",
             "Units are zero for every example, so their gradient is exactly zero and they can never learn again.",
             ("an early step that was too large", "negative biases", "narrow and deep networks"),
             "reinitialise_dead_units lower_learning_rate zero_biases leaky_rectifier normalise_layers"),
    _problem("saturated_activation", "saturated units",
             "Most outputs of a sigmoid or tanh layer lie at its bounds, where its slope and the gradient are near 0.",
             ("initial weights that are too large", "inputs that are not scaled", "a high learning rate"),
             "scale_inputs fitted_initialisation lower_learning_rate normalise_layers rectifier"),
    _problem("oscillating_loss", "oscillating loss",
             "The loss swings up and down and does not get below a level that it has already visited.",
             ("a learning rate that is high for the batch", "too much momentum", "very small batches"),
             "lower_learning_rate decay_rate larger_batch less_momentum adaptive_optimizer"),
    _problem("slow_convergence", "slow convergence",
             "The loss falls steadily, but so slowly that the run ends far from what is reachable.",
             ("too few updates", "a low learning rate", "features or layers of very unequal scale"),
             "raise_learning_rate adaptive_optimizer train_longer fitted_initialisation scale_inputs normalise_layers"),
    _problem("learning_rate_too_high", "learning rate too high",
             "Each step overshoots: it goes past the bottom of the valley and often up the other side.",
             ("a learning rate above what the loss's curvature allows", "no warm-up", "a summed loss"),
             "lower_learning_rate warm_up clip_gradients larger_epsilon"),
    _problem("learning_rate_too_low", "learning rate too low",
             "Each step changes the weights by so little that training would need very many of them.",
             ("a small learning rate", "a schedule that lowers it too early", "AdaGrad, whose rate only falls"),
             "raise_learning_rate slower_decay adaptive_optimizer"),
    _problem("plateau", "plateau",
             "The loss learnt for a while and then stopped moving, above what is reachable.",
             ("a learning rate that no longer fits", "units that died", "a saddle"),
             "decay_rate raise_learning_rate adaptive_optimizer normalise_layers"),
    _problem("overfitting", "overfitting",
             "The network learns its training examples by heart: on new ones it gets worse.",
             ("few examples for many weights", "wrong labels", "training for too long"),
             "stop_early add_penalty more_dropout more_data less_capacity"),
    _problem("underfitting", "underfitting",
             "The network cannot even fit its training examples, however long it trains.",
             ("too few units or layers", "too much regularisation", "inputs that do not determine the target"),
             "more_capacity train_longer weaken_penalty less_dropout check_labels"),
    _problem("over_regularized", "over-regularised",
             "A penalty or dropout outweighs the data: weights shrink, or noise drowns the signal.",
             ("a penalty that is orders of magnitude too large", "dropout near 1"),
             "weaken_penalty less_dropout"),
    _problem("bad_initialization", "bad initial weights",
             "The weights start where the signal dies, explodes, or is the same in every unit of a layer.",
             ("zeros or constants, which make all units equal", "a spread that does not fit the layer's width"),
             "fitted_initialisation fresh_initialisation zero_biases normalise_layers"),
    _problem("unscaled_input", "unscaled input",
             "The inputs or targets are far from unit size, so the first layer's steps are much too large or small.",
             ("pixels from 0 to 255", "features of unequal range", "targets in the thousands", "scaling done twice"),
             "scale_inputs scale_targets normalise_layers"),
    _problem("wrong_output_activation", "wrong output activation",
             "The last layer's activation cannot give the targets, or not what the loss expects.",
             ("softmax over a single unit", "softmax before a loss that applies it again",
              "a bounded activation for unbounded targets"),
             "matching_output matching_loss scale_targets"),
    _problem("wrong_loss", "wrong loss",
             "The loss that is minimised is not what the task asks for, so it may fall while nothing useful is learnt.",
             ("squared error on classes", "labels coded otherwise than the loss expects", "shapes that broadcast",
              "a flipped sign"),
             "matching_loss recode_labels matching_shapes remove_flipped_sign"),
    _problem("label_range", "labels out of range",
             "Some labels are outside what the loss or the output layer can represent.",
             ("classes counted from 1", "more classes than outputs", "labels -1 and 1 for a loss of 0 and 1"),
             "recode_labels matching_output matching_loss"),
    _problem("class_imbalance", "class imbalance",
             "One class is so frequent that always predicting it looks like success; the rare ones are never found.",
             ("skewed labels",),
             "class_weights balanced_metric more_data"),
    _problem("non_finite", "values that are not finite",
             "A NaN or an infinity appeared; from then on every weight that it reaches is lost.",
             ("overflow after a step that was too large", "logarithm or division by zero", "gaps in the data"),
             "clean_data lower_learning_rate clip_gradients guard_operation fitted_initialisation scale_inputs"),
    _problem("degenerate_signal", "signal that has lost its input",
             "A deep layer gives nearly the same output for every example, so nothing after it can tell them apart.",
             ("many plain layers without skip connections", "initial weights that fit no signal"),
             "skip_connections normalise_layers fewer_layers fitted_initialisation"),
    _problem("train_eval_disagreement", "training and evaluation disagree",
             "The same examples have another loss in evaluation mode than while training.",
             ("running statistics of batch normalisation that lag behind", "very small batches", "heavy dropout"),
             "steadier_statistics larger_batch less_dropout"),
    _problem("frozen_parameter", "frozen parameter",
             "A parameter is excluded from training, so its layer keeps its initial values.",
             ("requires_grad is False", "frozen for transfer learning, on purpose"),
             "unfreeze"),
    _problem("unused_parameter", "unused parameter",
             "A parameter is in the model, but the forward pass does not read it: it never changes and does nothing.",
             ("a layer that forward() does not call", "a layer that was replaced and left behind"),
             "use_or_remove"),
    _problem("untouched_parameter", "parameter that nothing moves",
             "A parameter takes part in the forward pass and is meant to be trained, but no update ever reaches it.",
             ("the optimizer was made before the layer was added", "a parameter group was left out",
              "detach() or NumPy on the way to the loss", "rounding or a comparison, whose slope is zero"),
             "register_parameter keep_in_graph"),
    _problem("data_leakage", "data leakage",
             "Examples of the validation part are also in the training part, so its result is too good.",
             ("duplicates in the data", "a split after augmentation"),
             "remove_duplicates"),
    _problem("wrong_gradient", "wrong gradient",
             "Backpropagation gives another slope than the loss has, so the steps do not go downhill.",
             ("detach(), no_grad() or NumPy in the middle of the forward pass", "rounding or a comparison",
              "a kink exactly at this point"),
             "keep_in_graph"),
)  # fmt: skip

PROBLEMS: dict[str, Problem] = {each.name: each for each in _ALL}
