"""What the embedded model's card and the README say of it, measured and written in: `python -m tests.card`.

The scores of `sd3demo score`, a sheet of the first pictures of each category, none of them chosen, the
recorded study of its depths, and the hashes of the weights. Each stands between `<!-- name -->` and
`<!-- /name -->`.
"""

import argparse
import base64
import hashlib
import io
import json
import re
import sys
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from sd3demo.catalogue import find
from sd3demo.cli.study import CacheOptions
from sd3demo.engine import Engine
from sd3demo.studies.results import read
from sd3demo.studies.score.score import STUDY, Rate, Scores, ScoreStudy, scores_of
from sd3demo.studies.study import Measured, run

ROOT = Path(__file__).resolve().parents[1]
MODEL = ROOT / "assets" / "tiny"
CARDS = (MODEL / "README.md", ROOT / "README.md")
SHEET = MODEL / "samples.png"
SCORES = MODEL / "scores.json"
DEPTHS = ROOT / "assets" / "studies" / "depth.json"

SIDE, GAP, CAPTION, COLUMNS = 128, 12, 46, 8  # pixels of a picture and around it, and pictures a category
INK, RIGHT, WRONG, PAPER = (30, 30, 34), (0, 110, 60), (176, 40, 30), (255, 255, 255)
SOFT = ("background", "colour", "count", "shape", "relation", "letters")


def blocks(text: str, contents: Mapping[str, str]) -> str:
    """The text with these contents between their marks; a mark that is not in it is left out."""
    for name, content in contents.items():
        pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        text = pattern.sub(lambda match, content=content: f"{match[1]}{content}\n{match[2]}", text)
    return text


def hashes() -> str:
    """A line for each file of weights: its SHA-256 and its name."""
    files = sorted(MODEL.rglob("*.safetensors"))
    lines = [f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.relative_to(MODEL)}" for file in files]
    return "\n".join(("```", *lines, "```"))


def depths() -> str:
    """The recorded study of the depths as Markdown, each figure with its standard error."""
    found = read(json.loads(DEPTHS.read_text())).table
    rows = [
        ["model", "depth", "parameters", "velocity loss", "score", "softer marks", "path length"],
        ["---"] * 7,
    ]
    columns = ("model", "depth", "loss", "loss error", "score", "score error", "soft", "soft error", "length")
    for row in zip(*(found.column(name) for name in (*columns, "length error")), strict=True):
        model, depth, *figures = row
        parameters = find(str(model)).components["transformer"].parameters
        pairs = zip(figures[::2], figures[1::2], (3, 2, 2, 1), strict=True)
        shown = [f"{value:.{digits}f} ± {error:.{digits}f}" for value, error, digits in pairs]
        rows.append([str(model), str(depth), f"{parameters / 1e6:.1f} million", *shown])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def table(scores: Mapping[str, Rate]) -> str:
    """The scores by category as Markdown, each with its ceiling and the softer figures."""
    soft = [name for name in SOFT if any(name in rate.parts for rate in scores.values())]
    rows = [["category", "score", "ceiling", *soft], ["---"] * (3 + len(soft))]
    for name, rate in scores.items():
        parts = [f"{rate.parts[part]:.2f}" if part in rate.parts else "" for part in soft]
        rows.append([name, f"{rate.rate:.2f} ± {rate.error:.2f}", f"{rate.ceiling:.2f}", *parts])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def sheet(rows: Mapping[str, Sequence[Measured]]) -> Image.Image:
    """A row a category; below each picture its prompt, green where the judge says that it is right."""
    height = SIDE + CAPTION + GAP
    picture = Image.new("RGB", (COLUMNS * (SIDE + GAP) + GAP, len(rows) * height + GAP), PAPER)
    draw = ImageDraw.Draw(picture)
    font = ImageFont.load_default(11)
    for down, measured in enumerate(rows.values()):
        for across, one in enumerate(measured[:COLUMNS]):
            x, y = GAP + across * (SIDE + GAP), GAP + down * height
            made = Image.open(io.BytesIO(base64.b64decode(str(one.raw["picture"]))))
            picture.paste(made.resize((SIDE, SIDE), Image.Resampling.NEAREST), (x, y))
            draw.rectangle((x, y, x + SIDE - 1, y + SIDE - 1), outline=(200, 200, 204))
            lines = textwrap.wrap(str(one.cell.given["request"]["prompt"]), 23)[:3]
            colour = RIGHT if one.raw["passed"] else WRONG
            draw.multiline_text((x, y + SIDE + 3), "\n".join(lines), fill=colour, font=font, spacing=2)
    # Median cut would turn the colours of small things grey.
    return picture.quantize(128, Image.Quantize.MAXCOVERAGE, kmeans=2, dither=Image.Dither.NONE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--n", type=int, default=100, help="prompts a category (default 100)")
    settings = ScoreStudy(n=parser.parse_args().n)
    measured: list[Measured] = []
    for news in run(STUDY, settings, Engine(), CacheOptions().folder):
        if isinstance(news, Measured):
            measured.append(news)
            if news.done % 50 == 0:
                print(f"{news.done} of {news.count}, {news.left:.0f} s left", file=sys.stderr, flush=True)
    write(scores_of(settings, measured), measured, settings.n)


def write(found: Scores, measured: Sequence[Measured], n: int) -> None:
    """The sheet, the scores as JSON, and the blocks of the card and of the README."""
    rows: dict[str, list[Measured]] = {}
    for one in measured:
        if "picture" in one.raw:
            rows.setdefault(str(one.cell.arm["category"]), []).append(one)
    sheet(rows).save(SHEET, optimize=True)
    values = {name: asdict(rate) for name, rate in found.scores.items()}
    SCORES.write_text(json.dumps({"n": n, "overall": found.overall, "scores": values}, indent=1) + "\n")
    overall = f"\n\nThe mean of GenEval's six categories is {found.overall:.2f}." if found.overall else ""
    told = f"n = {n} prompts a category:\n\n{table(found.scores)}{overall}"
    write_blocks({"scores": told, "hashes": hashes()})


def write_blocks(contents: Mapping[str, str]) -> None:
    """These contents in the card and in the README, where each has a place for them."""
    for file in CARDS:
        file.write_text(blocks(file.read_text(), contents))


if __name__ == "__main__":
    main()
