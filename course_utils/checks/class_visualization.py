"""Checks of lesson 04: a step uphill, jitter and back, and what a score proves."""

import torch
from torch import Tensor, nn

from ..class_visualization import judge, visualize_class
from ..gradients import input_gradient
from ..images import preprocess
from ..models import class_name, load_model
from ..samples import load_samples
from .base import Wrong, call, check_tensor, compare, each_argument, exercise
from .claims import Claim, Test
from .toys import noise, other_classes, tiny_network, wrong_goals


def _without_gradients(network: nn.Module, *_rest) -> None:
    if any(weight.grad is not None for weight in network.parameters()):
        raise Wrong("It leaves gradients on the network's weights: use autograd.grad.")


def _stepped(answer, network: nn.Module, image: Tensor, *rest) -> Tensor:
    """The picture after the learner's step, which should leave all else unchanged."""
    result = call(answer, network, image, *rest, intact=True, after=_without_gradients)
    if isinstance(result, Tensor) and result.requires_grad:
        raise Wrong("Your picture is still attached to the graph: return its detach().")
    return check_tensor(result, tuple(image.shape))


@exercise("Exercise 1")
def ascent_step(answer) -> str:
    """Check `answer(network, image, target, rate, l2)`: one step uphill in S − λ‖I‖²."""
    cases = ((2, 0.5, 0.0), (2, 0.5, 2.0), (4, 0.2, 0.5))
    for seed, (target, rate, l2) in enumerate(cases):
        network, image = tiny_network(seed), noise(1, 3, 8, 8 + seed, seed=seed)
        case = {"network": network, "image": image}
        case |= {"target": target, "rate": rate, "l2": l2}
        slope = input_gradient(network, image, target) - 2 * l2 * image
        otherwise = "The shape is right, the values are not: climb score − l2 · ‖I‖²."
        with each_argument(answer, case, target=0, rate=0.1, l2=1.0):
            result = _stepped(answer, *case.values())
            compare(result, image + rate * slope, _step_mistakes(**case), otherwise)
    return "Uphill in the score, held back by the penalty on the picture."


def _step_mistakes(network, image: Tensor, target, rate, l2) -> dict[str, Tensor]:
    def slope(goal) -> Tensor:
        return input_gradient(network, image, goal)

    g, pull, of_length = slope(target), 2 * l2 * image, l2 * image / image.norm()
    up = g - pull
    steps = wrong_goals(torch.tensor([target]), lambda goal: slope(goal) - pull) | {
        "That is downhill: to climb, add rate times the gradient.": pull - g,
        "The penalty is on the scores. λ‖I‖² is about the values of the picture: "
        "image.square().sum().": slope(lambda s: s[:, target] - l2 * s.square().sum(1)),
        "The penalty has the wrong sign, and pushes away from grey: subtract it.": g + pull,
        "The penalty is missing: it is on the values of the picture.": g,
        "The penalty is half as strong as it should be; λ‖I‖² has slope 2λI.": g - pull / 2,
        "The penalty is a mean; ‖I‖² is a sum over all values.": g - pull / image.numel(),
        "That penalises the length ‖I‖; the formula has its square.": g - of_length,
        "That penalises absolute values; the formula has squares.": g - l2 * image.sign(),
        "The penalty has to be multiplied by `rate` as well.": g - pull / rate,
        "`rate` is missing: that is the whole slope.": up / rate,
        "You divide the slope by its length; here add `rate` times the slope.": up
        / up.norm(),
    }
    steps |= other_classes(network, image, target, lambda c: slope(c) - pull)
    results = {sentence: image + rate * step for sentence, step in steps.items()}
    return results | {
        "That is the slope alone: add it to the image, times rate.": up,
        "The image is missing: add it.": rate * up,
        "The step is right, and then you clamp: leave the clamp out here.": (
            image + rate * up
        ).clamp(0, 1),
    }


@exercise("Exercise 2")
def jittered_step(answer) -> str:
    """Check `answer(network, image, target, rate, shift)`: a step under a shift, undone."""
    cases = ((2, 0.5, (0, 0)), (4, 0.2, (1, -3)), (1, 0.3, (-2, 1)))
    for seed, (target, rate, shift) in enumerate(cases):
        network, image = tiny_network(seed), noise(1, 3, 8, 8 + seed, seed=seed)
        case = {"network": network, "image": image}
        case |= {"target": target, "rate": rate, "shift": shift}
        otherwise = "Shift the picture, take the gradient there, shift it back, add it."
        with each_argument(answer, case, target=0, rate=0.1, shift=(3, 2)):
            result = _stepped(answer, *case.values())
            compare(result, *_jittered(**case), otherwise)
    return "The network sees the shifted picture; the step lands where it belongs."


def _jittered(network, image: Tensor, target, rate, shift) -> tuple[Tensor, dict]:
    """The right picture, and sentence → a wrong one; without a shift most are right."""
    none, moved = (0, 0), image.roll(shift, (2, 3))
    back, twice = ([-k * n for n in shift] for k in (1, 2))
    down, right = ((shift[0], 0), (-shift[0], 0)), ((0, shift[1]), (0, -shift[1]))

    def step(forth=shift, back=back, axes=(2, 3), goal=target, by=rate):
        g = input_gradient(network, image.roll(forth, axes), goal)
        return image + by * g.roll(back, axes)

    return step(), {
        "The jitter is not undone: shift it back.": step(back=none) - image + moved,
        "You add the slope to the shifted picture; add it to the one that came.": step()
        - image
        + moved,
        "The gradient is that of the shifted picture: shift it back.": step(back=none),
        "The gradient is shifted forward a second time instead of back.": step(back=shift),
        "The slope is shifted back twice: through the roll, autograd does it once.": step(
            back=twice
        ),
        "The network never sees the shift: shift the picture first.": step(none, none),
        "That is the wrong direction: shift[0] down, shift[1] right.": step(back, shift),
        "The axes are swapped: shift[0] is for axis 2, not 3.": step(axes=(3, 2)),
        "Those are not the axes of (1, 3, H, W): down is axis 2, right is 3.": step(
            axes=(1, 2)
        ),
        "You shift down only; shift[1] goes to the right.": step(*down),
        "You shift to the right only; shift[0] goes down.": step(*right),
        "That is downhill: add rate times the gradient.": step(by=-rate),
        "`rate` is missing: that is the whole slope.": step(by=1),
        "That climbs the softmax probability; climb the score.": step(
            goal=lambda scores: scores.softmax(1)[:, target]
        ),
        "That is the picture as it came.": image,
        "That is the slope alone: add it to the image, times rate.": (step() - image)
        / rate,
        "The image is missing: add it.": step() - image,
    } | other_classes(network, image, target, lambda c: step(goal=c))


# -- claim check -----------------------------------------------------------------------

TABBY = 281


def _grown(steps: int = 32, seed: int = 0) -> tuple[nn.Module, Tensor]:
    """The network, and a small picture that was grown for *tabby*."""
    model = load_model()
    return model, visualize_class(model, TABBY, steps=steps, size=96, seed=seed).pixels


def _score(steps: int = 32, seed: int = 0) -> float:
    return judge(*_grown(steps, seed), TABBY).score


def _for_twice_as_long() -> str:
    return f"The score is {_score(24):.0f} after 24 steps and {_score(48):.0f} after 48."


def _from_other_seeds() -> str:
    return f"Two other seeds score {_score(seed=1):.0f} and {_score(seed=2):.0f}."


def _among_all_classes() -> str:
    said = []
    for seed in range(3):
        model, pixels = _grown(seed=seed)
        share = judge(model, pixels, TABBY).probability
        with torch.no_grad():
            top = int(model(pixels)[0].argmax())
        said.append(f"{class_name(top)} first, tabby {share:.2f}")
    return f"Three small tabbies, grown from three seeds: {'; '.join(said)}."


def _beside_photographs() -> str:
    with torch.no_grad():
        scores = load_model()(preprocess(load_samples().images))
    best = f"{float(scores.max()):.0f} for any class, {float(scores[:, TABBY].max()):.0f}"
    own = f"a small grown one scores {_score():.0f}"
    return f"The 26 photographs score at most {best} for tabby; {own}."


claim = Claim(
    "The grown tabby scores 515, and no photograph of ours scores more than 52 for any "
    "class. So to this network it is a better tabby than any photograph.",
    {
        "A": Test(
            _for_twice_as_long,
            "A search uphill ends higher the longer it runs. That says nothing about what "
            "the network calls the picture.",
        ),
        "B": Test(
            _from_other_seeds,
            "The search finds a way up from any noise, as it did in section 1, where there "
            "was nothing to see.",
        ),
        "C": Test(
            _among_all_classes,
            "This could refute it: the network names a picture by its largest score, which "
            "may be that of another class. On the sheet's tabby, tabby has the probability "
            "0.000.",
            could_refute=True,
        ),
        "D": Test(
            _beside_photographs,
            "Scores have no upper limit away from photographs: the noise of section 1 is "
            "above all of them as well.",
        ),
    },
)
