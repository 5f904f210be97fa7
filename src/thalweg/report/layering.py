"""Where to draw the nodes of a graph: from top to bottom, with few crossings and straight edges.

In: the size of each node, and edges that form no circle. Out: the middle of each node, and the points that each
edge passes. The method is that of Sugiyama, Tagawa and Toda 1981: ranks by the longest path; stand-ins where an edge
passes a rank; orders by the means of the neighbours; then places, as close to the neighbours as the order allows.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

Key = Hashable
Point = tuple[float, float]
SIDE_GAP, RANK_GAP = 26.0, 46.0
STAND_IN = (8.0, 0.0)
SWEEPS = 12


@dataclass(frozen=True)
class Placed:
    """A drawing: the middle of each node, the points of each edge from its lower to its upper end, the whole size."""

    places: dict[Key, Point]
    routes: dict[tuple[Key, Key], list[Point]]
    width: float
    height: float


def placed(sizes: Mapping[Any, tuple[float, float]], edges: Sequence[tuple[Any, Any]]) -> Placed:
    """The drawing of a graph without circles. `sizes` maps nodes to (width, height); edges lead from top to bottom.

    >>> drawn = placed({"x": (10, 10), "y": (10, 10)}, [("x", "y")])
    >>> drawn.places["x"][1] < drawn.places["y"][1]
    True
    """
    graph = _Graph(dict(sizes), list(dict.fromkeys(edges)))
    if not graph.sizes:
        return Placed({}, {}, 0.0, 0.0)
    rows = _ordered(graph)
    across = _across(graph, rows)
    down, heights = _down(graph, rows)
    left = min(across[key] - graph.sizes[key][0] / 2 for key in across)
    points = {key: (across[key] - left, down[key]) for key in across}
    routes = {
        edge: [points[chain[0]], *_through(chain[1:-1], points, heights), points[chain[-1]]]
        for edge, chain in graph.chains.items()
    }
    width = max(points[key][0] + graph.sizes[key][0] / 2 for key in points)
    height = max(points[key][1] + graph.sizes[key][1] / 2 for key in points)
    return Placed({key: points[key] for key in sizes}, routes, width, height)


@dataclass
class _Graph:
    """The graph with a stand-in wherever an edge passes a rank, so that every link leads to the next rank."""

    sizes: dict[Key, tuple[float, float]]
    edges: list[tuple[Key, Key]]
    ranks: dict[Key, int] = field(default_factory=dict)
    chains: dict[tuple[Key, Key], list[Key]] = field(default_factory=dict)
    above: dict[Key, list[Key]] = field(default_factory=dict)
    below: dict[Key, list[Key]] = field(default_factory=dict)
    stand_ins: set[Key] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.ranks = _ranks(list(self.sizes), self.edges)
        for edge in self.edges:
            self.chains[edge] = chain = self._chain(*edge)
            for upper, lower in pairwise(chain):
                self.below.setdefault(upper, []).append(lower)
                self.above.setdefault(lower, []).append(upper)

    def _chain(self, upper: Key, lower: Key) -> list[Key]:
        between = range(self.ranks[upper] + 1, self.ranks[lower])
        keys = [(upper, lower, rank) for rank in between]
        self.sizes |= dict.fromkeys(keys, STAND_IN)
        self.ranks |= dict(zip(keys, between, strict=True))
        self.stand_ins.update(keys)
        return [upper, *keys, lower]


def _ranks(nodes: Sequence[Key], edges: Sequence[tuple[Key, Key]]) -> dict[Key, int]:
    """The longest path from above; what nothing leads to stands right above the first that reads it."""
    above: dict[Key, list[Key]] = {key: [] for key in nodes}
    below: dict[Key, list[Key]] = {key: [] for key in nodes}
    for upper, lower in edges:
        above[lower].append(upper)
        below[upper].append(lower)
    ranks: dict[Key, int] = {}
    waiting = {key: len(above[key]) for key in nodes}
    ready = [key for key in nodes if not waiting[key]]
    while ready:
        key = ready.pop()
        ranks[key] = 1 + max((ranks[each] for each in above[key]), default=-1)
        for each in below[key]:
            waiting[each] -= 1
            if not waiting[each]:
                ready.append(each)
    for key in nodes:
        if not above[key] and below[key]:
            ranks[key] = min(ranks[each] for each in below[key]) - 1
    return ranks


# --- the order within each rank --------------------------------------------------------------------------------------


def _ordered(graph: _Graph) -> list[list[Key]]:
    """The nodes of each rank from left to right: means of the neighbours above, then below, the best of all kept."""
    rows: list[list[Key]] = [[] for _ in range(max(graph.ranks.values()) + 1)]
    for key, rank in graph.ranks.items():
        rows[rank].append(key)
    best, fewest = [list(row) for row in rows], _crossings(graph, rows)
    for sweep in range(SWEEPS):
        if not fewest:
            break
        downwards = sweep % 2 == 0
        for row in rows if downwards else rows[::-1]:
            _sort_by_neighbours(row, rows, graph.above if downwards else graph.below, graph.ranks)
        crossings = _crossings(graph, rows)
        if crossings < fewest:
            best, fewest = [list(row) for row in rows], crossings
    return best


def _sort_by_neighbours(
    row: list[Key], rows: list[list[Key]], neighbours: Mapping[Key, list[Key]], ranks: Mapping[Key, int]
) -> None:
    """By the mean place of the neighbours; a node without any keeps its place."""
    if len(row) < 2:
        return
    others = {rank for key in row for rank in (ranks[each] for each in neighbours.get(key, []))}
    places = {key: place for rank in others for place, key in enumerate(rows[rank])}
    own = {key: place for place, key in enumerate(row)}

    def mean(key: Key) -> float:
        near = [places[each] for each in neighbours.get(key, [])]
        return sum(near) / len(near) if near else float(own[key])

    row.sort(key=mean)


def _crossings(graph: _Graph, rows: list[list[Key]]) -> int:
    """How many pairs of links between neighbouring ranks cross."""
    total = 0
    for upper, lower in pairwise(rows):
        place = {key: number for number, key in enumerate(lower)}
        ends = [end for key in upper for end in sorted(place[each] for each in graph.below.get(key, []))]
        total += sum(later < earlier for number, earlier in enumerate(ends) for later in ends[number + 1 :])
    return total


# --- the places ------------------------------------------------------------------------------------------------------


def _across(graph: _Graph, rows: list[list[Key]]) -> dict[Key, float]:
    """Places from left to right: each rank as near to its neighbours as its order and the widths allow."""
    x: dict[Key, float] = {}
    for row in rows:
        x |= dict(zip(row, _spread(row, graph, [0.0] * len(row), [1.0] * len(row)), strict=True))
    for sweep in range(SWEEPS):
        near = (graph.above, graph.below) if sweep % 2 == 0 else (graph.below, graph.above)
        for row in rows if sweep % 2 == 0 else rows[::-1]:
            wanted = [_mean_place(key, near[0].get(key) or near[1].get(key, []), x) for key in row]
            weights = [4.0 if key in graph.stand_ins else 1.0 for key in row]
            x |= dict(zip(row, _spread(row, graph, wanted, weights), strict=True))
    return x


def _mean_place(key: Key, neighbours: Sequence[Key], x: Mapping[Key, float]) -> float:
    return sum(x[each] for each in neighbours) / len(neighbours) if neighbours else x[key]


def _spread(row: list[Key], graph: _Graph, wanted: Sequence[float], weights: Sequence[float]) -> list[float]:
    """The places nearest to the wanted ones (least squares) that keep the order and the gaps.

    With the gaps subtracted this is isotonic regression, solved by pooling neighbours that are out of order.
    """
    offsets, edge = [], 0.0
    for number, key in enumerate(row):
        half = graph.sizes[key][0] / 2
        edge += (half + SIDE_GAP) if number else 0.0
        offsets.append(edge)
        edge += half
    pools: list[list[float]] = []  # mean, weight, how many
    for place, offset, weight in zip(wanted, offsets, weights, strict=True):
        pools.append([place - offset, weight, 1])
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            mean, heavy, count = pools.pop()
            before = pools[-1]
            total = before[1] + heavy
            pools[-1] = [(before[0] * before[1] + mean * heavy) / total, total, before[2] + count]
    means = [mean for mean, _, count in pools for _ in range(int(count))]
    return [mean + offset for mean, offset in zip(means, offsets, strict=True)]


def _down(graph: _Graph, rows: list[list[Key]]) -> tuple[dict[Key, float], dict[Key, float]]:
    """Places from top to bottom, and the height of the rank of each node: that of its highest node."""
    y: dict[Key, float] = {}
    heights: dict[Key, float] = {}
    top = 0.0
    for row in rows:
        height = max(graph.sizes[key][1] for key in row)
        y |= dict.fromkeys(row, top + height / 2)
        heights |= dict.fromkeys(row, height)
        top += height + RANK_GAP
    return y, heights


def _through(stand_ins: Sequence[Key], points: Mapping[Key, Point], heights: Mapping[Key, float]) -> list[Point]:
    """An edge passes a rank straight down from its upper to its lower end, so that it touches no box there."""
    return [(points[key][0], points[key][1] + side * heights[key] / 2) for key in stand_ins for side in (-1, 1)]
