"""Graph cuts: the cut is minimal, links are those of eight neighbours, edges are cheap."""

from itertools import product

import numpy as np
import pytest

from course_utils import load_composites, load_model, localize, preprocess, vanilla_saliency
from course_utils.graph_cuts import (
    cut_by_halves,
    cut_quality,
    minimum_cut,
    neighbour_links,
    parts_with,
)


def cost(labels, evidence, links):
    first, second, weights = links
    flat = labels.ravel()
    ignored = np.abs(evidence[labels != (evidence > 0)]).sum()
    return ignored + weights[flat[first] != flat[second]].sum()


@pytest.mark.parametrize("seed", range(12))
def test_no_labelling_is_cheaper_than_the_cut(seed):
    random = np.random.default_rng(seed)
    shape = [(3, 3), (2, 5), (1, 6)][seed % 3]
    evidence = random.integers(-300, 300, shape) / 100
    first, second, _ = neighbour_links(random.random((*shape, 3)))
    links = first, second, random.integers(0, 200, len(first)) / 100
    best = min(
        cost(np.reshape(tried, shape), evidence, links)
        for tried in product([False, True], repeat=evidence.size)
    )
    assert cost(minimum_cut(evidence, links), evidence, links) == pytest.approx(best)


def test_certain_pixels_stay_on_their_side():
    evidence = np.array([[np.inf, -9.0, -9.0], [-9.0, 9.0, -np.inf]])
    first, second, _ = neighbour_links(np.zeros((2, 3, 3)))
    cut = minimum_cut(evidence, (first, second, np.full(len(first), 50.0)))
    assert cut[0, 0]
    assert not cut[1, 2]


@pytest.mark.parametrize("seed", range(6))
def test_certain_pixels_leave_the_cut_of_the_others_minimal(seed):
    random = np.random.default_rng(seed)
    evidence = random.integers(-300, 300, (3, 4)) / 100
    first, second, _ = neighbour_links(np.zeros((3, 4, 3)))
    links = first, second, random.integers(0, 200, len(first)) / 100
    known = random.random((3, 4)) < 0.4
    sides = random.random((3, 4)) < 0.5
    certain = np.where(known, np.where(sides, np.inf, -np.inf), evidence)
    tried = (
        np.reshape(one, (3, 4)) for one in product([False, True], repeat=evidence.size)
    )
    undecided = np.where(known, 0.0, evidence)
    best = min(cost(one, undecided, links) for one in tried if (one == sides)[known].all())
    cut = minimum_cut(certain, links)
    assert (cut[known] == sides[known]).all()
    assert cost(cut, undecided, links) == pytest.approx(best)


def test_a_picture_all_of_whose_pixels_are_certain_needs_no_flow():
    evidence = np.array([[np.inf, -np.inf]])
    assert minimum_cut(evidence, neighbour_links(np.zeros((1, 2, 3)))).tolist() == [
        [True, False]
    ]


@pytest.mark.slow
def test_the_cut_by_halves_is_nearly_the_minimum_cut():
    """Never cheaper, seldom much more expensive, and few pixels differ."""
    made, model, excess, differ = load_composites(6, seed=2), load_model(), [], []
    for one in made:
        saliency = vanilla_saliency(model, preprocess(one.image), one.label)[0]
        colours = np.asarray(one.image) / 255
        evidence = localize(one.image, saliency).evidence
        links = neighbour_links(colours, 60.0)
        cuts = minimum_cut(evidence, links), cut_by_halves(evidence, colours, 60.0)
        exact, quick = (cost(cut, evidence, links) for cut in cuts)
        assert quick > exact - 10  # the solver's whole numbers are rounded
        excess.append(quick / exact - 1)
        differ.append((cuts[0] != cuts[1]).mean())
    assert np.median(excess) < 0.02
    assert np.mean(differ) < 0.02


@pytest.mark.parametrize("shape", [(20, 30), (131, 67), (65, 140)])
def test_the_cut_by_halves_takes_any_shape(shape):
    picture = np.zeros((*shape, 3))
    picture[5:15, 5:20] = 1
    evidence = np.where(picture[..., 0] > 0, 1.0, -1.0)
    assert (cut_by_halves(evidence, picture, 10.0) == (evidence > 0)).all()


def test_links_hold_every_pair_of_neighbours_once_and_edges_are_cheap():
    picture = np.zeros((4, 5, 3))
    picture[:, 3:] = 1
    first, second, costs = neighbour_links(picture, contrast=10)
    pairs = {frozenset(pair) for pair in zip(first.tolist(), second.tolist(), strict=True)}
    assert len(pairs) == len(first) == 4 * 4 + 3 * 5 + 2 * 3 * 4
    rows, columns = np.divmod(np.stack([first, second]), 5)
    assert (
        np.abs(np.diff(rows, axis=0)).max() == np.abs(np.diff(columns, axis=0)).max() == 1
    )
    crossing = (columns >= 3).sum(axis=0) == 1
    assert costs[crossing].max() < costs[~crossing].min()
    assert costs.max() == 10


def test_an_outline_on_edges_is_better_than_one_through_a_plain_surface():
    picture = np.zeros((20, 20, 3))
    picture[5:15, 5:15] = 1
    right, links = picture[..., 0] > 0, neighbour_links(picture, 1.0)
    colour = np.where(right, 3.0, -3.0)
    shifted = np.roll(right, 3, axis=1)
    assert cut_quality(right, colour, links) > cut_quality(shifted, colour, links)
    assert cut_quality(right & False, colour, links) == -np.inf
    assert cut_quality(right | True, colour, links) == -np.inf


def test_parts_with():
    mask = np.zeros((3, 5), dtype=bool)
    mask[0, 0] = mask[1, 1] = mask[2, 4] = True
    pixels = np.zeros_like(mask)
    pixels[0, 0] = pixels[0, 4] = True
    assert np.argwhere(parts_with(mask, pixels)).tolist() == [[0, 0], [1, 1]]
