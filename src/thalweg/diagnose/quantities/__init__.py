"""The quantities that can be watched: one record each, which says what it needs and when it is watched.

In: nothing. Out: `QUANTITIES`, a `Quantity` under each name. A new one is one record; the compiler makes it part of the
step, and a test compares it with a naive twin.
"""

from thalweg.diagnose.quantities.of_outputs import NEAR_BOUND, OF_OUTPUTS, ZERO_SHARE
from thalweg.diagnose.quantities.of_parameters import OF_PARAMETERS
from thalweg.diagnose.quantities.quantity import Combine, Quantity, When

QUANTITIES: dict[str, Quantity] = {each.name: each for each in (*OF_PARAMETERS, *OF_OUTPUTS)}

__all__ = ["NEAR_BOUND", "OF_OUTPUTS", "OF_PARAMETERS", "QUANTITIES", "ZERO_SHARE", "Combine", "Quantity", "When"]
