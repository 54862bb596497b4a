"""Lab of lesson 02: one picture, one network, one class, and how its map is drawn."""

from functools import lru_cache

import ipywidgets as widgets
from torch import nn

from ..figures import map_panel, plot_panels, smooth
from ..figures.maps import overlay_panel
from ..inputs import Inputs
from ..models import download_size, load_model
from .base import Lab
from .batch_maps import CHANNEL_RULES
from .controls import Asked, PicturePicker, dropdown, slider

# Entry of the list → arguments of `load_model`.
NETWORKS = {
    "SqueezeNet 1.1": None,  # the one that all labs share
    "ResNet-18, random weights": ("resnet18", "random"),
}
DOWNLOADS = {"ResNet-18": "resnet18", "AlexNet": "alexnet", "VGG-19": "vgg19"}
NETWORKS |= {
    f"{title}, {download_size(name):.0f} MB to download once": (name, "torchvision")
    for title, name in DOWNLOADS.items()
}


class VanillaSaliencyLab(Lab):
    """A photograph or an upload, its map, and what the network takes it for.

    `model` heads the list of networks. The last three are kept, with their answers.
    """

    title = "The saliency map of one picture"

    def __init__(self, model: nn.Module | None = None, inputs: Inputs | None = None):
        own = {} if model is None else {type(model).__name__: model}
        self._inputs = inputs
        self.networks = own | NETWORKS
        self._former = next(iter(self.networks))
        self._asked = lru_cache(maxsize=3)(self._load)
        self.picker = PicturePicker(value="bison")
        super().__init__(
            photo=self.picker,
            target=self._asked(self._former).finder(),
            network=dropdown("network", [*self.networks]),
            channels=dropdown("colours", [*CHANNEL_RULES]),
            smoothing=slider("smoothing, px", 0, 0, 10),
            overlaid=widgets.Checkbox(description="laid over the picture"),
        )

    @property
    def asked(self) -> Asked:
        """The network that is chosen."""
        return self._network(self.controls["network"].value)

    def draw(self, photo, target, network, channels, smoothing, overlaid):
        """The picture, its map, and the five most probable classes."""
        asked, finder = self._network(network), self.controls["target"]
        finder.offer(asked.names())  # where they are others, the class is another too
        target = finder.value
        scores, target = asked.scores(photo), asked.target(photo, target)
        values = smooth(CHANNEL_RULES[channels](asked.gradient(photo, target)), smoothing)
        seen, drawn = asked.panel(photo), (values, f"map: {asked.name(target)}")
        panel = overlay_panel(seen[0], *drawn) if overlaid else map_panel(*drawn)
        share = asked.probabilities(photo)[target]
        place = int((scores > scores[target]).sum()) + 1
        return plot_panels([seen, panel, asked.bars(photo)], size=2.6), (
            f"{network.split(',')[0]} gives {asked.name(target)} the score "
            f"{scores[target]:.1f}, a probability of {share:.1%}: "
            f"place {place} of {len(scores)}."
        )

    def _network(self, name: str) -> Asked:
        """The network of that name; where it cannot be loaded, the list goes back."""
        try:
            asked = self._asked(name)
        except Exception as error:
            if name != self._former:
                self.controls["network"].value = self._former  # which draws it again
            raise RuntimeError(
                f"{name.split(',')[0]} could not be loaded; keeping {self._former}. {error}"
            ) from error
        self._former = name
        return asked

    def _load(self, name: str) -> Asked:
        model = self.networks[name]
        if isinstance(model, tuple):
            self.say(f"Loading {name}; Kernel → Interrupt Kernel stops it.")
            try:
                model = load_model(*model)
            except KeyboardInterrupt:
                raise RuntimeError("Loading was stopped.") from None
        own = isinstance(self.networks[name], nn.Module)
        return Asked(model, self.picker.pictures, self._inputs if own else None)
