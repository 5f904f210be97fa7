"""Where tensors lie: in the memory of the processor. Programs that ask for a place find that there is one.

In: a device as programs for several of them name it. Out: the only one, or an error that says so; nobody's tensors are
moved, so `x.to(device)` and `zeros(3, device=x.device)` cost nothing.
"""

from __future__ import annotations

from typing import Any

from thalweg.errors import ArgumentError, explain


class device:  # PyTorch's name
    """A place for tensors: ``device("cpu")``. There is no other; an index (``"cpu:0"``) is accepted and means nothing.

    >>> import thalweg as tw
    >>> place = tw.device("cpu")
    >>> tw.zeros(2, device=place).device == place
    True

    Raises ArgumentError for any other name.
    """

    __slots__ = ()

    type = "cpu"
    index = None

    def __init__(self, type: Any = "cpu", index: int | None = None) -> None:  # PyTorch's name
        check_device(type)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, device)

    def __hash__(self) -> int:
        return hash(self.type)

    def __str__(self) -> str:
        return self.type

    def __repr__(self) -> str:
        return f"device(type={self.type!r})"


def check_device(given: Any) -> None:
    """Refuse a device that is not there; None is the one that is."""
    if given is None or isinstance(given, device) or (isinstance(given, str) and given.partition(":")[0] == "cpu"):
        return
    remedy = "leave it out: the threads of the processor share every large step"
    raise ArgumentError(explain("this device is not there", received=repr(given), expected="'cpu'", remedy=remedy))


CPU = device()


class OtherDevices:
    """Devices of a kind that is not there, for programs that ask before they use one.

    >>> import thalweg as tw
    >>> tw.device("cuda" if tw.cuda.is_available() else "cpu")
    device(type='cpu')
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def is_available(self) -> bool:
        """Whether there is such a device: no."""
        return False

    def device_count(self) -> int:
        """How many there are: none."""
        return 0

    def manual_seed(self, seed: int) -> None:
        """Seed their random numbers: there are none, and `tw.manual_seed` seeds all that are."""

    manual_seed_all = manual_seed

    def __repr__(self) -> str:
        return f"<{self.name}: not there>"


cuda = OtherDevices("cuda")
accelerator = OtherDevices("accelerator")
