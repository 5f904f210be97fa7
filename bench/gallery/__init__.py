"""The gallery: what textbooks and papers say about training, measured again with Thalweg, a figure for each.

In: MNIST's training part, from which a part is held out to measure on. Out: `python -m bench.gallery [NAMES]
[--write]`, docs/gallery.json, docs/gallery.md and docs/figures/gallery.
"""
