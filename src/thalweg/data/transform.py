"""What is learned from the training part and applied to every part: the contract of transforms, and their composition.

In: samples, one a row. Out: as many samples, transformed; what was learned as plain dictionaries that go into a JSON
file. Nothing here is ever pickled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np

from thalweg.errors import ArgumentError, ConfigurationError, StateError, explain


class Transform:
    """Something that is fitted on the training part and then applied to any part.

    Subclasses name the statistics that `fit` learns in `learned` and the arguments of `__init__` in `options`; both go
    into `to_config`, and `from_config` brings the transform back. Statistics are attributes that end in an underscore,
    as in scikit-learn.
    """

    learned: ClassVar[tuple[str, ...]] = ()
    options: ClassVar[tuple[str, ...]] = ()
    _kinds: ClassVar[dict[str, type[Transform]]] = {}

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        Transform._kinds[cls.__name__] = cls

    def fit(self, x: Any) -> Self:
        """Learn the statistics of `x`, the training part; returns self."""
        raise NotImplementedError

    def transform(self, x: Any) -> Any:
        """Apply what was learned to any part."""
        raise NotImplementedError

    def fit_transform(self, x: Any) -> Any:
        """`fit(x)`, then `transform(x)`."""
        return self.fit(x).transform(x)

    def feature_names(self, names: Sequence[str]) -> list[str]:
        """The names of the columns that come out, given those that go in."""
        return list(names)

    @property
    def is_fitted(self) -> bool:
        return all(hasattr(self, name) for name in self.learned)

    def check_fitted(self) -> None:
        if not self.is_fitted:
            raise _not_fitted(type(self).__name__)

    def to_config(self) -> dict[str, Any]:
        """Options and statistics as a dictionary of numbers, strings and lists. Raises StateError before `fit`."""
        self.check_fitted()
        values = {name: _to_json(getattr(self, name)) for name in (*self.options, *self.learned)}
        return {"kind": type(self).__name__, **values}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """The transform that `to_config` described; on `Transform` itself, of whatever kind the dictionary says.

        Raises:
            ConfigurationError: an unknown kind, a name that is missing, a statistic that is no number.
        """
        kind = cls._kinds.get(str(entry(config, "kind")))
        if kind is None or not issubclass(kind, cls):
            raise ConfigurationError(
                explain(
                    "unknown kind of transform",
                    received=repr(config["kind"]),
                    expected=", ".join(name for name, known in cls._kinds.items() if issubclass(known, cls)),
                )
            )
        return kind._rebuilt(config)

    @classmethod
    def _rebuilt(cls, config: Mapping[str, Any]) -> Self:
        made = cls(**{name: entry(config, name) for name in cls.options})
        for name in cls.learned:
            setattr(made, name, made.restored(name, entry(config, name)))
        made.check_consistent()
        return made

    def check_consistent(self) -> None:
        """Raise ConfigurationError if restored statistics do not fit together."""

    def restored(self, name: str, value: Any) -> Any:
        """A statistic from its JSON form: finite float64 numbers unless a subclass says otherwise."""
        try:
            array = np.asarray(value, dtype=np.float64)
        except (ValueError, TypeError):
            array = np.array(np.nan)
        if not np.isfinite(array).all():
            raise ConfigurationError(
                explain(
                    "this statistic is not made of finite numbers",
                    received=f"{value!r:.60}",
                    where=f"{type(self).__name__}, {name!r}",
                    remedy="the configuration is damaged: fit again on the training part",
                )
            )
        return array

    def __repr__(self) -> str:
        given = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.options)
        return f"{type(self).__name__}({given})"


def _not_fitted(name: str) -> StateError:
    return StateError(
        explain(
            f"{name} has not been fitted",
            where=name,
            remedy="call fit(training_part) first, or load it with from_config",
        )
    )


def entry(config: Mapping[str, Any], name: str) -> Any:
    if not isinstance(config, Mapping) or name not in config:
        received = ", ".join(map(str, config)) if isinstance(config, Mapping) else type(config).__name__
        raise ConfigurationError(
            explain("the configuration of a transform is incomplete", received=received, expected=f"an entry {name!r}")
        )
    return config[name]


def _to_json(value: Any) -> Any:
    return (
        value.tolist()
        if isinstance(value, (np.ndarray, np.generic))
        else list(value)
        if isinstance(value, tuple)
        else value
    )


class Pipeline(Transform):
    """Several transforms, one after the other, each fitted on what comes out of those before it.

    >>> from thalweg.data import Impute, Standardise
    >>> steps = Pipeline([Impute(), Standardise()])
    >>> steps.fit_transform(np.array([[1.0], [np.nan], [3.0]])).ravel().round(3)
    array([-1.225,  0.   ,  1.225])
    """

    def __init__(self, steps: Sequence[Transform]) -> None:
        self.steps = list(steps)

    @property
    def is_fitted(self) -> bool:
        return all(step.is_fitted for step in self.steps)

    def fit(self, x: Any) -> Self:
        self.fit_transform(x)
        return self

    def fit_transform(self, x: Any) -> Any:
        for step in self.steps:
            x = step.fit_transform(x)
        return x

    def transform(self, x: Any) -> Any:
        for step in self.steps:
            x = step.transform(x)
        return x

    def inverse_transform(self, x: Any) -> Any:
        """Back through the steps, last first; raises ArgumentError if one of them has no inverse."""
        for step in reversed(self.steps):
            undo = getattr(step, "inverse_transform", None)
            if undo is None:
                raise ArgumentError(
                    explain("a step of this pipeline has no inverse", received=repr(step), where=type(self).__name__)
                )
            x = undo(x)
        return x

    def feature_names(self, names: Sequence[str]) -> list[str]:
        for step in self.steps:
            names = step.feature_names(names)
        return list(names)

    def to_config(self) -> dict[str, Any]:
        return {"kind": type(self).__name__, "steps": [step.to_config() for step in self.steps]}

    @classmethod
    def _rebuilt(cls, config: Mapping[str, Any]) -> Self:
        return cls([Transform.from_config(step) for step in entry(config, "steps")])

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.steps!r})"
