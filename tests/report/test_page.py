"""Tests for detcon.report.page: the page holds everything, and nothing that isn't there."""

import base64
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest
import yaml
from run_folders import write_runs, write_transfer

from detcon.config import RecipeError
from detcon.downstream.pictures import write_png
from detcon.report.output import OutputExists
from detcon.report.page import OF_BOTH, OF_PRETRAINING, OF_TRANSFER, make_report
from detcon.report.predictions import prediction_panels
from detcon.report.runs import gather_runs

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


class Reader(HTMLParser):
    """Collects the addresses, the sections and the cells of a page."""

    def __init__(self):
        super().__init__()
        self.addresses, self.sections, self.text, self.images = [], [], [], []

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.addresses += [values[name] for name in ("src", "href", "srcset") if name in values]
        self.images += [values] if tag == "img" else []
        self.sections += [values["id"]] if tag == "section" else []
        assert tag not in ("script", "link", "iframe"), f"<{tag}> may load something"

    def handle_data(self, data):
        self.text.append(data)


def read(path):
    reader = Reader()
    reader.feed(path.read_text())
    return reader


def words(path):
    return " ".join("".join(read(path).text).split())


@pytest.fixture(scope="module")
def page(tmp_path_factory, collection):
    """One page of everything, for the tests that only read."""
    from run_folders import write_pretraining

    root = tmp_path_factory.mktemp("page")
    paths = [
        write_pretraining(root / "runs" / kind, images=collection.photos, kind=kind,
                          masks=collection.masks if kind == "detcon_s" else None)
        for kind in ("detcon_s", "simclr")
    ]  # fmt: skip
    for labels, lift in ((20, 0.0), (100, 8.0)):
        for path, values in zip([*paths, "random"], ([40.0, 42.5], [38.2, 39.9], [30.1, 28.4])):
            folder = root / "runs" / f"t{labels}_{getattr(path, 'parent', root).name}"
            lifted = [value + lift for value in values]
            write_transfer(folder, backbone=str(path), values=lifted, labels=labels)
    return make_report([root / "runs"], out=root / "report.html", title="A <test>", pictures=2)


@pytest.fixture(scope="module")
def pages(tmp_path_factory, collection):
    """Pages of two pretrainings and three transfers, of one transfer, and of the pretrainings."""
    root = tmp_path_factory.mktemp("pages")
    runs = write_runs(root / "runs", collection)
    folders = {"all": [runs.folder], "transfer": [runs.folder / "seg_random"]}
    folders["pretraining"] = [runs.ours, runs.theirs]
    return {name: make_report(some, out=root / f"{name}.html") for name, some in folders.items()}


def test_the_page_needs_nothing_else(page):
    addresses = read(page).addresses
    assert addresses and all(a.startswith(("data:image/", "#")) for a in addresses)
    assert not re.search(r"url\(|@import", page.read_text())


def test_all_sections_are_there_and_can_be_jumped_to(page):
    reader = read(page)
    anchors = [anchor for anchor, _ in (*OF_PRETRAINING, *OF_TRANSFER, *OF_BOTH)]
    anchors.remove("quality")  # none of these runs has measured its encoder
    assert reader.sections == ["summary", *anchors]
    assert [a for a in reader.addresses if a.startswith("#")] == [f"#{a}" for a in anchors]


def test_every_figure_is_embedded_whole_and_described(page):
    images = read(page).images
    # masks 2 x 2, views 1 x 3, loss 4, collapse 5, features 2 x 4, transfer 1, predictions 2 x 5
    assert len(images) == 4 + 3 + 4 + 5 + 8 + 1 + 10
    for image in images:
        kind, _, coded = image["src"].partition(";base64,")
        data = base64.b64decode(coded)
        assert image["alt"]
        if kind == "data:image/svg+xml":
            assert data.rstrip().endswith(b"</svg>")
        else:
            assert cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR).size > 1000


def test_the_table_holds_the_numbers_of_the_result_files(page):
    text = words(page)
    for path in (page.parent / "runs").rglob("seed0/result.json"):
        values = [
            json.loads((path.parents[1] / seed / "result.json").read_text())["value"]
            for seed in ("seed0", "seed1")
        ]
        deviation = abs(values[0] - values[1]) / 2**0.5
        assert f"{sum(values) / 2:.1f} ± {deviation:.1f}" in text
        assert f"{values[0]:.1f} · {values[1]:.1f}" in text


def test_the_summary_is_computed(page):
    text = words(page)
    assert (
        "In segmentation with 20 labelled pictures, it can't be told whether DetCon-S is better "
        "than random weights: mIoU +12.0 (95 % interval -14."
    ) in text
    assert "DetCon-S is better than SimCLR" in text and "highest mean first" in text


def test_recipes_machine_and_commands_are_there(page):
    text = words(page)
    recipe = (page.parent / "runs" / "detcon_s" / "recipe.yaml").read_text()
    assert " ".join(recipe.split()) in text
    assert "torch 2.9.0" in text.replace("torch2.9.0", "torch 2.9.0") and "cores" in text
    assert f"detcon pretrain {page.parent}/runs/detcon_s/recipe.yaml out=NEW" in text
    assert (
        f"detcon transfer {page.parent}/runs/t20_simclr/seed0/recipe.yaml seeds=2 out=NEW" in text
    )
    assert f"detcon report {page.parent}/runs out={page}" in text


def test_other_figures_are_there_to_unfold(page):
    assert "All figures" in words(page) and "pixel accuracy (%)71.5" in words(page)


def test_classes_have_a_legend(page):
    assert re.search(
        r'aria-label="classes"><li>.*wall.*floor.*box.*cone.*lamp</li></ul>', page.read_text()
    ), "none of the pictures has void"


def test_void_is_in_the_legend_where_it_is_in_a_picture(runs, tmp_path):
    for path in runs.folder.rglob("predictions/0.png"):
        strip = cv2.imread(str(path))
        third = strip.shape[1] // 3
        strip[:8, third : third + 8] = 0
        cv2.imwrite(str(path), strip)
    told = "The classes have no names, and are those whose numbers are in the labels"
    named = words(make_report([runs.folder], out=tmp_path / "report.html", pictures=1))
    assert "void, not counted" in named and told not in named
    for path in runs.folder.rglob("result.json"):
        change(path, per_class={f"class {number}": 1.0 for number in range(5)})
    assert told in words(make_report([runs.folder], out=tmp_path / "report.html", pictures=1))


def test_a_title_is_text_and_not_markup(page):
    assert "<h1>A &lt;test&gt;</h1>" in page.read_text()


def test_the_page_is_made_although_the_data_is_gone(runs, tmp_path):
    recipe = runs.ours / "recipe.yaml"
    lines = recipe.read_text().splitlines()
    moved = [f"images: {tmp_path}/gone" if li.startswith("images:") else li for li in lines]
    recipe.write_text("\n".join(moved))
    text = words(make_report([runs.folder], out=tmp_path / "report.html"))
    for what in ("photos and masks", "views", "features"):
        assert re.search(rf"The {what} cannot be shown: [^.]*{tmp_path}/gone", text)
    assert "41.2 ± 1.3" in text


def test_a_given_answer_is_set_larger_and_is_the_only_one(runs, pages, tmp_path):
    """On the page of `adapt` stood below its answer another, of the means, and tiles."""
    lead = ("That is unclear.", "The interval is over draws.")
    answered = make_report([runs.folder], out=tmp_path / "report.html", lead=lead)
    for path, leads in ((pages["all"], []), (answered, ["That is unclear."])):
        page = path.read_text()
        assert re.findall(r'<p class="lead">(.*?)</p>', page) == leads
        assert ("random weights: mIoU" in page) == ('class="tile"' in page) == (not leads)
        assert "Evaluated by segmentation (mIoU)" in page and "± is the spread of one" in page


def test_the_title_says_what_the_page_holds(pages):
    titles = {name: re.findall("<h1>(.*?)</h1>", page.read_text()) for name, page in pages.items()}
    assert titles == {
        "all": ["Pretraining and transfer to segmentation"],
        "transfer": ["Transfer to segmentation"],
        "pretraining": ["Pretraining: DetCon-S and SimCLR"],
    }


def test_a_page_of_pretraining_alone(pages):
    text = words(pages["pretraining"])
    assert "No transfer result is among these runs yet." in text
    assert "Predictions and truth" not in text


def test_the_curve_of_a_probe_stands_beside_the_loss(tmp_path, collection):
    from run_folders import write_pretraining

    for kind, probe in (("detcon_s", "probe_mIoU"), ("byol", "probe_accuracy"), ("simclr", None)):
        folder = tmp_path / "runs" / kind
        write_pretraining(folder, images=collection.photos, masks=None, kind=kind, probe=probe)
    page = make_report([tmp_path / "runs"], out=tmp_path / "report.html")
    alts = [image["alt"] for image in read(page).images]
    loss = alts.index("Training loss over steps of BYOL, DetCon-S, SimCLR")
    assert alts[loss + 4 : loss + 6] == [
        "Probe: segmentation over steps of DetCon-S",
        "Probe: classification over steps of BYOL",
    ]


def test_a_page_of_transfer_alone(pages):
    text = words(pages["transfer"])
    assert "random weights: 29.3 % mIoU" in text
    assert "Does it collapse?" not in text and "Predictions and truth" in text


def test_an_older_page_is_replaced_and_another_file_is_not(runs, tmp_path):
    path = make_report([runs.folder / "seg_random"], out=tmp_path / "report.html")
    make_report([runs.folder / "seg_ours"], out=path)
    assert "DetCon" in path.read_text() or "one" in words(path)
    path.write_text("<html>my thesis</html>")
    with pytest.raises(OutputExists, match=r"report\.html exists and wasn't made by detcon; give"):
        make_report([runs.folder], out=path)
    assert path.read_text() == "<html>my thesis</html>"


def test_says_what_is_wrong_with_out(runs, tmp_path):
    with pytest.raises(ValueError, match=r"report\.pdf: give a name that ends in \.html"):
        make_report([runs.folder], out=tmp_path / "report.pdf")
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(OutputExists, match="it is a folder; give the name of a file"):
        make_report([runs.folder], out=tmp_path / "folder.html")
    with pytest.raises(RecipeError, match="there is no setting 'titel'; did you mean 'title'"):
        make_report([runs.folder], out=tmp_path / "report.html", titel="x")


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
@pytest.mark.parametrize("width", [1366, 500])
def test_it_looks_like_a_page_in_a_browser(page, tmp_path, width):
    """Not blank, and not wider than the window: nothing is cut off."""
    measured = tmp_path / "measured.html"
    script = (
        "<script>addEventListener('load', () => { document.title = "
        "document.documentElement.scrollWidth + ' of ' + innerWidth })</script></body>"
    )
    measured.write_text(page.read_text().replace("</body>", script))
    shot = tmp_path / "page.png"
    browse(tmp_path, f"--screenshot={shot}", f"--window-size={width},2000", page.as_uri())
    picture = cv2.imread(str(shot))
    assert picture.shape[1] == width and picture.std() > 20 and (picture == 255).mean() > 0.2
    html = browse(tmp_path, "--dump-dom", f"--window-size={width},2000", measured.as_uri())
    needed, given = re.search(r"<title>(\d+) of (\d+)</title>", html).groups()
    assert int(needed) <= int(given) <= width


FLAGS = """
    --headless --no-sandbox --disable-gpu --disable-quic --no-first-run --hide-scrollbars
    --disable-background-networking --disable-component-update --disable-sync
"""


def browse(tmp_path, *arguments):
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    command = [CHROMIUM, *FLAGS.split(), profile, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout


def test_the_colours_of_depth_are_explained(tmp_path):
    folder = write_transfer(tmp_path / "depth", backbone="random", values=[60.0])
    path = folder / "seed0" / "result.json"
    result = json.loads(path.read_text()) | {"task": "depth", "metric": "delta1", "per_class": {}}
    path.write_text(json.dumps(result))
    make_report([folder], out=tmp_path / "report.html")
    assert "0.5 m" in words(tmp_path / "report.html")
    assert "not measured" in words(tmp_path / "report.html")


def test_a_picture_that_is_no_strip_says_how_it_is_made_again(runs):
    write_png(runs.folder / "seg_ours/seed0/predictions/0.png", np.zeros((4, 4, 3), np.uint8))
    [panel] = prediction_panels(gather_runs([runs.folder / "seg_ours"]).outcomes, 1)
    assert "seed0/result.json, and give the command of the transfer again" in panel.notes[0]


def change(path, **values):
    """A YAML or JSON file with other values."""
    write = json.dumps if path.suffix == ".json" else yaml.safe_dump
    path.write_text(write(yaml.safe_load(path.read_text()) | values))


def test_the_features_of_the_start_stand_beside_those_after(runs, tmp_path):
    start = shutil.copy(runs.theirs / "backbone.safetensors", tmp_path / "before.safetensors")
    change(runs.ours / "recipe.yaml", weights={"source": str(start)})
    text = words(make_report([runs.ours], out=tmp_path / "a.html", pictures=1))
    features = text[text.index("What the features tell apart") :]
    labels = ["before (start)", "DetCon-S", "random weights"]
    places = [features.index(label) for label in labels]
    assert places == sorted(places) and "isn't shown" not in features
    start.unlink()
    text = words(make_report([runs.ours], out=tmp_path / "b.html", pictures=1))
    assert f"The start of DetCon-S isn't shown: {start} isn't at hand." in text
    change(runs.ours / "recipe.yaml", weights={"source": "torchvision:resnet18"})
    text = words(make_report([runs.ours], out=tmp_path / "c.html", pictures=1))
    assert "The start of DetCon-S isn't shown: torchvision:resnet18 isn't at hand." in text


def test_a_start_that_was_overwritten_is_not_shown(runs, tmp_path):
    start = shutil.copy(runs.theirs / "backbone.safetensors", tmp_path / "before.safetensors")
    change(runs.ours / "recipe.yaml", weights={"source": str(start), "digest": "0" * 12})
    text = words(make_report([runs.ours], out=tmp_path / "a.html", pictures=1))
    assert "The start of DetCon-S isn't shown: the weights" in text and "(start)" not in text


def test_a_start_that_is_a_run_of_the_page_is_shown_once(runs, tmp_path):
    source = str(runs.theirs / "backbone.safetensors")
    change(runs.ours / "recipe.yaml", weights={"source": source})
    text = words(make_report([runs.ours, runs.theirs], out=tmp_path / "a.html", pictures=1))
    assert "(start)" not in text and "isn't shown" not in text


def test_sizes_of_objects_are_told_to_be_those_of_shrunk_photos(runs, tmp_path):
    told = "APs, APm, APl, ARs, …) are so in the photos as shrunk to size=."
    page = tmp_path / "report.html"
    assert told not in words(make_report([runs.folder], out=page, pictures=1))
    for path in runs.folder.rglob("result.json"):
        change(path, figures={"box AP50": 12.0, "box APs": 3.0})
    assert told in words(make_report([runs.folder], out=page, pictures=1))


def test_a_detector_s_card_has_the_ap50_too(runs, tmp_path):
    for path in runs.folder.rglob("result.json"):
        value = 12.0 + json.loads(path.read_text())["seed"]
        change(path, metric="box AP", figures={"box AP50": value, "mask AP50": 1.0})
    page = make_report([runs.folder], out=tmp_path / "report.html", pictures=1)
    cards = page.read_text().partition('class="tiles"')[2].partition("</figure>")[0]
    assert "3 seeds · box AP50 13.0</em>" in cards and "mask AP50" not in cards


def test_what_random_weights_became_is_called_trained(runs, tmp_path):
    page = read(make_report([runs.folder], out=tmp_path / "report.html", pictures=1))
    said = [image["alt"] for image in page.images if image["alt"].startswith("prediction of")]
    assert any(one.startswith("prediction of trained from random weights for") for one in said)
    assert "trained from random weights" in " ".join(page.text).split("Predictions and truth")[-1]


def test_results_on_a_part_of_val_have_a_table_of_their_own(runs, tmp_path):
    change(
        runs.folder / "seg_ours" / "seed0" / "result.json", num_photos=20, val_photos=20, value=90.0
    )
    text = words(make_report([runs.folder], out=tmp_path / "report.html", pictures=1))
    assert "segmentation on 20 of the val photos" in text
    assert "41.8 ± 1.0" in text, "the mean of the two others"
