"""Files of others never run code, wherever they are opened: each of them would leave a trace."""

import ast
import io
import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import yaml

import detcon
from detcon.config import RecipeError, load_recipe, parse_overrides
from detcon.config.values import _PlainLoader
from detcon.pretraining.recipe import PretrainRecipe
from detcon.pretraining.training import pretrain
from detcon.results.recipe import _SafeLoader

SRC = Path(detcon.__file__).parent


class Touches:
    """A pickle that makes a file when it is loaded."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return open, (str(self.trace), "w")


@pytest.fixture
def trace(tmp_path):
    return tmp_path / "trace"


def as_numpy(value):
    file = io.BytesIO()
    np.save(file, np.array([value], dtype=object))
    return file.getvalue()


def as_torch(value):
    file = io.BytesIO()
    torch.save({"state_dict": {"conv1.weight": torch.ones(1)}, "args": value}, file)
    return file.getvalue()


PICKLES = {"plain": pickle.dumps, "torch": as_torch, "numpy": as_numpy}
OPENS = {
    "load_backbone pth": ("w.pth", lambda path: detcon.load_backbone(path)),
    "load_backbone safetensors": ("w.safetensors", lambda path: detcon.load_backbone(path)),
    "load_backbone npy": ("w.npy", lambda path: detcon.load_backbone(path)),
    "import_weights": (
        "w.npy",
        lambda path: detcon.import_weights(weights=path, out=path.with_suffix(".safetensors")),
    ),
    "load_model": ("model.safetensors", lambda path: detcon.load_model(path)),
    "checkpoint": ("last.ckpt", lambda path: load_checkpoint(path)),
    "photo": ("p.npy", lambda path: decode(path.read_bytes(), "p.npy", channels=5)),
}


def load_checkpoint(path):
    from detcon.train.checkpoint import load_checkpoint

    return load_checkpoint(path)


def decode(data, name, channels):
    from detcon.photos import decode

    return decode(data, name, channels=channels)


@pytest.mark.parametrize("how", PICKLES)
@pytest.mark.parametrize("opened", OPENS)
def test_hostile_files_leave_no_trace(opened, how, trace, tmp_path):
    name, open_it = OPENS[opened]
    (tmp_path / name).write_bytes(PICKLES[how](Touches(trace)))
    with pytest.raises(ValueError, match=name) as told:
        open_it(tmp_path / name)
    assert not trace.exists() and "\n" not in str(told.value)


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_the_same_files_would_leave_one(trace, tmp_path):
    """So that the test above can't pass because its files are harmless."""
    (tmp_path / "w.pth").write_bytes(as_torch(Touches(trace)))
    torch.load(tmp_path / "w.pth", weights_only=False)["args"].close()
    assert trace.exists()


HOSTILE_YAML = "{key}: !!python/object/apply:builtins.open [{trace}, w]\n"


def test_hostile_recipes_leave_no_trace(trace, tmp_path):
    text = HOSTILE_YAML.format(key="images", trace=trace)
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(text)
    with pytest.raises(RecipeError, match=r"recipe\.yaml is not a YAML recipe"):
        load_recipe(PretrainRecipe, recipe)
    for name in ("images", "method"):
        word = HOSTILE_YAML.format(key=name, trace=trace).strip().replace(": ", "=", 1)
        with pytest.raises(RecipeError):
            load_recipe(PretrainRecipe, None, parse_overrides([word]))
    (tmp_path / "p").mkdir()
    cv2.imwrite(str(tmp_path / "p" / "a.png"), np.zeros((40, 40, 3), np.uint8))
    settings = {"images": tmp_path / "p", "method.kind": "simclr"}
    for place in ("run", "scenes"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "recipe.yaml").write_text(text)
    with pytest.raises(ValueError, match=r"cannot read .*recipe\.yaml: it is not YAML"):
        pretrain(**settings, out=tmp_path / "run")
    with pytest.raises(ValueError, match=r"cannot read .*scenes/recipe\.yaml: it is not YAML"):
        detcon.make_scenes(out=tmp_path / "scenes", num=1, size=32)
    (tmp_path / "run" / "metrics.jsonl").write_text('{"step": 1, "loss": 1}\n')
    with pytest.raises(ValueError, match=r"recipe\.yaml: it is not YAML"):
        detcon.make_report([tmp_path / "run"], out=tmp_path / "report.html")
    assert not trace.exists()


def calls_in(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            words = {word.arg: ast.unparse(word.value) for word in node.keywords}
            yield ast.unparse(node.func), words, f"{path.name}:{node.lineno}"


def test_nothing_in_the_package_unpickles_or_evaluates():
    """Every reader that could is told not to; np.load refuses pickles unless told otherwise."""
    seen = set()
    for path in SRC.rglob("*.py"):
        for name, words, line in calls_in(path):
            seen.add(name)
            assert name not in ("eval", "exec", "compile", "__import__"), line
            assert not name.startswith(("marshal.", "shelve.", "joblib.", "dill.")), line
            assert name not in ("pickle.load", "pickle.loads", "pickle.Unpickler"), line
            loaders = ("_PlainLoader", "_SafeLoader", "yaml.BaseLoader")
            is_safe = name == "yaml.load" and words["Loader"] in loaders
            assert not name.startswith("yaml.") or name.startswith("yaml.safe_") or is_safe, line
            assert words.get("allow_pickle", "False") == "False", line
            assert name != "torch.load" or words.get("weights_only") == "True", line
    assert {"torch.load", "yaml.safe_load", "np.load"} <= seen
    assert issubclass(_PlainLoader, yaml.SafeLoader)
    assert _SafeLoader in (yaml.SafeLoader, yaml.CSafeLoader)
