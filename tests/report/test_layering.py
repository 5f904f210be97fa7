"""Drawings of graphs: boxes do not overlap, edges lead down and pass by the boxes between, simple graphs look simple.

In: chains, trees, diamonds and random graphs without circles. Out: places and routes.
"""

from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np
import pytest

from thalweg.report.layering import RANK_GAP, SIDE_GAP, placed


def random_graph(seed, count):
    draw = np.random.default_rng(seed)
    sizes = {number: (float(draw.uniform(20, 200)), float(draw.uniform(20, 90))) for number in range(count)}
    edges = [(a, b) for a, b in combinations(range(count), 2) if draw.random() < 2.2 / count]
    return sizes, edges


GRAPHS = {f"random {seed}": random_graph(seed, 3 + 4 * seed) for seed in range(8)}
GRAPHS["chain"] = (dict.fromkeys(range(6), (50, 20)), list(pairwise(range(6))))
GRAPHS["tree"] = (dict.fromkeys(range(15), (30, 20)), [((n - 1) // 2, n) for n in range(1, 15)])
GRAPHS["skip"] = (dict.fromkeys(range(5), (60, 30)), [*pairwise(range(5)), (0, 4), (1, 3)])
GRAPHS["apart"] = (dict.fromkeys(range(4), (40, 40)), [])


@pytest.fixture(params=GRAPHS)
def drawn(request):
    sizes, edges = GRAPHS[request.param]
    return sizes, edges, placed(sizes, edges)


def box(place, size, grow=0.0):
    (x, y), (width, height) = place, size
    return x - width / 2 - grow, y - height / 2 - grow, x + width / 2 + grow, y + height / 2 + grow


def test_no_two_boxes_overlap(drawn):
    sizes, _, found = drawn
    boxes = [box(found.places[key], sizes[key]) for key in sizes]
    for one, other in combinations(boxes, 2):
        beside = one[2] < other[0] or other[2] < one[0]
        above = one[3] < other[1] or other[3] < one[1]
        assert beside or above


def test_edges_lead_down(drawn):
    sizes, edges, found = drawn
    for upper, lower in edges:
        end_of_upper = found.places[upper][1] + sizes[upper][1] / 2
        assert end_of_upper < found.places[lower][1] - sizes[lower][1] / 2
        heights = [y for _, y in found.routes[upper, lower]]
        assert heights == sorted(heights)
        assert found.routes[upper, lower][0] == found.places[upper]
        assert found.routes[upper, lower][-1] == found.places[lower]


def test_an_edge_passes_by_the_boxes_of_the_ranks_between(drawn):
    sizes, edges, found = drawn
    for edge in edges:
        for x, y in found.routes[edge][1:-1]:
            for key in set(sizes) - set(edge):
                left, top, right, bottom = box(found.places[key], sizes[key])
                assert not (left < x < right and top < y < bottom)


def test_everything_lies_within_the_frame(drawn):
    sizes, _, found = drawn
    for key in sizes:
        left, top, right, bottom = box(found.places[key], sizes[key], grow=-1e-6)
        assert left >= 0
        assert top >= 0
        assert right <= found.width
        assert bottom <= found.height


def test_the_same_graph_is_drawn_alike_every_time(drawn):
    sizes, edges, found = drawn
    assert placed(dict(sizes), list(edges)) == found


def test_a_chain_is_a_straight_line():
    found = placed(*GRAPHS["chain"])
    assert len({round(x, 6) for x, _ in found.places.values()}) == 1
    assert found.height == pytest.approx(6 * 20 + 5 * RANK_GAP)


def test_a_parent_stands_over_the_middle_of_its_children():
    found = placed({"p": (10, 10), "a": (30, 10), "b": (30, 10)}, [("p", "a"), ("p", "b")])
    assert found.places["p"][0] == pytest.approx((found.places["a"][0] + found.places["b"][0]) / 2)
    assert abs(found.places["a"][0] - found.places["b"][0]) == pytest.approx(30 + SIDE_GAP)


def crossings(edges, found):
    lines = [(found.places[a], found.places[b]) for a, b in edges]
    return sum(
        one[0][1] == other[0][1] and (one[0][0] - other[0][0]) * (one[1][0] - other[1][0]) < 0
        for one, other in combinations(lines, 2)
    )


def test_a_tree_and_crossed_pairs_are_drawn_without_crossings():
    sizes, edges = GRAPHS["tree"]
    assert crossings(edges, placed(sizes, edges)) == 0
    pairs = [("a", "z"), ("b", "y"), ("c", "x")]
    assert crossings(pairs, placed(dict.fromkeys("abcxyz", (20.0, 20.0)), pairs)) == 0


def test_nothing_and_one_box_can_be_drawn():
    assert placed({}, []).places == {}
    assert placed({"only": (30.0, 20.0)}, []).places == {"only": (15.0, 10.0)}
