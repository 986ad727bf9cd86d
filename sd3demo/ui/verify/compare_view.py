"""A picture and its rerun as HTML, and in a plain sentence what the two say of each other."""

from html import escape

from sd3demo.engine.events import Pixels
from sd3demo.history import Receipt, Verification
from sd3demo.plots.difference_map import difference_map
from sd3demo.ui.run import pictures

EMPTY = '<p class="nothing">Drop a picture here, or choose Verify at a run of the history.</p>'
SAYS = {
    "noise": (
        "Its seed draws the noise that the receipt names.",
        "Its seed draws other noise than the receipt names, so one of the two was written by somebody else.",
    ),
    "weights": (
        "The model's weights are those of the receipt.",
        "The model's weights are not those of the receipt: it is of another version of the model.",
    ),
    "sigmas": (
        "The sigmas are those of the receipt.",
        "The sigmas are not those of the receipt.",
    ),
}


def original_html(source: str, prompt: str, size: tuple[int, int]) -> str:
    """The picture of the file."""
    return _figure(source, f"The picture of the file, for: {prompt}", "The file", size)


def preview_html(pixels: Pixels, step: int, count: int) -> str:
    """The prediction of the rerun after a step."""
    alt = f"Prediction of the rerun after step {step} of {count}"
    return _figure(pictures.uri(pixels), alt, "Rerun", (1, 1))


def rerun_html(source: str, prompt: str, size: tuple[int, int], file: Pixels, rerun: Pixels) -> str:
    """The rerun; where it differs, the map of the differences too."""
    figures = _figure(source, f"The rerun, for: {prompt}", "Rerun", size)
    found = difference_map(file, rerun)
    if found.largest:
        share = share_text(found.share)
        title = f"Difference map: {share} of the pixels differ; white is {found.largest} of 255 levels"
        figures += _figure(pictures.uri(found.pixels), "Where the two pictures differ", title, size)
    return figures


def share_text(share: float) -> str:
    """A share as a percentage, never rounded to none or to all."""
    if share == 1:
        return "100%"
    return "under 1%" if share < 0.01 else f"{min(round(100 * share), 99)}%"


def verdict_html(found: Verification, name: str, receipt: Receipt) -> str:
    """Whether it is the same picture, by how much it is not, and what else differs."""
    levels, file = round(found.max_abs_diff * 255), f"“{escape(name)}”"
    if found.equal:
        much = (
            "not one byte differs"
            if not levels
            else "the largest difference is 1 of 255 levels, as by rounding"
        )
        head = f"{file} is what its receipt says: {much}."
    elif found.noise_equal:
        head = f"{file} is not what its receipt makes: the largest difference is {levels} of 255 levels."
    else:
        head = f"{file} is not of the noise of its receipt; the largest difference is {levels} of 255 levels."
    items = "".join(
        f"<li class='{'differs' if name in found.differing else 'same'}'>{says[name in found.differing]}</li>"
        for name, says in SAYS.items()
    )
    versions = ", ".join(
        f"{escape(name)} {escape(version)}" for name, version in sorted(receipt.versions.items())
    )
    return (
        f'<div class="verdict {"equal" if found.equal else "unequal"}" role="status"><p><b>{head}</b></p>'
        f"<ul>{items}</ul><p class='caption'>Written with {versions}.</p></div>"
    )


def _figure(source: str, alt: str, title: str, size: tuple[int, int]) -> str:
    kind = "sharp" if max(size) <= pictures.SMALL else "smooth"
    return (
        f'<figure class="picture {kind}"><img src="{escape(source)}" alt="{escape(alt)}">'
        f"<figcaption>{escape(title)}</figcaption></figure>"
    )
