"""Writing text with a language model, one token after the other: greedy, by temperature, from the k or the p likeliest.

In: a model with `start`, `step` and `context`, and the tokens of a prompt. Out: the prompt and what the model makes of
it. A step looks at one token; what the model needs to know of the others lies in its cache, in tensors that keep their
shapes, so that a compiled step serves all positions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from thalweg.errors import ArgumentError, DTypeError, ShapeError, explain
from thalweg.nn.settings import whole_number
from thalweg.tensor import Generator, Tensor, compile, no_grad, rand, scan, tensor
from thalweg.tensor.holding import Version
from thalweg.tensor.methods import functions

TOGETHER = 16
"""Tokens that one compiled call writes, a loop in which each is drawn and read; the rest of a text one by one."""

_where, _argmax = functions["where"], functions["argmax"]


class LanguageModel(Protocol):
    """What can be asked for the next token."""

    context: int | None
    training: bool

    def __call__(self, tokens: Any) -> Any: ...
    def eval(self) -> Any: ...
    def train(self, mode: bool = True) -> Any: ...
    def start(self, batch: int) -> Any: ...
    def step(self, tokens: Tensor, position: Tensor, cache: Any) -> Tensor: ...


def sample(
    logits: Any, temperature: float = 1.0, top_k: int | None = None, top_p: float | None = None,
    generator: Generator | None = None,
) -> Tensor:  # fmt: skip
    """Draw from softmax(logits / temperature): (N, V) to (N,).

    Args:
        temperature: below 1 likely tokens become likelier; 0 takes the likeliest (greedy). Default 1.
        top_k: only the k likeliest may be drawn. Default None, all.
        top_p: only the likeliest whose probabilities together come to p (Holtzman et al., ICLR 2020). Default None.
        generator: default the one that `tw.manual_seed` seeds.

    Drawn as the maximum of logits + Gumbel noise, which has exactly these probabilities. Raises ArgumentError for
    settings out of range.

    >>> import thalweg as tw
    >>> sample(tw.tensor([[0.0, 5.0, 1.0]]), temperature=0)
    tensor([1])
    """
    _check_settings(temperature, top_k, top_p)
    logits = logits.detach()
    if temperature == 0:
        return _argmax(logits, -1)  # type: ignore[no-any-return]
    scaled = logits / temperature
    if top_k is not None:
        k = min(top_k, logits.shape[-1])
        scaled = _where(scaled < scaled.topk(k, -1).values[:, k - 1 :], -np.inf, scaled)
    if top_p is not None:
        scaled = _nucleus(scaled, top_p)
    uniform: Any = rand(*logits.shape, generator=generator, dtype=logits.dtype)
    return _argmax(scaled - (-uniform.log()).log(), -1)  # type: ignore[no-any-return]


def _nucleus(logits: Any, p: float) -> Any:
    """A token stays if the likelier ones before it do not come to p yet."""
    ordered = logits.softmax(-1).sort(-1, descending=True).values
    before = ordered.cumsum(-1) - ordered
    least = _where(before < p, ordered, np.inf).amin(-1, keepdim=True)
    return _where(logits.softmax(-1) < least, -np.inf, logits)


def _check_settings(temperature: float, top_k: int | None, top_p: float | None) -> None:
    if not temperature >= 0:
        raise ArgumentError(explain("temperature must not be negative", received=temperature, expected="0 or more"))
    if top_k is not None and top_k < 1:
        raise ArgumentError(explain("top_k: how many tokens may be drawn", received=top_k, expected="at least 1"))
    if top_p is not None and not 0 < top_p <= 1:
        raise ArgumentError(explain("top_p is a probability", received=top_p, expected="0 < top_p <= 1"))


class TextGenerator:
    """Continues prompts with a language model. Made once, it is compiled once, and can be called many times.

    Args:
        model: a `GPT`, an `LSTMLanguageModel`, or whatever has their `start`, `step` and `context`.
        temperature, top_k, top_p: as in `sample`.
        use_cache: keys and values (or states) of the tokens so far are kept; False computes them anew for every token,
            with the same result. Default True.
        seed: of draws of its own, started again at every call; default None: those of `tw.manual_seed`.

    Called with ``(prompt, max_new_tokens)``: tokens (T,) or (N, T) with T at least 1; gives an int64 array (T + new,)
    or (N, T + new). Behind `model.context` tokens a GPT looks at the last `context` only, as if the text began there.

    >>> import thalweg as tw
    >>> from thalweg.models import GPT
    >>> write = TextGenerator(GPT(vocab_size=11, context=8, n_layer=1, n_head=2, n_embd=8), top_k=3, seed=1)
    >>> write([1, 2, 3], 5).shape
    (8,)
    """

    def __init__(
        self, model: LanguageModel, temperature: float = 1.0, top_k: int | None = None, top_p: float | None = None,
        use_cache: bool = True, seed: int | None = None,
    ) -> None:  # fmt: skip
        _check_settings(temperature, top_k, top_p)
        self.model, self.use_cache, self.seed = model, use_cache, seed
        self._draws = None if seed is None else Generator(seed)
        self._draw = lambda logits: sample(logits, temperature, top_k, top_p, self._draws)
        self._choose = compile(self._draw)
        self._steps: dict[int, _Steps] = {}  # by batch
        self._during = self._after = -1  # versions of the program's state in and after the last text

    def __call__(self, prompt: Any, max_new_tokens: int) -> np.ndarray:
        tokens, is_single = _tokens(prompt)
        whole_number("max_new_tokens", max_new_tokens)
        if self._draws is not None and self.seed is not None:
            self._draws.manual_seed(self.seed)
        was_training = self.model.training
        is_unchanged = Version.number == self._after
        if was_training:
            self.model.eval()
        if is_unchanged:  # but for the mode, which is the same in every text
            for each in self._compiled():
                each.vouch(self._during)
        self._during = Version.number
        try:
            with no_grad():
                text = self._continued(tokens, max_new_tokens)
        finally:
            if was_training:
                self.model.train()
            self._after = Version.number
        return text[0] if is_single else text

    def _compiled(self) -> list[Any]:
        return [self._choose, *[each for steps in self._steps.values() for each in (steps.step, steps.several)]]

    def _continued(self, tokens: np.ndarray, count: int) -> np.ndarray:
        start, batch = tokens.shape[1], len(tokens)
        text = np.concatenate([tokens, np.zeros((batch, count), np.int64)], 1)
        steps = self._steps_of(batch) if self.use_cache else None
        read = [tensor(np.ascontiguousarray(each)) for each in tokens.T]  # what the model has not seen yet
        if steps is not None:
            steps.begin()
        length, end = start, start + count
        while length < end:
            room = end if self.model.context is None else min(end, self.model.context)
            if steps is not None and len(read) == 1 and room - length >= TOGETHER:
                found = steps.together(read[0])
                read = [found[-1]]
                text[:, length : length + TOGETHER] = found.numpy().T
                length += TOGETHER
                continue
            logits = self._logits(text[:, :length], steps, read)
            read = [self._choose(logits)]
            text[:, length] = read[0].numpy()
            length += 1
        return text

    def _steps_of(self, batch: int) -> _Steps:
        if batch not in self._steps:
            self._steps[batch] = _Steps(self.model, batch, self._draw)
        return self._steps[batch]

    def _logits(self, tokens: np.ndarray, steps: _Steps | None, read: list[Tensor]) -> Any:
        """Of the token that comes next."""
        context = self.model.context
        if steps is None or (context is not None and tokens.shape[1] > context):
            return self.model(tensor(np.ascontiguousarray(tokens[:, -context if context else 0 :])))[:, -1]
        return steps.through(read)


class _Steps:
    """The model's cache for a batch, how far it has been filled, and the compiled step that fills it on."""

    def __init__(self, model: LanguageModel, batch: int, draw: Callable[[Any], Any]) -> None:
        self.cache = model.start(batch)
        self.done = 0
        self.positions: list[Tensor] = []
        self.step = compile(lambda tokens, position: model.step(tokens, position, self.cache))

        def several(tokens: Any, position: Any) -> Any:
            def one(state: Any, _: None) -> Any:
                token = draw(model.step(state[0], state[1], self.cache))
                return (token, state[1] + 1), token

            return scan(one, (tokens, position), length=TOGETHER)[1]

        self.several = compile(several)

    def begin(self) -> None:
        """Forget the text. States are set to 0; keys and values of old positions are never looked at."""
        self.done = 0
        for each in _cells(self.cache):
            each.zero_()

    def together(self, tokens: Tensor) -> Any:
        """Read these and the tokens that follow, so many steps in one call: (TOGETHER, N)."""
        found = self.several(tokens, self._position())
        self.done += TOGETHER
        return found

    def _position(self) -> Tensor:
        while self.done >= len(self.positions):
            self.positions.append(tensor([len(self.positions)]))
        return self.positions[self.done]

    def through(self, read: list[Tensor]) -> Any:
        """Read these tokens, one a step; the logits behind the last."""
        for tokens in read:
            logits = self.step(tokens, self._position())
            self.done += 1
        return logits


def _cells(cache: Any) -> list[Any]:
    return [cell for each in cache for cell in _cells(each)] if isinstance(cache, (list, tuple)) else [cache]


def _tokens(prompt: Any) -> tuple[np.ndarray, bool]:
    array = np.asarray(prompt)
    if array.ndim not in (1, 2) or not array.shape[-1]:
        raise ShapeError(
            explain("a prompt is a row of tokens, or several of one length", received=f"shape {array.shape}",
                    expected="(T,) or (N, T), with T at least 1", remedy="begin with a token such as a line break")
        )  # fmt: skip
    if array.dtype.kind not in "iu":
        raise DTypeError(
            explain("a prompt is made of tokens", received=f"dtype {array.dtype}", expected="whole numbers",
                    remedy="encode the text with the tokeniser that the model was trained with")
        )  # fmt: skip
    return np.atleast_2d(array.astype(np.int64)), array.ndim == 1
