"""Measurements: what docs/ claims in figures, measured again.

In: this machine, and the data sets beside the repository.
Out: documents with figures, the commands that give them, and the kind of machine.
"""
