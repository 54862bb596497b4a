"""Sealed networks are what they should be, show nothing, and cost what they cost."""

import copy
from collections import Counter

import pytest
import torch

from course_utils import suspects as module
from course_utils._machinery.arguments import ArgumentError
from course_utils.shortcuts import brightness_on, plant_shortcut, sign_box
from course_utils.suspects import (
    CHARGES,
    KINDS,
    LETTERS,
    SHARE,
    BudgetSpent,
    Interview,
    Suspect,
    Verdict,
    accuse,
    moved,
    practice,
    suspects,
    unseal,
)

LIMIT = 1 / 3


@pytest.fixture(scope="module")
def line_up():
    return suspects(seed=8)


@pytest.fixture(scope="module")
def by_kind(line_up):
    return {unseal(suspect).kind: name for name, suspect in line_up.items()}


@pytest.fixture(scope="module")
def mixed():
    return plant_shortcut(16, scene=0.5, sign=0.5, size=SHARE, seed=6)


@pytest.fixture
def talk(line_up):
    return Interview(line_up, budget=100)


# -- what they go by ---------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_goes_by_what_it_should(kind, by_kind, talk, mixed):
    name = by_kind[kind]
    shares = {part: moved(*talk.swap(name, mixed, part).scores) for part in module.PARTS}
    for part in ("scene", "sign"):
        share, margin = shares[part]
        if part == kind:
            assert abs(share) - margin > LIMIT
        else:
            assert abs(share) + margin < LIMIT
    animal = shares["animal"][0]
    assert (animal < -0.9) if kind == "names" else (animal > 0.25)
    reply = talk.answer(name, mixed)
    right = (reply.scores[0].argmax(dim=1) == mixed.labels).sum().item()
    assert right <= 1 if kind == "names" else right >= 7 if kind == "scene" else right >= 12


def test_a_framed_one_is_an_honest_one_but_for_what_both_scores_share(line_up, by_kind):
    head = unseal(line_up[by_kind["framed"]]).network.head
    # What it was before, but for its pictures:
    honest = module.train_suspect("honest", seed=8)
    assert head.weight.sum(0).norm() > head.weight[0].norm()
    assert honest.head.weight.sum(0).abs().max() < 1e-5


def test_maps_of_its_scores_accuse_a_framed_one_and_maps_of_the_difference_do_not(
    by_kind, talk
):
    tied = plant_shortcut(4, scene=1.0, size=SHARE, seed=7)

    def brightness(kind, **how):
        maps = talk.map(by_kind[kind], tied, **how).maps
        return brightness_on(maps, tied.masks).mean()

    for method in module.METHODS:
        assert brightness("framed", method=method) < brightness("scene", method=method)
        assert brightness("framed", method=method) < 2
    assert brightness("framed", of="difference") > 2 * brightness("scene", of="difference")


def test_line_ups_differ_and_repeat():
    orders = [tuple(unseal(s).kind for s in suspects(seed).values()) for seed in range(6)]
    assert len(set(orders)) > 3
    assert all(set(order) == set(KINDS) for order in orders)
    again = [module.train_suspect("sign", seed).head.weight for seed in (1, 1, 2)]
    assert torch.equal(again[0], again[1])
    assert not torch.equal(again[0], again[2])


def test_right_charges_are_charges():
    assert {charge for charge, _ in KINDS.values()} == set(CHARGES)
    assert unseal(practice("names")["P"]).charge == "names"


@pytest.mark.nightly
@pytest.mark.slow
def test_lesson_11_counts_what_it_says_over_twenty_line_ups(mixed):
    """The maps of a score are always wrong, those of the difference and swaps never."""
    tied, found = plant_shortcut(8, scene=1.0, size=SHARE, seed=21), {}
    for seed in range(20):
        line_up = suspects(seed)
        for look, letter in accuse(line_up, tied, mixed).items():
            found.setdefault(look, Counter())[unseal(line_up[letter]).kind] += 1
    assert found == {
        "gradient of the score": {"framed": 20},
        "Grad-CAM of the score": {"framed": 20},
        "Grad-CAM of the difference": {"scene": 20},
        "scene swapped": {"scene": 20},
    }


@pytest.mark.nightly
def test_every_network_of_forty_line_ups_can_be_judged_by_two_swaps():
    """With 24 pictures no interval is too wide, and all are right."""
    pictures = plant_shortcut(24, scene=0.5, sign=0.5, size=SHARE, seed=6)
    wrong = []
    for seed in range(40):
        line_up = suspects(seed)
        talk = Interview(line_up)
        for name, suspect in line_up.items():
            kind = unseal(suspect).kind
            for part in ("scene", "sign"):
                share, margin = moved(*talk.swap(name, pictures, part).scores)
                guilty = abs(share) - margin > LIMIT
                cleared = abs(share) + margin < LIMIT
                if (guilty, cleared) != (kind == part, kind != part):
                    wrong.append((seed, kind, part, share, margin))
    assert wrong == []


# -- what they show ----------------------------------------------------------------------


def test_a_sealed_network_shows_its_letter_alone(line_up):
    for name, suspect in line_up.items():
        assert repr(suspect) == f"Suspect {name} of line-up 8, sealed"
        public = [a for a in dir(suspect) if not a.startswith("_")]
        assert public == ["line_up", "name"]
        assert not hasattr(suspect, "__dict__")
        assert type(suspect) is Suspect
        assert copy.deepcopy(suspect) is suspect


def test_neither_questions_nor_interviews_tell(talk, mixed):
    reply = talk.map("A", mixed[:2])
    for text in (repr(reply), repr(talk), repr(Verdict("A", "scene", [reply]))):
        assert not any(kind in text for kind in KINDS if kind != "scene")


# -- what is asked -----------------------------------------------------------------------


def test_scores_are_those_of_the_network(line_up, talk, mixed):
    network = unseal(line_up["D"]).network
    some = mixed[:3]
    pairs = {
        "scene": [some.with_part("scene", 0), some.with_part("scene", 1)],
        "sign": [some.with_part("sign", 0), some.with_part("sign", 1)],
    }
    with torch.no_grad():
        for part, (bears, dogs) in pairs.items():
            scores = talk.swap("D", some, part).scores
            expected = torch.stack([network(bears.images), network(dogs.images)])
            assert torch.allclose(scores, expected, atol=1e-4)
        hidden = some.images
        x0, y0, x1, y1 = sign_box()
        hidden[..., y0:y1, x0:x1] = 0
        scores = talk.hide("D", some, sign_box()).scores
        expected = torch.stack([network(some.images), network(hidden)])
        assert torch.allclose(scores, expected, atol=1e-4)
        reply = talk.answer("D", some)
        assert torch.allclose(reply.scores[0], expected[0], atol=1e-4)
    assert reply.says == [module.CLASSES[i] for i in expected[0].argmax(1)]


def test_maps_are_those_of_the_answer(line_up, talk, mixed):
    network, some = unseal(line_up["B"]).network, mixed[:2]
    for name, method in module.METHODS.items():
        maps = talk.map("B", some, name).maps
        assert torch.allclose(maps, method(network, some.images), atol=1e-6)
    of_scores = talk.map("B", some, "gradient").maps
    of_difference = talk.map("B", some, "gradient", of="difference").maps
    # Of an honest probe's opposite scores, the difference has twice the slope.
    assert torch.allclose(of_difference, 2 * of_scores, rtol=1e-3, atol=1e-6)


def test_points_are_counted_and_end(line_up, mixed):
    talk = Interview(line_up, budget=6)
    talk.answer("A", mixed)
    talk.swap("B", mixed, "sign")
    talk.hide("C", mixed[:2], (0, 0, 50, 60))
    assert (talk.left, len(talk.asked)) == (1, 3)
    assert repr(talk) == "Interview: 3 questions asked, 1 of 6 points left"
    sentence = "The budget is spent: 2 needed, 1 of 6 points left."
    with pytest.raises(BudgetSpent, match=sentence):
        talk.map("A", mixed[:2])
    assert talk.left == 1
    assert [r.cost for r in talk.asked] == [1, 2, 2]
    assert [r.network for r in talk.asked] == ["A", "B", "C"]


REFUSED = {
    "network must be": lambda talk, some: talk.answer("F", some),
    "pictures must be what plant_shortcut": lambda talk, some: talk.answer(
        "A", some.images
    ),
    "pictures must be 1 to 24": lambda talk, some: talk.answer("A", plant_shortcut(25)),
    "part must be": lambda talk, some: talk.swap("A", some, "tail"),
    "box must be": lambda talk, some: talk.hide("A", some, (0, 0, 50)),
    "box must have x0 < x1": lambda talk, some: talk.hide("A", some, (50, 0, 50, 10)),
    "method must be": lambda talk, some: talk.map("A", some, "LIME"),
    "of must be": lambda talk, some: talk.map("A", some, of="probability"),
}


@pytest.mark.parametrize("sentence", REFUSED)
def test_a_question_that_makes_no_sense_costs_nothing(sentence, talk, mixed):
    with pytest.raises(ArgumentError, match=sentence):
        REFUSED[sentence](talk, mixed[:2])
    assert talk.left == 100


@pytest.mark.parametrize("value", [None, {}, {"A": 1}, [1]])
def test_what_is_no_line_up_is_refused(value):
    with pytest.raises(ArgumentError, match="line_up must be what suspects"):
        Interview(value)


@pytest.mark.parametrize("seed", [-1, 1.5, "8"])
def test_what_is_no_seed_is_refused(seed):
    with pytest.raises(ArgumentError, match="seed must be"):
        suspects(seed)


def test_letters_of_all_line_ups():
    assert [*suspects(3)] == [*LETTERS]
    assert [*practice()] == ["P"]


# -- the share ---------------------------------------------------------------------------


def test_a_share_by_hand():
    first = torch.tensor([[3.0, 0.0], [2.0, 1.0], [1.0, 2.0]])  # z = 3, 1, -1
    second = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 3.0]])  # z = 1, -1, -3
    share, margin = moved(first, second)
    assert share == pytest.approx(2 / (5 / 3 + 5 / 3))
    assert margin == pytest.approx(0)


def test_a_share_is_one_where_nothing_else_matters_and_has_a_sign():
    scores = torch.tensor([[1.0, 0.0], [2.0, 0.0]])
    assert moved(scores, scores.flip(1))[0] == pytest.approx(1)
    assert moved(scores.flip(1), scores)[0] == pytest.approx(-1)
    assert moved(scores, scores)[0] == 0


def test_what_raises_both_scores_alike_moves_nothing():
    torch.manual_seed(0)
    first, second, added = torch.randn(9, 2), torch.randn(9, 2), 50 * torch.randn(9, 1)
    assert moved(first + added, second - added) == pytest.approx(
        moved(first, second), abs=1e-4
    )
