"""Diagnosis measured: set-ups known to fail or to be healthy, trained with the doctor on, and what it said.

In: a file of cases (`../shared/data/faulty_networks/README.md` is their schema). Out: `python -m bench.diagnosis`, a
table and a file of results.
"""
