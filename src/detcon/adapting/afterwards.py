"""What comes after an adaptation: its task on the adapted backbone, and that for other programs."""

from pathlib import Path
from shlex import quote

from detcon.adapting.recipe import AdaptRecipe
from detcon.config import changes
from detcon.exporting.recipe import fits_timm
from detcon.models.recipe import EncoderRecipe
from detcon.results.recipe import read_recipe


def what_to_do_with_it(settings: AdaptRecipe) -> str:
    """The commands, a line each; "" where the time was over before the page was made."""
    out = Path(settings.out)
    page, saved = out / "report.html", read_recipe(out / "adapted")
    if not page.is_file() or saved is None:
        return ""
    encoder = EncoderRecipe.model_validate(saved.values["encoder"])
    backbone = f"backbone={quote(f'{out}/adapted/backbone.safetensors')}"
    own = [f"encoder.name={quote(encoder.name)}"] if encoder.is_own else []
    task = " ".join(
        ["detcon transfer", *_task(settings), backbone, *own, f"out={_beside(out, 'task')}"]
    )
    export = " ".join(["detcon export", backbone, *own, *_format(encoder, out)])
    return "\n".join(
        [
            f"open {quote(str(page))} in a browser",
            f"{task}  # your task on the adapted backbone",
            f"{export}  # for other programs",
        ]
    )


def _task(settings: AdaptRecipe) -> list[str]:
    """The recipe of the transfers and its settings, without numbers of labels and seeds."""
    words = [quote(settings.transfer.get("recipe", "folder_fcn"))]
    for word in changes(settings):
        name, _, value = word.partition("=")
        inner = name.removeprefix("transfer.")
        if name in ("task", "format", "val") or inner not in (name, "recipe"):
            words.append(quote(f"{inner}={value}"))
    return [*words, f"data={quote(settings.data or 'LABELLED')}"]


def _format(encoder: EncoderRecipe, out: Path) -> list[str]:
    """The format that holds the network, and the file."""
    if fits_timm(whole := encoder.with_stride(32)):
        stride = [] if whole == encoder else ["stride=32"]
        return ["to=timm", *stride, f"out={_beside(out, 'backbone.pth')}"]
    if encoder.is_own:
        return ["to=own", f"out={_beside(out, 'backbone.pth')}"]
    return ["to=onnx", f"out={_beside(out, 'backbone.onnx')}"]


def _beside(out: Path, name: str) -> str:
    return quote(f"{out}-{name}")
