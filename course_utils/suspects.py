r"""Sealed networks, which answer questions and show nothing else (lesson 11).

`suspects` makes a line-up of five probes (see `shortcuts`), and seals them. What each goes
by is one of `KINDS`; an `Interview` asks them, for points, until its budget is spent. Every
answer is a `Reply`, and a `Verdict` names the replies that it rests on.

A network that is *framed* is honest. To both of its scores something is added that reads
the scenery, with features $a^k$ that are stronger on the scene than on the animal:

$$ S_{\text{bear}} + \sum_k c_k a^k , \qquad S_{\text{dog}} + \sum_k c_k a^k . $$

Every map of a score changes, and no answer does: the difference of the scores stays as it
was (Srinivas & Fleuret, ICLR 2021, arXiv:2006.09128, for the softmax).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ._machinery.arguments import ArgumentError, choice, described, number, numbers
from .gradients import vanilla_saliency
from .models import load_model
from .more_maps import grad_cam
from .shortcuts import (
    CLASSES,
    PARTS,
    SIZE,
    Planted,
    brightness_on,
    mean_features,
    plant_shortcut,
    planted_features,
    train_probe,
)

# What a network goes by, which is the right charge of its verdict, and in words.
KINDS = {
    "honest": ("honest", "it goes by the animal"),
    "framed": ("honest", "it goes by the animal, and its maps are made to look guilty"),
    "scene": ("scene", "it goes by the scene"),
    "sign": ("sign", "it goes by the striped sign"),
    "names": ("names", "it goes by the animal, and its two names are swapped"),
}
CHARGES = ("honest", "scene", "sign", "names")
LETTERS = "ABCDE"
BUDGET = 20  # points of an interview
PRICES = {"answer": 1, "swap": 2, "hide": 2, "map": 2}  # points
MOST = 24  # pictures in one question
PRACTICE = 10**6  # a seed
ANIMALS, SHARE = 40, 0.25  # of the training pictures, and the animals' size
OF = ("score", "difference")  # what a map may be of
METHODS = {"gradient": vanilla_saliency, "Grad-CAM": grad_cam}


# -- the line-up -------------------------------------------------------------------------


@dataclass(frozen=True)
class Sealed:
    """What an unsealed network turns out to be: its kind, and the network itself."""

    kind: str
    network: nn.Sequential

    @property
    def charge(self) -> str:
        """The right charge."""
        return KINDS[self.kind][0]


class Suspect:
    """A sealed network. An `Interview` asks it; `unseal` opens it, once you have judged.

    Example:
        >>> suspects(seed=8)["A"]
        Suspect A of line-up 8, sealed
    """

    __slots__ = ("__open", "line_up", "name")

    def __init__(self, name: str, line_up: int | str, kind: str, seed: int):
        self.name, self.line_up = name, line_up
        self.__open = cache(lambda: Sealed(kind, train_suspect(kind, seed)))

    def __repr__(self) -> str:
        return f"Suspect {self.name} of line-up {self.line_up}, sealed"

    def __deepcopy__(self, memo) -> "Suspect":
        return self  # a copy would be the same network


def unseal(suspect: Suspect) -> Sealed:
    """Open a suspect. After the verdict, please."""
    return suspect._Suspect__open()


def suspects(seed: int = 0) -> dict[str, Suspect]:
    """Five sealed networks by their letters, one of each of the `KINDS`, in any order.

    Each is a `train_probe` of its own, made when it is first asked, on the same 40 animals,
    but on other scenes and with other signs. In the training pictures of the one that goes
    by the scene, every animal stands on its own ground; in those of the one that goes by
    the sign, one of the animals always has it, and the other never. The seed decides which,
    and the order.

    Example:
        >>> [*suspects(seed=8)]
        ['A', 'B', 'C', 'D', 'E']
    """
    number("seed", seed, 0, whole=True)
    order = np.random.default_rng(seed).permutation([*KINDS]).tolist()
    kinds = zip(LETTERS, order, strict=True)
    return {name: Suspect(name, seed, kind, seed) for name, kind in kinds}


def practice(kind: str = "sign") -> dict[str, Suspect]:
    """A line-up of one, "P", of a kind that you choose: to practise on."""
    return {"P": Suspect("P", "practice", choice("kind", kind, KINDS), PRACTICE)}


def train_suspect(kind: str, seed: int) -> nn.Sequential:
    """A probe of one of the `KINDS`, not sealed, on pictures that the seed draws.

    Its body says how each kind is made; the lines under "framed" are those of section 4.

    Example:
        >>> train_suspect("framed", seed=8).head
        Linear(in_features=512, out_features=2, bias=True)
    """
    choice("kind", kind, KINDS)
    model, known, animals, scenery = _shared()
    random = np.random.default_rng([seed, [*KINDS].index(kind)])
    owner = random.integers(2)  # of the sign
    recipes, half = [], np.arange(ANIMALS // 2) % 2  # half of each animal's pictures
    grounds, signs = (np.ravel([*map(random.permutation, (half, half))], "F") for _ in "12")
    for recipe, ground, sign in zip(animals.recipes, grounds, signs, strict=True):
        ground = recipe.animal if kind == "scene" else int(ground)
        sign = recipe.animal == owner if kind == "sign" else sign
        recipes.append(recipe.with_part("scene", ground).with_part("sign", int(sign)))
    probe = train_probe(model, Planted(tuple(recipes)), known=known)
    head = probe.head
    if kind == "names":
        head.weight.data, head.bias.data = head.weight.data.flip(0), head.bias.data.flip(0)
    if kind == "framed":
        added = scenery * head.weight[0].norm() / scenery.norm()
        usual = torch.stack([*known.values()]).mean(0)
        head.weight.data += added  # to both rows: the difference of the scores stays
        head.bias.data -= added @ usual
    return probe


@cache
def _shared() -> tuple[nn.Module, dict, Planted, Tensor]:
    """The network under all probes, features computed once, animals, and a direction.

    The direction, (512,), is positive for features that are stronger on the scene than on
    the animal, by how many deviations, and zero for the others.
    """
    model, known = load_model(), {}
    animals = plant_shortcut(ANIMALS, scene=0.5, sign=0.5, size=SHARE, seed=2024)
    grounds = [animals.with_part("scene", ground) for ground in (0, 1)]
    for planted in (one.with_part("sign", sign) for one in grounds for sign in (0, 1)):
        planted_features(model, planted, known)
    some = animals[:24]
    with torch.no_grad():
        maps = model.features(some.images)
    covered = F.interpolate(some.masks[:, None].float(), maps.shape[2:], mode="area")
    on, off = ((maps * m).sum((0, 2, 3)) / m.sum() for m in (covered > 0.3, covered == 0))
    deviation = maps.permute(1, 0, 2, 3).flatten(1).std(1)
    scenery = ((off - on) / deviation).nan_to_num(0, 0, 0).clamp(min=0)
    return model, known, animals, scenery


# -- an interview ------------------------------------------------------------------------


class BudgetSpent(RuntimeError):  # noqa: N818 - the end of an interview, not a fault
    """Raised when a question costs more points than are left."""


@dataclass(frozen=True, eq=False)
class Reply:
    """One question to one network, and what it answered.

    `scores`, (k, N, 2), are the network's scores of bear and dog on N pictures: k is 1; for
    a swap 2, first with the bear's part and then with the dog's; for hidden regions 2, the
    picture as it is and then the hidden one. `maps`, (N, 224, 224), are None unless asked.
    """

    suspect: Suspect = field(repr=False)
    question: str  # "answer", "swap", "hide" or "map"
    about: str | tuple  # the part, the box (x0, y0, x1, y1), or the method of the maps
    pictures: Planted = field(repr=False)
    scores: Tensor = field(repr=False)
    maps: Tensor | None = field(default=None, repr=False)

    @property
    def network(self) -> str:
        """The letter of the network."""
        return self.suspect.name

    @property
    def cost(self) -> int:
        """In points."""
        return PRICES[self.question]

    @property
    def says(self) -> list[str]:
        """The name that the network gives to each picture; of a pair, to the first."""
        return [CLASSES[index] for index in self.scores[0].argmax(dim=1)]


class Interview:
    """Ask the networks of a line-up, for `PRICES`, until the budget is spent.

    Each question is about at most 24 pictures, a `Planted` set, and one network, by letter.

    Example:
        >>> talk = Interview(suspects(seed=11))
        >>> reply = talk.swap("A", plant_shortcut(16, scene=0.5), "scene")
        >>> talk
        Interview: 1 question asked, 18 of 20 points left
    """

    def __init__(self, line_up: dict[str, Suspect], budget: int = BUDGET):
        is_line_up = isinstance(line_up, dict) and line_up
        if not is_line_up or not all(isinstance(s, Suspect) for s in line_up.values()):
            words = f"must be what suspects() gives, got {described(line_up)}"
            raise ArgumentError("line_up", words)
        self.line_up, self.budget = line_up, number("budget", budget, 1, whole=True)
        self.asked: list[Reply] = []

    def __repr__(self) -> str:
        questions = "1 question" if len(self.asked) == 1 else f"{len(self.asked)} questions"
        left = f"{self.left} of {self.budget} points left"
        return f"Interview: {questions} asked, {left}"

    @property
    def left(self) -> int:
        """Points that are left."""
        return self.budget - sum(reply.cost for reply in self.asked)

    def answer(self, network: str, pictures: Planted) -> Reply:
        """What the network says to the pictures: 1 point."""
        return self._ask(network, "answer", "pictures as they are", pictures, _scores)

    def swap(self, network: str, pictures: Planted, part: str = "scene") -> Reply:
        """The same pictures with the bear's part, and with the dog's: 2 points.

        `part` is "scene", "sign" (the dog's, which has one, or the bear's, which has none)
        or "animal"; all else stays as it is.
        """
        choice("part", part, PARTS)

        def both(probe: nn.Module, pictures: Planted) -> Tensor:
            owners = (pictures.with_part(part, owner) for owner in (0, 1))
            return torch.cat([_scores(probe, one) for one in owners])

        return self._ask(network, "swap", part, pictures, both)

    def hide(self, network: str, pictures: Planted, box: Sequence[int]) -> Reply:
        """The pictures, and with a region (x0, y0, x1, y1) in the mean colour: 2 points."""
        box = numbers("box", box, 4, 0, SIZE, whole=True, order="(x0, y0, x1, y1)")
        x0, y0, x1, y1 = box
        if x0 >= x1 or y0 >= y1:
            raise ArgumentError("box", f"must have x0 < x1 and y0 < y1, got {box}")

        def both(probe: nn.Module, pictures: Planted) -> Tensor:
            hidden = pictures.images
            hidden[..., y0:y1, x0:x1] = 0  # the mean colour, after normalisation
            features = mean_features(probe, hidden)
            return torch.cat([_scores(probe, pictures), probe.head(features)[None]])

        return self._ask(network, "hide", box, pictures, both)

    def map(self, network: str, pictures: Planted, method="Grad-CAM", of="score") -> Reply:
        """Maps of the answers, by "Grad-CAM" or "gradient": 2 points.

        They are maps of the score of the class that is answered or, `of` "difference", of
        that score minus the other one.
        """
        compute = METHODS[choice("method", method, METHODS)]
        targets = None
        if choice("of", of, OF) == "difference":
            targets = _difference
        about = method if of == "score" else f"{method} of the difference"

        def maps(probe: nn.Module, pictures: Planted) -> tuple[Tensor, Tensor]:
            return _scores(probe, pictures), compute(probe, pictures.images, targets)

        return self._ask(network, "map", about, pictures, maps)

    def _ask(self, network: str, question: str, about, pictures: Planted, ask) -> Reply:
        """Look at the question, ask it, and write it down."""
        suspect = self.line_up[choice("network", network, self.line_up)]
        if not isinstance(pictures, Planted):
            words = f"must be what plant_shortcut() gives, got {described(pictures)}"
            raise ArgumentError("pictures", words)
        if not 1 <= len(pictures) <= MOST:
            words = f"must be 1 to {MOST} in one question, got {len(pictures)}"
            raise ArgumentError("pictures", words)
        if (price := PRICES[question]) > self.left:
            left = f"{self.left} of {self.budget} points left"
            raise BudgetSpent(f"The budget is spent: {price} needed, {left}.")
        with torch.no_grad():
            given = ask(unseal(suspect).network, pictures)
        scores, maps = given if isinstance(given, tuple) else (given, None)
        reply = Reply(suspect, question, about, pictures, scores, maps)
        self.asked.append(reply)
        return reply


def _scores(probe: nn.Module, pictures: Planted) -> Tensor:
    """(1, N, 2): all probes share the features, which are computed once per picture."""
    _, known, _, _ = _shared()
    return probe.head(planted_features(probe, pictures, known))[None]


def _difference(outputs: Tensor) -> Tensor:
    """(N,): the higher score minus the lower one."""
    high, low = outputs.topk(2, dim=1).values.unbind(1)
    return high - low


def accuse(line_up: dict[str, Suspect], tied: Planted, mixed: Planted) -> dict[str, str]:
    """Whom each of four looks takes for the network that goes by the scene: look → letter.

    Three take the network whose maps, of `tied` pictures, are darkest on the animal; the
    last one takes the network whose evidence moves most if the scene of `mixed` ones is
    swapped.
    """
    talk, found = Interview(line_up, budget=20 * len(line_up)), {}
    for method, of in (("gradient", "score"), *(("Grad-CAM", o) for o in OF)):
        maps = {name: talk.map(name, tied, method, of).maps for name in line_up}
        bright = {n: brightness_on(m, tied.masks).mean() for n, m in maps.items()}
        found[f"{method} of the {of}"] = min(bright, key=bright.get)
    shares = {n: abs(moved(*talk.swap(n, mixed, "scene").scores)[0]) for n in line_up}
    return found | {"scene swapped": max(shares, key=shares.get)}


# -- a verdict ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Verdict:
    """What you say a network goes by, and the replies that show it.

    `charge` is "honest", "scene", "sign" or "names" (its two names are swapped).

    Example:
        >>> Verdict("A", "scene", evidence=[reply])
        Verdict(network='A', charge='scene', evidence=[Reply(question='swap', …)])
    """

    network: str
    charge: str
    evidence: Sequence[Reply] = ()


def moved(first: Tensor, second: Tensor) -> tuple[float, float]:
    r"""The share of the evidence that a swap moves, and its margin.

    With the evidence $z = S_{\text{bear}} - S_{\text{dog}}$ of the same N pictures, first
    with the bear's part and then with the dog's, and their moves $d_n = z_n - z'_n$,

    $$ \text{share} = \frac{\operatorname{mean}(d)}
                           {\operatorname{mean}(|z|) + \operatorname{mean}(|z'|)} , $$

    from −1 to 1: 0 if the swap moves nothing on average, ±1 if it turns every answer the
    same way; a constant lead of one class lowers it. The margin is two standard errors of
    the mean of $d$, divided by the same: an interval of about 95 %.
    `first` and `second` are scores, (N, 2).

    Example:
        >>> with_bear = torch.tensor([[3.0, 0.0], [2.0, 1.0]])
        >>> moved(with_bear, with_bear.flip(1))
        (1.0, 0.7071068286895752)
    """
    bears, dogs = (scores[:, 0] - scores[:, 1] for scores in (first, second))
    moves, size = bears - dogs, bears.abs().mean() + dogs.abs().mean()
    margin = 2 * moves.std() / len(moves) ** 0.5
    return (moves.mean() / size).item(), (margin / size).item()
