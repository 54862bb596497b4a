"""Checks of lesson 11: a paired share, a verdict and its evidence, a whole line-up.

A verdict is judged by the replies that it rests on: whether they *could* have shown what it
says. A right charge without them does not pass, and the sentence does not say that it is
right.
"""

from collections.abc import Mapping, Sequence
from functools import cache

import torch
from torch import Tensor

from ..shortcuts import brightness_on, plant_shortcut
from ..suspects import (
    BUDGET,
    CHARGES,
    KINDS,
    LETTERS,
    SHARE,
    Interview,
    Reply,
    Suspect,
    Verdict,
    moved,
    suspects,
    unseal,
)
from .base import Wrong, about, as_tensor, call, compare, each_argument, exercise, read
from .claims import Claim, Test
from .reading import each, number
from .toys import noise

LINE_UP, ACCUSED, POINTS = 8, "C", 8  # of exercise 2
HIDDEN = (103, 107)  # line-ups of exercise 3
LIMIT = 1 / 3  # of the evidence: more is a shortcut
ENOUGH = 8  # different pictures, of both animals
MOSTLY = 0.75

# -- exercise 1 ------------------------------------------------------------------------


@exercise("Exercise 1")
def share_moved(answer) -> str:
    """Check `answer(first, second)`: the share that a swap moves, and its margin."""
    for count in (16, 11):
        place = torch.arange(count)[:, None] % 2 * torch.tensor([[-2.0, 2.0]])
        common = 9 * noise(count, 1, seed=count)  # of both scores of a picture: cancels
        first, second = (
            common + place + noise(count, 2, seed=s) for s in (count + 1, count + 2)
        )
        first[:, 0] += 1.5 if count == 16 else -1.5  # a share may be negative
        second -= 2  # what moves both scores alike moves no evidence
        right, mistakes = _shares(first, second)
        otherwise = "Differences of scores first, then the moves of the same picture."
        case = {"first": first, "second": second}
        with each_argument(answer, case, first=first.flip(0), second=2 * second):
            result = as_tensor(call(answer, first, second))
            if isinstance(result, (float, int)) or getattr(result, "shape", None) == ():
                raise Wrong("That is one number: return the share *and* its margin.")
            result = read(result, each(number), "two numbers, share and margin")
            if len(result) != 2:
                raise Wrong(f"Expected two numbers, share and margin, got {len(result)}.")
            usual = moved(first, second)
            of_all = usual[1] * ((count - 1) / count) ** 0.5  # NumPy's deviation
            if abs(result[1] - of_all) < 1e-4:
                result[1] = usual[1]
            compare(torch.tensor(result), right, mistakes, otherwise)
    return "Paired, of differences of scores: what moves both scores alike moves nothing."


def _shares(first: Tensor, second: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """The right pair, and sentence → a wrong one."""
    bears, dogs = (scores[:, 0] - scores[:, 1] for scores in (first, second))
    root, moves = len(bears) ** 0.5, bears - dogs
    size = bears.abs().mean() + dogs.abs().mean()
    share, margin = moves.mean() / size, 2 * moves.std() / root
    unpaired = 2 * (bears.var() + dogs.var()).sqrt() / root
    one, signed = bears.abs().mean(), bears.mean().abs() + dogs.mean().abs()

    def pair(a, b) -> Tensor:
        return torch.stack([torch.as_tensor(a), torch.as_tensor(b)])

    mistakes = {
        "Your interval is not paired: take the deviation of the moves.": (
            share,
            unpaired / size,
        ),
        "You add sizes of moves: moves to and fro should cancel, so no abs() there.": (
            moves.abs().mean() / size,
            2 * moves.abs().std() / root / size,
        ),
        "The share has a sign, which says which way the evidence moves: no abs() there.": (
            share.abs(),
            margin / size,
        ),
        "That is second minus first: the bear's part comes first.": (-share, margin / size),
        "That is the margin, then the share: return them the other way round.": (
            margin / size,
            share,
        ),
        "Those are per cent: return shares, from -1 to 1.": (
            100 * share,
            100 * margin / size,
        ),
        "That is the spread of single pictures: divide it by √N for that of the mean.": (
            share,
            margin * root / size,
        ),
        "You divide the deviation by N: divide by √N.": (share, margin / root / size),
        "That is one standard error: the margin is two.": (share, margin / 2 / size),
        "Divide the margin by the same size as the mean.": (share, margin),
        "Divide by the size of the evidence, both means added: this is not a share.": (
            moves.mean(),
            margin,
        ),
        "You divide by the size in one set only: add that of the other.": (
            moves.mean() / one,
            margin / one,
        ),
        "You divide by the mean of both sizes, not by their sum.": (
            2 * share,
            2 * margin / size,
        ),
        "The sizes are mean(|z|): abs() before the mean, or bears and dogs cancel.": (
            moves.mean() / signed,
            margin / signed,
        ),
    }
    for column, name in ((0, "bear"), (1, "dog")):
        mistakes[
            f"You take the score of {name} alone. What raises both scores alike changes no "
            "answer: take their difference."
        ] = moved(*(torch.stack([s[:, column], 0 * s[:, 0]], 1) for s in (first, second)))
    return pair(share, margin / size), {text: pair(*w) for text, w in mistakes.items()}


# -- exercises 2 and 3: a verdict and its evidence -------------------------------------


@cache
def _line_up(seed: int) -> dict[str, Suspect]:
    return suspects(seed)


@exercise("Exercise 2", patience=5)
def investigate(answer) -> str:
    """Check `answer(talk)`: a `Verdict` on C, with replies of `talk` as evidence."""
    talks = []
    verdict = call(answer, Interview(_line_up(LINE_UP), POINTS), after=talks.append)
    return judge(read(verdict, _verdict, "a Verdict"), talks[0], ACCUSED)


@exercise("Exercise 3", patience=5)
def detective(answer) -> str:
    """Check `answer(talk)`: letter → `Verdict`, on two line-ups, within 20 points each."""
    spent = []
    for seed in HIDDEN:
        talks = []
        verdicts = call(answer, Interview(_line_up(seed), BUDGET), after=talks.append)
        if not isinstance(verdicts, Mapping) or set(verdicts) != set(LETTERS):
            raise Wrong("Expected a dictionary: a Verdict for each of the five letters.")
        for letter in LETTERS:
            with about(f"Line-up {seed}, network {letter}"):
                judge(read(verdicts[letter], _verdict, "a Verdict"), talks[0], letter)
        spent.append(BUDGET - talks[0].left)
    points = " and ".join(map(str, spent))
    return f"All five of two line-ups that you had not seen, for {points} points."


def _verdict(value) -> Verdict:
    if not isinstance(value, Verdict):
        raise TypeError
    return value


def judge(verdict: Verdict, talk: Interview, network: str) -> str:
    """What the evidence shows, if it supports the right charge; else raise `Wrong`."""
    if verdict.network != network:
        raise Wrong(f"The verdict should be on network {network}.")
    if verdict.charge not in CHARGES:
        raise Wrong(f"The charge should be one of {', '.join(CHARGES)}.")
    replies = _admitted(verdict, talk)
    supports = {"honest": _clears_all, "names": _names}.get(verdict.charge, _moves)
    shown = supports(replies, verdict.charge)
    sealed = unseal(talk.line_up[network])
    if verdict.charge != sealed.charge:
        raise Wrong(f"{shown} Yet that is not what it goes by: look at other pictures.")
    return f"{shown} In fact {KINDS[sealed.kind][1]}."


def _admitted(verdict: Verdict, talk: Interview) -> Sequence[Reply]:
    """The replies of the evidence, all from this interview and about this network."""
    evidence = verdict.evidence
    if isinstance(evidence, Reply) or not isinstance(evidence, Sequence):
        raise Wrong("The evidence should be a list of replies, [reply, …].")
    if not all(isinstance(reply, Reply) for reply in evidence):
        raise Wrong("The evidence should hold replies, as talk.swap(…) gives them.")
    if not evidence:
        raise Wrong("A charge without evidence: cite the replies that show it.")
    if not all(any(reply is own for own in talk.asked) for reply in evidence):
        raise Wrong("You cite a reply of another interview: ask through `talk`.")
    if others := [r.network for r in evidence if r.network != verdict.network]:
        raise Wrong(
            f"You cite a reply of {others[0]}: it says nothing of {verdict.network}."
        )
    return evidence


def _swaps(replies: Sequence[Reply], part: str) -> list[Reply]:
    return [r for r in replies if r.question == "swap" and r.about == part]


def _effect(replies: Sequence[Reply], part: str) -> tuple[float, float]:
    """Share and margin of the largest swap of a part; raise `Wrong` if there is none."""
    swaps = _swaps(replies, part)
    if not swaps:
        words = f"Nothing that you cite changes the {part} and keeps everything else"
        asked = {reply.question for reply in replies}
        why = ""
        if "map" in asked:
            why = " A map alone convicts nobody and acquits nobody."
        elif "hide" in asked and part == "scene":
            why = " A window cannot hide a scene."
        elif "hide" in asked:
            why = " A grey patch is a new thing in the picture, to which it may respond."
        raise Wrong(f"{words}: swap the {part}.{why}")
    largest = max(swaps, key=lambda reply: len(set(reply.pictures.recipes)))
    different = set(largest.pictures.recipes)
    if len(different) < ENOUGH or len({recipe.animal for recipe in different}) < 2:
        raise Wrong(f"Swap the {part} of at least {ENOUGH} pictures, of both animals.")
    return moved(*largest.scores)


def _words(share: float, margin: float, part: str) -> str:
    number = f"{share:.0%} ± {margin:.0%}".replace("-", "−")
    return f"Swapping the {part} moves {number} of the evidence"


def _ruling(replies: Sequence[Reply], part: str) -> tuple[bool, str]:
    """Whether a part moves more than `LIMIT` of the evidence, and how much it moves."""
    share, margin = _effect(replies, part)
    words = _words(share, margin, part)
    if abs(share) + margin < LIMIT:
        return False, words
    if abs(share) - margin > LIMIT:
        return True, words
    raise Wrong(f"{words}, an interval that includes {LIMIT:.0%}: ask with more pictures.")


def _moves(replies: Sequence[Reply], part: str) -> str:
    guilty, words = _ruling(replies, part)
    if not guilty:
        raise Wrong(f"{words}: that is evidence against the charge.")
    return f"{words}, with the animal kept."


def _clears_all(replies: Sequence[Reply], charge: str) -> str:
    found = []
    for part in ("scene", "sign"):
        guilty, words = _ruling(replies, part)
        if guilty:
            raise Wrong(f"{words}: that is not honest.")
        found.append(words)
    wrong, total = (sum(column) for column in zip(*_mistakes(replies), strict=True))
    if wrong > (1 - MOSTLY) * total:
        raise Wrong(
            f"Neither scene nor sign moves it, but it names {wrong} of {total} animals "
            "wrongly: look at what it says."
        )
    scene, sign = found
    named = f"it names {total - wrong} of {total} animals correctly"
    return f"{scene}; {sign[0].lower()}{sign[1:]}; {named}."


def _names(replies: Sequence[Reply], charge: str) -> str:
    mistakes = _mistakes(replies)
    if any(total < ENOUGH // 2 for _, total in mistakes):
        raise Wrong(
            "A network that goes by the scene is also wrong where all scenes are swapped. "
            "Ask about animals of both kinds: on their own ground, and on the other."
        )
    wrong, total = (sum(column) for column in zip(*mistakes, strict=True))
    words = f"It names {wrong} of {total} animals wrongly"
    if any(wrong < MOSTLY * total for wrong, total in mistakes):
        raise Wrong(
            f"{words}: with swapped names it would be nearly all, on either ground."
        )
    return f"{words}, on their own ground as on the other."


def _mistakes(replies: Sequence[Reply]) -> list[tuple[int, int]]:
    """How many are named wrongly, and of how many: on their own ground, on the other."""
    seen = {}
    for reply in replies:
        parts = range(2) if reply.question == "swap" else range(1)
        for part in parts:
            pictures = reply.pictures
            if reply.question == "swap":
                pictures = pictures.with_part(reply.about, part)
            said = reply.scores[part].argmax(dim=1).tolist()
            seen |= dict(zip(pictures.recipes, said, strict=True))
    sides = [
        [(r, s) for r, s in seen.items() if (r.animal == r.ground) == own] for own in (1, 0)
    ]
    return [(sum(r.animal != s for r, s in side), len(side)) for side in sides]


# -- the claim -------------------------------------------------------------------------

SPOKEN = "E"  # of line-up 8, the network of the claim; its names are swapped
HONEST = "B"  # of line-up 8


def _asked() -> tuple[Interview, object]:
    mixed = plant_shortcut(16, scene=0.5, sign=0.5, size=SHARE, seed=6)
    return Interview(_line_up(LINE_UP), 100), mixed


def _brightness(network: str) -> float:
    talk, mixed = _asked()
    maps = talk.map(network, mixed[:6]).maps
    return brightness_on(maps, mixed[:6].masks).mean().item()


def _brighter() -> str:
    return f"its Grad-CAM is {_brightness(SPOKEN):.0f} times as bright on the animal."


def _beside() -> str:
    both = (f"{_brightness(network):.0f}" for network in (SPOKEN, HONEST))
    return f"Grad-CAM on the animal, {' times as bright for E, '.join(both)} times for B."


def _hidden() -> str:
    talk, mixed = _asked()
    share, margin = moved(*talk.swap(SPOKEN, mixed, "scene").scores)
    number = f"{share:.0%} ± {margin:.0%}".replace("-", "−")
    return f"swapping the scene moves {number} of its evidence."


def _read() -> str:
    talk, mixed = _asked()
    wrong, total = map(sum, zip(*_mistakes([talk.answer(SPOKEN, mixed)]), strict=True))
    return f"it names {total - wrong} of {total} animals correctly."


claim = Claim(
    "E's map lies on the animal, as an honest network's does. E can be used.",
    {
        "A": Test(
            _brighter, "It would be as bright whether the names are right or swapped."
        ),
        "B": Test(
            _beside,
            "E looks at the same places and gives them the other name. Two maps that "
            "are alike say nothing about that.",
        ),
        "C": Test(
            _read,
            "That refutes it. A map shows where a score comes from, not whether its "
            "name is right.",
            could_refute=True,
        ),
        "D": Test(
            _hidden, "That clears it of the scene, and would do so whatever the names are."
        ),
    },
)
