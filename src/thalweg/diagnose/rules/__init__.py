"""The rules of diagnosis, by family; `RULES` is all of them, in the order in which they are asked.

In: a `Run`. Out: what each rule finds. Families whose causes are certain come first: output and loss, data, which
parameters are trained, gradients and initial weights, units; those that may need probes come last.
"""

from thalweg.diagnose.rules import data, fit, gradients, output, parameters, parts, rate, units
from thalweg.diagnose.rules.base import Rule

RULES: tuple[Rule, ...] = (
    *output.RULES, *data.RULES, *parts.RULES, *parameters.RULES, *gradients.RULES, *units.RULES,
    *fit.RULES, *rate.RULES,
)  # fmt: skip

__all__ = ["RULES", "Rule"]
