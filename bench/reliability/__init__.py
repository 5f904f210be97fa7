"""Reliability measured: what docs/reliability.md promises, tried many times.

In: one measurement a module, with `add_arguments(parser)` and `main(given)`. Out: `python -m bench.reliability NAME`,
figures as lines, and with `--out` a JSON file.
"""
