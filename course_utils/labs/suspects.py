"""Lab of lesson 11: question a line-up by hand, hide what you like, and judge."""

from PIL import Image

from .. import shortcuts
from ..checks.base import Wrong
from ..checks.suspects import judge
from ..shortcuts import CLASSES, SIZE, plant_shortcut
from ..suspects import CHARGES, LETTERS, SHARE, Interview, Reply, Verdict, moved, suspects
from .base import Lab
from .controls import dropdown, slider
from .scenes import EXPLAINED, OTHER, grey, map_words, veil
from .touch import Bars, Layer, Pictures, Scene

PICTURES, STEP, SMALL, LARGE = 16, 8, 16, 160  # pictures of a question; pixels
ASK = {  # what is asked, and how
    "what it says": lambda talk, who, shown, box: talk.answer(who, shown),
    "swap the scene": lambda talk, who, shown, box: talk.swap(who, shown, "scene"),
    "swap the sign": lambda talk, who, shown, box: talk.swap(who, shown, "sign"),
    "hide the window": lambda talk, who, shown, box: talk.hide(who, shown, box),
    "map of the score": lambda talk, who, shown, box: talk.map(who, shown),
    "map of the difference": lambda talk, who, shown, box: talk.map(
        who, shown, of="difference"
    ),
}
SWAPPED = {"scene": ("snow", "green"), "sign": ("no sign", "sign")}  # bear's, dog's
HEAD = ("asked", "what came out", "points")


class SuspectsLab(Lab):
    """Five sealed networks, six kinds of question, twenty points, and a judge.

    A question is about sixteen pictures at once; the slider looks at one of them after the
    other, which costs nothing.
    """

    title = "Question a line-up"
    primary = ("network", "question", "number", "line_up")

    def __init__(self):
        self.pictures = plant_shortcut(PICTURES, 0.5, 0.5, SHARE, seed=6)
        self.talk, self.replies = Interview(suspects(21)), {}
        self.charge = dropdown("charge", [*CHARGES])
        super().__init__(
            network=dropdown("network", [*LETTERS]),
            question=dropdown("question", [*ASK]),
            number=slider("picture", 2, 1, PICTURES),
            line_up=slider("line-up", 21, 0, 99),
            row=slider("row", SIZE // 2, 0, SIZE - 1),  # the window's middle
            column=slider("column", SIZE // 2, 0, SIZE - 1),
            window=slider("window (px)", 48, SMALL, LARGE, STEP),
        )
        look = {"button_style": "primary"}
        ask = self.button("ask", "question", self.ask, **look)
        judged = self.button("judge", "gavel", self.judge)
        self.buttons = self.add_row(ask, self.charge, judged)

    # -- what the learner does -----------------------------------------------------------

    def touched(self, key: str, hand: dict) -> None:
        """The window was moved, or resized by keys."""
        place = {"row": round(hand["y"]), "column": round(hand["x"])}
        width = min(max(round(hand["w"]), SMALL), LARGE)
        self.set(question="hide the window", window=width, **place)

    def ask(self) -> None:
        """Put the question, for points; the reply is kept."""
        values = self.values

        def put() -> str:
            ask = ASK[values["question"]]
            reply = ask(self.talk, values["network"], self.pictures, self._box(**values))
            self.replies[self._key(**values)] = reply
            return self.show(self.draw(**values))

        self.attempt(put)

    def judge(self) -> None:
        """Say what the replies of this network are worth as evidence for the charge."""
        network = self.controls["network"].value
        evidence = [reply for reply in self.talk.asked if reply.network == network]
        verdict = Verdict(network, self.charge.value, evidence)

        def say() -> str:
            try:
                return f"Right. {judge(verdict, self.talk, network)}"
            except Wrong as wrong:
                return f"Not yet. {wrong}"

        self.attempt(say)

    # -- what is on the screen -----------------------------------------------------------

    def draw(self, **values) -> Scene:
        """One of the pictures, what was asked about it, and all that was asked so far."""
        if self.talk.line_up["A"].line_up != values["line_up"]:
            self.talk, self.replies = Interview(suspects(values["line_up"])), {}
        reply = self.replies.get(self._key(**values))
        panels = [self._picture(**values), *self._asked(values["number"] - 1, reply)]
        left = f"{self.talk.left} points left."
        who = f"{values['network']}, {values['question']}"
        answer = f"{who}: {_outcome(reply) if reply else 'not asked'}; {left}"
        table = [HEAD]
        for (network, question, *_), one in self.replies.items():
            table.append((f"{network}, {question}", _outcome(one), one.cost))
        return Scene(panels, answer, table)

    def _key(self, network: str, question: str, **values) -> tuple:
        hides = question == "hide the window"
        return network, question, self._box(**values) if hides else ()

    def _box(self, row: int, column: int, window: int, **values) -> tuple:
        starts = (min(max(v - window // 2, 0), SIZE - window) for v in (column, row))
        left, top = starts
        return left, top, left + window, top + window

    def _picture(self, number: int, **values) -> Pictures:
        number -= 1
        left, top, right, bottom = self._box(**values)
        middle = {"x": (left + right) / 2, "y": (top + bottom) / 2}
        tool = {"kind": "window", "step": STEP, "sizes": [SMALL, LARGE]}
        return Pictures(
            key="picture",
            title=f"{CLASSES[self.pictures.recipes[number].animal]}: drag the window",
            label="A picture: drag the window or press arrow keys; + and − resize it.",
            layers=[Layer(self.pictures.pictures[number])],
            tool=tool,
            hand=middle | {"w": right - left, "h": bottom - top},
            size=(SIZE, SIZE),
        )

    def _asked(self, number: int, reply: Reply | None) -> list:
        """The picture, or the two, that the network was shown, and its evidence."""
        look = {"size": (SIZE, SIZE)}
        one = self.pictures[number : number + 1]
        picture, words = one.pictures[0], ""
        layers = [grey(picture)]
        if reply is None:
            asked = Pictures(key="asked", title="not asked yet", layers=layers, **look)
            return [asked, _bars([_bar("no answer", 0.0, "")], 1)]
        differences = reply.scores[:, :, 0] - reply.scores[:, :, 1]
        evidence, reach = differences[:, number].tolist(), differences.abs().max().item()
        names = [CLASSES[int(value < 0)] for value in evidence]
        if reply.question == "swap":
            now = getattr(one.recipes[0], shortcuts.PARTS[reply.about])
            layers = [Layer(one.swap(reply.about).pictures[0])]
            title = f"swapped: {SWAPPED[reply.about][1 - now]}"
            pairs = zip(SWAPPED[reply.about], names, strict=True)
            names = [f"{where}: {says}" for where, says in pairs]
        elif reply.question == "hide":
            layers, title = [Layer(_hidden(picture, reply.about))], "hidden"
            names = [f"{t}: {s}" for t, s in zip(("whole", "hidden"), names, strict=True)]
        elif reply.question == "map":
            values = reply.maps[number]
            layers.append(veil(values))
            title, words = reply.about, map_words(values)
        else:
            layers, title = [Layer(picture)], "as it is"
        bars = [_bar(*pair, None) for pair in zip(names, evidence, strict=True)]
        asked = Pictures(key="asked", title=title, layers=layers, words=words, **look)
        return [asked, _bars(bars, reach)]


def _bar(name: str, value: float, text: str | None) -> dict:
    shown = f"{value:+.1f}".replace("-", "−") if text is None else text
    colour = EXPLAINED if value < 0 else OTHER
    return {"name": name, "value": round(value, 2), "text": shown, "colour": colour}


def _bars(bars: list[dict], reach: float) -> Bars:
    title = "evidence: dog ← 0 → bear"
    return Bars(key="bars", title=title, bars=bars, limits=(-reach, reach), weight=1.1)


def _hidden(picture: Image.Image, box: tuple) -> Image.Image:
    """The picture with the region in the mean colour of ImageNet."""
    hidden = picture.copy()
    hidden.paste((124, 116, 104), box)
    return hidden


def _outcome(reply: Reply) -> str:
    """What came out, in a few words."""
    pictures = reply.pictures
    if len(reply.scores) == 2:
        share, margin = moved(*reply.scores)
        return f"moves {share:.0%} ± {margin:.0%}".replace("-", "−")
    if reply.question == "map":
        lit = [i for i, values in enumerate(reply.maps) if values.any()]
        times = shortcuts.brightness_on(reply.maps[lit], pictures.masks[lit]).mean()
        return f"{times:.1f} times as bright on the animal"
    right = (reply.scores[0].argmax(dim=1) == pictures.labels).sum()
    return f"right in {right} of {len(pictures)}"
