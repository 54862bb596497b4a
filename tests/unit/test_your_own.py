"""Sheets: the maps are the methods' own, the scale does what it says, a file repeats it."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
import toys
from address import ROOT
from PIL import Image
from torch import nn

from course_utils import (
    METHODS,
    Unit,
    compare_methods,
    deprocess,
    load_model,
    load_samples,
    preprocess,
    repeat_sheet,
)
from course_utils.inputs import Inputs
from course_utils.your_own import COURSE
from course_utils.your_own.sheet import ranks, shorten

PICTURES = [
    Image.fromarray(np.random.default_rng(n).integers(0, 256, (40, 48, 3), dtype=np.uint8))
    for n in range(3)
]
CHEAP = ("vanilla_saliency", "guided_backprop", "deconvnet")
SMALL = {"size": 32, "names": ["ant", "bee", "cat", "dog"]}


@pytest.fixture
def model():
    return toys.Busy().eval()


@pytest.fixture
def sheet(model):
    return compare_methods(model, PICTURES, CHEAP, [0, 1, 2], **SMALL)


def test_the_maps_are_those_of_the_methods(model, sheet):
    images = preprocess(PICTURES, size=32)
    for name in CHEAP:
        maps = METHODS[name](model, images, [0, 1, 2])
        for number in range(3):
            torch.testing.assert_close(
                sheet.maps[name, number], maps[number], rtol=1e-3, atol=1e-6
            )
    assert sheet.seconds.keys() == sheet.maps.keys()
    assert min(sheet.seconds.values()) > 0
    assert [np.asarray(p).tolist() for p in sheet.pictures] == [
        np.asarray(p).tolist() for p in deprocess(images)
    ]


def test_answers_are_the_networks(model, sheet):
    shares = model(preprocess(PICTURES, size=32)).softmax(1)
    for number, answer in enumerate(sheet.answers):
        assert answer.top == shares[number].argmax()
        assert answer.top_share == pytest.approx(shares[number].max().item(), rel=1e-4)
        assert answer.target == number
        assert answer.share == pytest.approx(shares[number, number].item(), rel=1e-4)


def test_all_methods_of_the_course_unless_some_are_named(model):
    sheet = compare_methods(model, PICTURES[0], size=32)
    assert sheet.methods == COURSE
    assert len(sheet.maps) == len(COURSE)
    assert not any(METHODS[name].baseline for name in COURSE)
    figure = sheet.figure()
    assert len(figure.axes) == 8
    assert sheet.sentence().endswith(f"score {sheet.answers[0].score:.1f}")


@pytest.mark.parametrize("name", METHODS)
def test_every_method_of_the_gallery_on_every_scale(model, name):
    for scale in ("own", "method", "rank"):
        for signed in (True, False):
            sheet = compare_methods(
                model, PICTURES[:2], name, scale=scale, signed=signed, **SMALL
            )
            assert METHODS[name].label in sheet.words()


def drawn(sheet, column):
    """The arrays and the limits of the maps in a column."""
    axes = sheet.figure().axes[column :: 1 + len(sheet.methods)]
    return [(axis.images[0].get_array(), axis.images[0].get_clim()) for axis in axes]


def test_own_scale_gives_each_map_its_own_limit(sheet):
    tops = [limits[1] for _, limits in drawn(sheet, 1)]
    assert len(set(tops)) == 3


def test_method_scale_gives_all_maps_of_a_method_one_limit(model):
    sheet = compare_methods(model, PICTURES, CHEAP, scale="method", **SMALL)
    own = compare_methods(model, PICTURES, CHEAP, **SMALL)
    for column in (1, 2, 3):
        tops = {limits for _, limits in drawn(sheet, column)}
        assert len(tops) == 1
        assert tops.pop()[1] == max(limits[1] for _, limits in drawn(own, column))


def test_rank_scale_runs_from_0_to_1(model):
    sheet = compare_methods(model, PICTURES, CHEAP, scale="rank", **SMALL)
    for values, limits in drawn(sheet, 1):
        assert limits == (0, 1)
        assert values.min() >= 0
        assert values.max() <= 1
        assert abs(values.mean() - 0.5) < 1e-6


def test_a_blank_map_is_said_to_be_one():
    sheet = compare_methods(toys.Constant(torch.ones(1, 4)), PICTURES[0], "edges", **SMALL)
    assert "zero everywhere" not in sheet.words()
    blank = {key: 0 * map_ for key, map_ in sheet.maps.items()}
    assert "zero everywhere" in replace(sheet, maps=blank).words()


def test_ranks():
    assert ranks(np.array([[1.0, 5.0], [3.0, 2.0]])).round(2).tolist() == [
        [0, 1],
        [0.67, 0.33],
    ]
    assert ranks(np.ones((2, 2))).tolist() == [[0.5, 0.5], [0.5, 0.5]]
    assert ranks(np.array([[1.0, 1.0], [4.0, 4.0]])).round(2).tolist() == [
        [0.17, 0.17],
        [0.83, 0.83],
    ]


def test_words_hold_no_times(sheet):
    assert " s" in " ".join(axis.get_xlabel() for axis in sheet.figure().axes)
    labels = [axis.get_xlabel() for axis in sheet.figure(times=False).axes]
    assert not [label for label in labels if label.endswith(" s")]
    assert sheet.words() == sheet.words()


def test_titles_come_from_file_names(model, tmp_path):
    PICTURES[0].save(tmp_path / "my_cat.png")
    sheet = compare_methods(
        model, [tmp_path / "my_cat.png", PICTURES[1]], "vanilla", **SMALL
    )
    assert sheet.titles == ["my cat", "picture 2"]


# -- what can be explained -------------------------------------------------------------


def first_minus_second(outputs):
    return outputs[:, 0] - outputs[:, 1]


@pytest.mark.parametrize(
    ("targets", "words"),
    [
        (None, "score"),
        (2, "asked: cat"),
        (Unit("conv", 1), "asked: conv, channel 1"),
        (Unit("conv", 1, (2, 3)), "at 2, 3"),
        (first_minus_second, "asked: first_minus_second"),
    ],
)
def test_any_target_is_drawn_saved_and_repeated(model, tmp_path, targets, words):
    sheet = compare_methods(model, PICTURES[0], "vanilla", targets, **SMALL)
    assert words in sheet.sentence()
    path = sheet.save(tmp_path, "one")
    given = targets if callable(targets) else None
    again = repeat_sheet(path, model, given)
    assert again.answers == sheet.answers
    torch.testing.assert_close(
        again.maps[sheet.methods[0], 0], sheet.maps[sheet.methods[0], 0]
    )


def test_a_network_without_classes_can_be_explained_by_a_function(tmp_path):
    class Regression(nn.Module):
        def forward(self, x):
            return x.mean((1, 2, 3))

    sheet = compare_methods(
        Regression(), PICTURES[0], "vanilla", lambda outputs: outputs, size=32
    )
    assert sheet.answers[0].top is None
    assert sheet.sentence().startswith("asked: <lambda>, score")
    sheet.figure()


# -- kept and repeated -----------------------------------------------------------------


def test_a_saved_sheet_is_repeated(model, sheet, tmp_path):
    path = sheet.save(tmp_path / "new" / "folder", "mine")
    names = {file.name for file in path.parent.iterdir()}
    assert names == {"mine.json", "mine.png", "mine-1.png", "mine-2.png", "mine-3.png"}
    assert Image.open(path.with_suffix(".png")).width > 300
    again = repeat_sheet(path, model)
    assert (again.titles, again.methods, again.settings) == (
        sheet.titles,
        sheet.methods,
        sheet.settings,
    )
    for key, map_ in sheet.maps.items():
        torch.testing.assert_close(again.maps[key], map_)
    assert again.words() == sheet.words()


def test_own_statistics_are_kept(model, tmp_path):
    own = {"mean": np.array([0.1, 0.2, 0.3]), "std": (0.4, 0.5, 0.6), "fit": "stretch"}
    sheet = compare_methods(model, PICTURES[0], "vanilla", **SMALL, **own)
    again = repeat_sheet(sheet.save(tmp_path), model)
    assert again.settings["mean"] == [0.1, 0.2, 0.3]
    torch.testing.assert_close(
        again.maps["vanilla_saliency", 0],
        sheet.maps["vanilla_saliency", 0],
        rtol=1e-3,
        atol=1e-6,
    )


def test_another_network_is_refused(sheet, tmp_path):
    path = sheet.save(tmp_path)
    with pytest.raises(ValueError, match="^model must be the network of the sheet, Busy"):
        repeat_sheet(path)


def test_a_function_cannot_be_read_from_a_file(model, tmp_path):
    sheet = compare_methods(model, PICTURES[0], "vanilla", first_minus_second, **SMALL)
    with pytest.raises(
        ValueError, match="^targets must be the function .*first_minus_second"
    ):
        repeat_sheet(sheet.save(tmp_path), model)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"results": 1, "network": {}}', "\x00"])
def test_other_files_are_refused(tmp_path, text):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(ValueError, match="^path must hold the settings of a sheet; x.json"):
        repeat_sheet(tmp_path / "x.json")


@pytest.mark.parametrize(
    "changed",
    [
        {"methods": 3},
        {"calls": 3},
        {"mean": [1]},
        {"size": "x"},
        {"names": 3},
        {"network": {}},
        {"results": [{}]},
        {"target": {}},
        {"target": {"kind": "unit"}},
        {"target": {"kind": "another"}},
    ],
)
def test_settings_that_are_damaged_are_refused(model, sheet, tmp_path, changed):
    path = sheet.save(tmp_path)
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))
    with pytest.raises(ValueError, match="^path must hold the settings of a sheet; sheet"):
        repeat_sheet(path, model)


@pytest.mark.parametrize("path", [None, 3, b"x", "a\0b"])
def test_what_is_no_path_is_refused(sheet, path):
    for call, argument in ((repeat_sheet, "path"), (sheet.save, "folder")):
        with pytest.raises(ValueError, match=f"^{argument} must be a path, got"):
            call(path)


def test_another_function_than_the_sheet_s_is_said(model, tmp_path):
    path = compare_methods(model, PICTURES[0], "vanilla", first_minus_second, **SMALL)
    path = path.save(tmp_path)
    with pytest.warns(
        UserWarning, match="the sheet explains first_minus_second .code .*; this"
    ):
        repeat_sheet(path, model, lambda outputs: outputs[:, 0])


def test_missing_files_are_named(model, sheet, tmp_path):
    with pytest.raises(FileNotFoundError, match="^there is no file"):
        repeat_sheet(tmp_path / "nowhere.json")
    path = sheet.save(tmp_path)
    (tmp_path / "sheet-2.png").unlink()
    with pytest.raises(FileNotFoundError, match="sheet-2.png"):
        repeat_sheet(path, model)


def test_a_failed_save_leaves_what_was_there(sheet, tmp_path, monkeypatch):
    path = sheet.save(tmp_path)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}

    def full(self, *arguments):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(type(path), "replace", full)
        with pytest.raises(OSError, match="^folder .* cannot be written"):
            sheet.save(tmp_path)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_the_settings_say_what_was_found(model, sheet, tmp_path):
    record = json.loads(sheet.save(tmp_path).read_text())
    assert record["network"]["class"] == "Busy"
    assert record["results"][1]["answer"]["target"] == 1
    assert record["results"][0]["seconds"].keys() == set(CHEAP)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", [torch.float32, torch.float64, torch.bfloat16, torch.half])
def test_a_sheet_of_any_size_channels_and_type_is_repeated(tmp_path, channels, kind):
    model = toys.Busy()
    model.conv = nn.Conv2d(channels, 6, 3)
    model.inputs = Inputs(
        (12, 20), [0.5] * channels, [0.2] * channels, "stretch", list("abcd")
    )
    model.to(kind)
    methods = ["guided", "smooth", "grad_cam", "occlusion"]
    for signed in (True, False):
        sheet = compare_methods(model, PICTURES[0], methods, signed=signed)
        assert sheet.pictures[0].size == (20, 12)
        assert sheet.words()
    again = repeat_sheet(sheet.save(tmp_path), model)
    assert again.inputs == sheet.inputs == model.inputs
    assert again.answers == sheet.answers
    for key, map_ in sheet.maps.items():
        assert torch.equal(again.maps[key], map_)
        assert map_.dtype == (kind if kind == torch.float64 else torch.float32)


def older(path, **changed):
    """A sheet's record as it was before it held all that it holds now."""
    record = json.loads(path.read_text())
    del record["calls"], record["network"]["layers"]
    path.write_text(json.dumps(record | changed))


def test_a_sheet_of_an_earlier_version_is_repeated(model, sheet, tmp_path):
    path = sheet.save(tmp_path)
    older(path)
    again = repeat_sheet(path, model)
    assert again.words() == sheet.words()


def test_an_earlier_sheet_without_names_has_those_of_the_bundled_network(tmp_path):
    sheet = compare_methods(load_model(), PICTURES[0], "vanilla", size=64)
    path = sheet.save(tmp_path)
    older(path, names=None)
    assert repeat_sheet(path).sentence() == sheet.sentence()


def test_other_settings_of_a_method_are_said(model, tmp_path):
    sheet = compare_methods(model, PICTURES[0], ["smooth", "vanilla"], **SMALL)
    path = sheet.save(tmp_path)
    older(path)
    with pytest.warns(
        UserWarning, match="a map by smooth_grad; this is one by smooth_grad"
    ) as w:
        repeat_sheet(path, model)
    assert len([each for each in w if "the sheet has" in str(each.message)]) == 1


def test_the_same_weights_in_other_layers_are_another_network(tmp_path):
    one, two = (
        nn.Sequential(nn.Conv2d(3, 4, 3), act, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        for act in (nn.ReLU(), nn.GELU())
    )
    two.load_state_dict(one.state_dict())
    path = compare_methods(one, PICTURES[0], "vanilla", size=32).save(tmp_path)
    with pytest.raises(ValueError, match="^model must be the network of the sheet"):
        repeat_sheet(path, two)


# -- what the network says -------------------------------------------------------------


def test_a_class_without_a_name_has_its_number(model):
    model.inputs = Inputs(32)
    sheet = compare_methods(model, PICTURES[0], "vanilla", 2)
    assert sheet.sentence().startswith("asked: class 2 ")
    assert "class 2 " in sheet.words()


def test_names_come_with_the_network_or_with_the_call(model):
    model.inputs = Inputs(32, names=["ant", "bee", "cat", "dog"])
    assert "cat" in compare_methods(model, PICTURES[0], "vanilla", 2).sentence()
    names = ["a", "b", "c", "d"]
    sheet = compare_methods(model, PICTURES[0], "vanilla", 2, names=names)
    assert sheet.sentence().startswith("asked: c ")
    sheet = compare_methods(
        model, PICTURES[0], "vanilla", 2, inputs=Inputs(32, names=names)
    )
    assert sheet.sentence().startswith("asked: c ")


@pytest.mark.parametrize(
    ("last", "share"),
    [
        (lambda z: z.softmax(1), lambda z: z.softmax(1)),
        (lambda z: z.sigmoid(), lambda z: z.sigmoid()),
        (lambda z: z[:, :1], lambda z: z[:, :1].sigmoid()),
        (lambda z: z, lambda z: z.softmax(1)),
    ],
)
def test_shares_are_no_softmax_of_a_softmax(model, last, share):
    class Ends(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, x):
            return last(self.model(x))

    answer = compare_methods(Ends(), PICTURES[0], "vanilla", 0, size=32).answers[0]
    with torch.no_grad():
        wanted = share(model(preprocess(PICTURES[0], size=32)))[0, 0]
    assert answer.share == pytest.approx(wanted.item(), rel=1e-3)


def test_outputs_in_a_dictionary_are_explained_by_a_function(model):
    class Dictionary(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = model

        def forward(self, x):
            return {"logits": self.inner(x)}

    given = {"methods": ["vanilla", "occlusion", "grad_cam"], "size": 32}
    sheet = compare_methods(
        Dictionary(), PICTURES[0], targets=lambda d: d["logits"][:, 1], **given
    )
    plain = compare_methods(model, PICTURES[0], targets=1, **given)
    for key, map_ in plain.maps.items():
        torch.testing.assert_close(sheet.maps[key], map_, rtol=1e-3, atol=1e-6)
    assert sheet.sentence().startswith("asked: <lambda>, score ")


@pytest.mark.parametrize("targets", ["cat", "CAT", ["cat", 3, "ant"]])
def test_a_class_may_be_given_by_its_name(model, targets):
    sheet = compare_methods(model, PICTURES, "vanilla", targets, **SMALL)
    wanted = [2, 3, 0] if isinstance(targets, list) else [2, 2, 2]
    assert [answer.target for answer in sheet.answers] == wanted


def test_none_are_the_methods_of_the_course(model):
    assert compare_methods(model, PICTURES[0], None, 1, **SMALL).methods == COURSE


def test_a_map_that_is_not_finite_is_said_to_be_so(model, sheet):
    maps = sheet.maps | {("deconvnet", 1): torch.full((3, 32, 32), torch.nan)}
    for scale in ("own", "method", "rank"):
        shown = replace(sheet, maps=maps, settings=sheet.settings | {"scale": scale})
        texts = [text.get_text() for axis in shown.figure().axes for text in axis.texts]
        assert texts.count("NaN or infinite") == 1


def test_what_a_method_warns_of_is_not_hidden(model):
    model.relu = nn.Sequential(nn.ReLU(), nn.GELU())
    with pytest.warns(UserWarning, match="GELU"):
        compare_methods(model, PICTURES[0], "guided", **SMALL)


@pytest.mark.parametrize(
    "name", ["a$b$c", "$x^{", "%s{0}", "new\nline", "\udcff", "a?b", "ü😀"]
)
def test_any_file_name_is_a_title(model, tmp_path, name):
    PICTURES[0].save(tmp_path / f"{name}.png")
    sheet = compare_methods(model, tmp_path / f"{name}.png", "vanilla", **SMALL)
    sheet.save(tmp_path / "sheets")
    wanted = {"new\nline": "new line", "\udcff": "?"}.get(name, name)
    assert sheet.titles == [wanted]


# -- stopped, and bad input ------------------------------------------------------------


def test_progress_counts_maps_and_shows_what_there_is(model):
    seen = []
    compare_methods(
        model,
        PICTURES[:2],
        ["vanilla", "smooth"],
        progress=lambda done, total, so_far: seen.append((done, total, len(so_far.maps))),
        **SMALL,
    )
    assert seen[0] == (0, 4, 0)
    assert seen[-1] == (4, 4, 4)
    assert [step[0] for step in seen] == sorted(step[0] for step in seen)
    assert any(0 < step[0] % 1 < 1 for step in seen), "also within a long method"


@pytest.mark.parametrize("last", [0, 1, 2.5])
def test_a_stop_keeps_the_maps_that_there_are(model, last):
    sheet = compare_methods(
        model,
        PICTURES[0],
        ["vanilla", "guided", "smooth"],
        progress=lambda done, total, so_far: done < last,
        **SMALL,
    )
    assert sheet.stopped
    assert len(sheet.maps) == int(last)
    assert "stopped" in repr(sheet)
    assert "…" in sheet.words()


def test_a_stop_at_the_last_map_is_no_stop(model):
    sheet = compare_methods(
        model, PICTURES[0], "vanilla", progress=lambda done, *_: done < 1, **SMALL
    )
    assert not sheet.stopped


@pytest.mark.parametrize("error", [None, RuntimeError("trouble"), KeyboardInterrupt()])
def test_the_network_is_left_as_it_was(error):
    model = toys.Busy().train()
    before = toys.state(model)

    def progress(done, total, so_far):
        if done == 1 and error is not None:
            raise error

    if error is None:
        compare_methods(model, PICTURES, CHEAP, progress=progress, **SMALL)
    else:
        with pytest.raises(type(error)):
            compare_methods(model, PICTURES, CHEAP, progress=progress, **SMALL)
    assert toys.state(model) == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"methods": "magic"}, "vanilla_saliency"),
        ({"methods": []}, "methods must name some of"),
        ({"methods": 3}, "methods must be names of methods, or None for those of the"),
        ({"names": ["a"]}, "names must be one for each class of the network, 4, got 1"),
        ({"names": "abcd"}, "names must be the classes' names"),
        ({"names": None, "targets": "cat"}, "targets must be a number, or come with"),
        ({"targets": "bird"}, "targets must be a class, by number or by name, got 'bird'"),
        ({"inputs": {"size": 3}}, "inputs must be an Inputs, got a dict"),
        ({"model": "squeezenet"}, "model must be a torch.nn.Module"),
        ({"scale": "loud"}, "scale must be one of own, method, rank"),
        (
            {"titles": ["a"]},
            "titles must be one text per picture, got ['a'] for 2 pictures",
        ),
        ({"titles": [1, 2]}, "titles must be one text per picture, got [1, 2]"),
        ({"pictures": [PICTURES[0], None]}, "pictures[1] must be a path"),
        ({"targets": 4}, "targets must be classes between 0 and 3, got 4"),
        ({"targets": [0]}, "targets"),
        ({"pictures": []}, "pictures"),
        ({"pictures": "nowhere.png"}, "nowhere.png"),
        ({"std": (0, 0, 0)}, "std"),
    ],
)
def test_bad_input_is_refused_by_one_sentence(model, arguments, words):
    with pytest.raises((ValueError, FileNotFoundError)) as raised:
        compare_methods(**({"model": model, "pictures": PICTURES[:2]} | SMALL | arguments))
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_network_that_gives_nan_is_refused_at_once(model):
    model.fc.weight.data.fill_(torch.nan)
    with pytest.raises(ValueError, match="^model must give finite scores, got .nan"):
        compare_methods(model, PICTURES[0], **SMALL)


@pytest.mark.parametrize("name", ["", "a/b", "..", None, 3])
def test_a_name_that_is_a_path_is_refused(sheet, tmp_path, name):
    with pytest.raises(ValueError, match="^name must be a plain file name"):
        sheet.save(tmp_path, name)


def test_long_names_lose_their_middle():
    assert shorten("bee 99.1%", 22) == "bee 99.1%"
    short = shorten("soft-coated wheaten terrier 99.1%", 22)
    assert len(short) == 22
    assert short.endswith("… 99.1%")


# -- the page of projects --------------------------------------------------------------

XML = (
    "<annotation><object><name>x</name><bndbox><xmin>{}</xmin><ymin>{}</ymin>"
    "<xmax>{}</xmax><ymax>{}</ymax></bndbox></object></annotation>"
)


def test_the_lines_about_boxes_read_and_compare_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    photos, samples = tmp_path / "photos", load_samples(1)
    photos.mkdir()
    for name, image, box in zip(samples.names, samples.images, samples.boxes, strict=True):
        image.save(photos / f"{name}.png")
        x0, y0, x1, y1 = (int(edge) for edge in box)
        (photos / f"{name}.xml").write_text(XML.format(x0 + 1, y0 + 1, x1, y1))
    page = (ROOT / "docs" / "projects.md").read_text(encoding="utf-8")
    (code,) = re.findall("^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    found = {}
    exec(code, found)
    for name, box in zip(samples.names, samples.boxes, strict=True):
        assert found["read_boxes"](photos / f"{name}.xml") == [box]
    assert list(found["overlaps"]) == sorted(f"{name}.png" for name in samples.names)
    assert min(found["overlaps"].values()) > 0.3
    assert 0 <= found["error"] <= 1
