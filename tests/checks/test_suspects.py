"""The checks of lesson 11: a verdict passes if its evidence could show what it says."""

import re
import textwrap
from dataclasses import replace

import numpy as np
import pytest
from exercises import make_right_tests, make_tests
from pages import page

from course_utils.checks import suspects as check
from course_utils.checks.base import PASSED, WRONG
from course_utils.shortcuts import Planted, plant_shortcut, sign_box
from course_utils.suspects import (
    KINDS,
    LETTERS,
    SHARE,
    Interview,
    Verdict,
    moved,
    suspects,
    unseal,
)

mixed = plant_shortcut(16, scene=0.5, sign=0.5, size=SHARE, seed=6)


# -- right answers -------------------------------------------------------------------------


def share_moved(first, second):
    z, other = first[:, 0] - first[:, 1], second[:, 0] - second[:, 1]
    moves, size = z - other, z.abs().mean() + other.abs().mean()
    return moves.mean() / size, 2 * moves.std() / len(moves) ** 0.5 / size


def shares_of(make, size=None):
    """An answer from `make(z, other)`, the moves' mean and their error, over a size."""

    def answer(first, second):
        z, other = first[:, 0] - first[:, 1], second[:, 0] - second[:, 1]
        whole = z.abs().mean() + other.abs().mean() if size is None else size(z, other)
        mean, error = make(z, other)
        return mean / whole, error / whole

    return answer


def errors(moves, count=2):
    return moves.mean(), count * moves.std() / len(moves) ** 0.5


def both(talk, pictures=mixed, letter="C", parts=("scene", "sign")):
    return [talk.swap(letter, pictures, part) for part in parts]


def investigate(talk):
    return Verdict("C", "honest", both(talk))


def detective(talk):
    verdicts = {}
    for letter in talk.line_up:
        scene, sign = both(talk, letter=letter)
        right = (sign.scores[0].argmax(dim=1) == mixed.labels).double().mean()
        charge = "honest"
        if abs(moved(*scene.scores)[0]) > 1 / 3:
            charge = "scene"
        elif abs(moved(*sign.scores)[0]) > 1 / 3:
            charge = "sign"
        elif right < 0.5:
            charge = "names"
        verdicts[letter] = Verdict(letter, charge, [scene, sign])
    return verdicts


RIGHT = {
    check.share_moved: share_moved,
    check.investigate: investigate,
    check.detective: detective,
}


def in_numpy(first, second):
    z, other = (np.diff(s.numpy()[:, ::-1], axis=1)[:, 0] for s in (first, second))
    size = np.abs(z).mean() + np.abs(other).mean()
    return [(z - other).mean() / size, 2 * (z - other).std() / len(z) ** 0.5 / size]


test_another_right_answer = make_right_tests(
    {
        check.share_moved: {"of the module": moved, "in NumPy": in_numpy},
        check.investigate: {
            "with a map as well": lambda talk: Verdict(
                "C", "honest", [talk.map("C", mixed), *both(talk)]
            ),
            "a tuple, more pictures": lambda talk: Verdict(
                "C", "honest", tuple(both(talk, plant_shortcut(24, 0.5, 0.5, SHARE)))
            ),
            "tied pictures, swapped": lambda talk: Verdict(
                "C", "honest", both(talk, plant_shortcut(24, 1.0, 1.0, SHARE, seed=6))
            ),
        },
    }
)

# -- mistakes, and the sentences that help ---------------------------------------------


def keeps(talk):
    """Ask in one interview, cite in the next."""
    other = Interview(suspects(8))
    return Verdict("C", "honest", both(other))


def cite(charge, *questions, network="C"):
    """An answer that asks `questions`, each (method, arguments), and cites the replies."""

    def answer(talk):
        replies = [getattr(talk, name)("C", *given) for name, *given in questions]
        return Verdict(network, charge, replies)

    return answer


def one_animal(animal):
    return Planted(tuple(r for r in plant_shortcut(24, 0.5).recipes if r.animal == animal))


SCENE, SIGN = ("swap", mixed, "scene"), ("swap", mixed, "sign")

MISTAKES = {
    check.share_moved: {
        "take their difference": lambda a, b: shares_of_bear(a, b),
        "not paired": shares_of(
            lambda z, o: ((z - o).mean(), 2 * ((z.var() + o.var()) / len(z)) ** 0.5)
        ),
        "no abs() there": shares_of(lambda z, o: errors((z - o).abs())),
        "second minus first": shares_of(lambda z, o: errors(o - z)),
        "divide it by √N": shares_of(lambda z, o: ((z - o).mean(), 2 * (z - o).std())),
        "one standard error": shares_of(lambda z, o: errors(z - o, 1)),
        "this is not a share": shares_of(lambda z, o: errors(z - o), lambda z, o: 1),
        "in one set only": shares_of(
            lambda z, o: errors(z - o), lambda z, o: z.abs().mean()
        ),
        "not by their sum": shares_of(
            lambda z, o: errors(z - o), lambda z, o: (z.abs().mean() + o.abs().mean()) / 2
        ),
        "abs() before the mean": shares_of(
            lambda z, o: errors(z - o), lambda z, o: z.mean().abs() + o.mean().abs()
        ),
        "same size as the mean": lambda a, b: (
            share_moved(a, b)[0],
            errors((a - b)[:, 0] - (a - b)[:, 1])[1],
        ),
        "The share has a sign": lambda a, b: [abs(v) for v in share_moved(a, b)],
        "the other way round": lambda a, b: share_moved(a, b)[::-1],
        "Those are per cent": lambda a, b: [100 * v for v in share_moved(a, b)],
        "divide by √N": shares_of(
            lambda z, o: ((z - o).mean(), 2 * (z - o).std() / len(z))
        ),
        "That is one number": lambda a, b: share_moved(a, b)[0],
        "the share *and* its margin": lambda a, b: float(share_moved(a, b)[0]),
        "Expected two numbers, share and margin, got 3": lambda a, b: (1.0, 2.0, 3.0),
        # sloppy
        "`second` makes no difference": lambda a, b: share_moved(a, -a),
        "`first` makes no difference": lambda a, b: share_moved(-b, b),
        "Differences of scores first": lambda a, b: share_moved(a.softmax(1), b.softmax(1)),
    },
    check.investigate: {
        "Expected a Verdict": lambda talk: ("C", "honest"),
        "should be on network C": cite("honest", SCENE, SIGN, network="D"),
        "one of honest, scene": cite("innocent", SCENE, SIGN),
        "without evidence": lambda talk: Verdict("C", "honest"),
        "should be a list of replies": lambda talk: Verdict(
            "C", "honest", talk.swap("C", mixed, "scene")
        ),
        "as talk.swap(…) gives them": lambda talk: Verdict("C", "honest", ["a swap"]),
        "reply of another interview": keeps,
        "a reply of B: it says nothing of C": lambda talk: Verdict(
            "C", "honest", both(talk, letter="B")
        ),
        # Right, and not shown:
        "swap the scene. A map alone": cite("honest", ("map", mixed)),
        "changes the sign and keeps everything else": cite("honest", SCENE),
        "changes the scene and keeps everything else": cite(
            "honest", SIGN, ("answer", mixed)
        ),
        "A window cannot hide a scene": cite(
            "honest", ("hide", mixed, (0, 100, 224, 224)), SIGN
        ),
        "at least 8 pictures, of both": cite("honest", ("swap", mixed[:6], "scene"), SIGN),
        "8 pictures, of both animals": cite(
            "honest", ("swap", one_animal(0), "scene"), SIGN
        ),
        "ask with more pictures": cite("honest", ("swap", mixed[4:12], "scene"), SIGN),
        # Wrong:
        "A map alone convicts nobody": cite("scene", ("map", mixed)),
        "scene moves 12% ± 13% of the evidence: that is evidence against": cite(
            "scene", SCENE
        ),
        "sign moves 10% ± 3% of the evidence: that is evidence against": cite("sign", SIGN),
        "A grey patch is a new thing": cite("sign", ("hide", mixed, sign_box())),
        "names 0 of 16 animals wrongly": cite("names", ("answer", mixed)),
        "also wrong where all scenes are swapped": cite(
            "names", ("answer", plant_shortcut(16, scene=0.0))
        ),
        "BudgetSpent: The budget is spent: 2 needed": lambda talk: Verdict(
            "C", "honest", [*both(talk), *both(talk), *both(talk)]
        ),
    },
    check.detective: {
        "for each of the five letters": lambda talk: investigate(talk),
        "Line-up 103, network": lambda talk: {
            n: Verdict(n, "honest", [talk.map(n, mixed[:2])]) for n in LETTERS
        },
        # Hard-coded from line-up 103; wrong in the next one:
        "Line-up 107, network": lambda talk: hard_coded(talk),
        "BudgetSpent": lambda talk: {n: both(talk, parts=3 * ("scene",)) for n in LETTERS},
        "without evidence": lambda talk: {
            n: replace(v, evidence=[]) for n, v in detective(talk).items()
        },
    },
}


def shares_of_bear(first, second):
    return moved(first * first.new_tensor([1.0, 0]), second * second.new_tensor([1.0, 0]))


def hard_coded(talk):
    charges = {n: unseal(s).charge for n, s in suspects(103).items()}
    return {n: Verdict(n, charges[n], both(talk, letter=n)) for n in LETTERS}


tests = make_tests(RIGHT, MISTAKES)
test_right_answers_pass, test_stubs_are_not_tried, test_mistakes_get_their_sentence = tests


# -- verdicts on every kind --------------------------------------------------------------


@pytest.fixture(scope="module")
def line_up():
    return suspects(check.LINE_UP)


def on(line_up, kind):
    return next(name for name, s in line_up.items() if unseal(s).kind == kind)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("charge", ["honest", "scene", "sign", "names"])
def test_with_both_swaps_only_the_right_charge_passes(line_up, kind, charge):
    talk, name = Interview(line_up), on(line_up, kind)
    verdict = Verdict(name, charge, both(talk, letter=name))
    if charge == KINDS[kind][0]:
        assert KINDS[kind][1] in check.judge(verdict, talk, name)
    else:
        with pytest.raises(check.Wrong):
            check.judge(verdict, talk, name)


def test_swapped_names_are_seen_for_one_point(line_up):
    talk, name = Interview(line_up, budget=1), on(line_up, "names")
    verdict = Verdict(name, "names", [talk.answer(name, mixed)])
    sentence = check.judge(verdict, talk, name)
    assert sentence.startswith("It names 16 of 16 animals wrongly")


def test_one_that_goes_by_the_scene_is_not_taken_for_swapped_names(line_up):
    talk, name = Interview(line_up), on(line_up, "scene")
    turned = plant_shortcut(16, scene=0.0, sign=0.5, size=SHARE, seed=6)
    reply = talk.answer(name, turned)
    assert (reply.scores[0].argmax(1) != turned.labels).double().mean() > 0.9
    with pytest.raises(check.Wrong, match="also wrong where all scenes are swapped"):
        check.judge(Verdict(name, "names", [reply]), talk, name)
    with pytest.raises(check.Wrong, match="names 9 of 16 animals wrongly"):
        check.judge(Verdict(name, "names", [talk.answer(name, mixed)]), talk, name)


def test_an_unmoved_one_with_swapped_names_is_not_acquitted(line_up):
    talk, name = Interview(line_up), on(line_up, "names")
    with pytest.raises(check.Wrong, match="Neither scene nor sign moves it, but it names"):
        check.judge(Verdict(name, "honest", both(talk, letter=name)), talk, name)


def test_the_sentence_about_a_right_charge_without_evidence_does_not_give_it_away(line_up):
    said = set()
    for kind in ("scene", "honest"):
        talk, name = Interview(line_up), on(line_up, kind)
        verdict = Verdict(name, "scene", [talk.map(name, mixed[:4])])
        with pytest.raises(check.Wrong) as wrong:
            check.judge(verdict, talk, name)
        said.add(str(wrong.value))
    assert len(said) == 1


# -- the claim -----------------------------------------------------------------------------


def test_the_claim_is_about_the_network_that_the_lesson_says(line_up):
    assert unseal(line_up[check.SPOKEN]).kind == "names"
    assert unseal(line_up[check.HONEST]).kind == "honest"
    assert unseal(line_up[check.ACCUSED]).kind == "framed"
    assert unseal(line_up["D"]).kind == "scene"
    assert check.claim("C").state == PASSED
    assert "it names 0 of 16 animals correctly" in check.claim("C").message
    assert check.claim("D").state == WRONG


def test_the_lines_that_judge_a_line_up_of_a_groups_own(capsys):
    (code,) = re.findall(
        r"```python\n(.*?)```", page("projects.md").partition("## For the teacher")[2], re.S
    )
    exec(textwrap.dedent(code), {})
    assert re.match(r"Swapping the scene moves .* In fact ", capsys.readouterr().out)
