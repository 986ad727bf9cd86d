"""`sd3demo study NAME`: an experiment to its table and its charts; what was kept is not measured again."""

from functools import partial
from pathlib import Path

import click
from pydantic import Field

from sd3demo.cli import COMMANDS
from sd3demo.cli.flags import Command, as_click
from sd3demo.cli.report import Report
from sd3demo.errors import Failure, Refusal
from sd3demo.settings import Settings
from sd3demo.studies.cache import kept_at_home
from sd3demo.studies.results import result
from sd3demo.studies.study import STUDIES, Measured, Scalar, Table, find_study


class Kept(Settings):
    """Where what was measured is kept, so that it is not measured again."""

    keep: Path | None = Field(
        None, description="The folder that keeps what was measured; the user's data folder by default."
    )
    anew: bool = Field(False, description="Measure again what was kept.")

    @property
    def place(self) -> Path:
        return self.keep or kept_at_home()


class Where(Settings):
    """Where the charts go."""

    out: Path | None = Field(
        None, description="A web page (.html) for the charts; named after the study, here, by default."
    )


def study(name: str, settings: Settings, kept: Kept, where: Where, report: Report) -> int:
    found = find_study(name)
    out = where.out or Path(f"sd3demo-{name}.html")
    if out.suffix != ".html" or not out.parent.is_dir():
        raise Refusal(f"out is {out}; give a file that ends in .html in a folder that exists")
    found.cells(settings)  # what cannot be is refused before anything heavy is imported

    from sd3demo.engine import Engine
    from sd3demo.studies.study import run

    for news in run(found, settings, Engine(), kept.place, anew=kept.anew):
        if isinstance(news, Measured):
            report.progress(progress(news))
        else:
            figure = _drawn(news, found.charts, out)
            values = {**result(name, settings, news), "figure": str(figure)}
            report.result(values, f"{as_text(news)}\n\n{figure}")
            return 0
    raise Failure("the study ended without a table")


def progress(news: Measured) -> str:
    """A line on where a study stands."""
    arm = ", ".join(f"{name} {value}" for name, value in news.cell.arm.items())
    how = f"about {news.left:.0f} s left" if news.fresh else "kept"
    return f"{news.done} of {news.count}: {arm} ({how})"


def as_text(table: Table) -> str:
    """A table for people, its columns as wide as what stands in them."""
    heads = [column.name for column in table.columns]
    rows = [heads, *([written(value) for value in row.values] for row in table.rows)]
    widths = [max(len(row[k]) for row in rows) for k in range(len(heads))]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return "\n".join([*lines, "", table.caption])


def written(value: Scalar) -> str:
    """A value in a table: four digits of what is measured, nothing for what is unknown."""
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _drawn(table: Table, charts: tuple[str, ...], out: Path) -> Path:
    """The charts as one web page that needs nothing else."""
    from sd3demo.plots.chart import page
    from sd3demo.plots.studies import CHARTS

    try:
        out.write_text(page([CHARTS[name](table) for name in charts], table.caption), encoding="utf-8")
    except OSError as error:
        raise Refusal(
            f"cannot write {out}: {error.strerror}; free some space or choose another place"
        ) from error
    return out


class Studies(click.Group):
    """All studies as commands, none of them imported before it is wanted."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(STUDIES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:
        settings = find_study(cmd_name).settings
        return as_click(
            cmd_name, STUDIES[cmd_name], Command(partial(study, cmd_name), (settings, Kept, Where))
        )

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Studies"):
            formatter.write_dl(list(STUDIES.items()))


def _listed(ctx: click.Context, parameter: click.Parameter, given: bool) -> None:
    if given:
        text = "\n".join(f"{name:<16}{purpose}" for name, purpose in STUDIES.items())
        Report(bool(ctx.params.get("json"))).result({"studies": dict(STUDIES)}, text)
        ctx.exit()


def as_group(purpose: str) -> click.Group:
    """The command with its studies below it."""
    group = Studies(name="study", help=purpose, no_args_is_help=True)
    group.params += [
        click.Option(["--json"], is_flag=True, is_eager=True, help="Name them as one JSON object."),
        click.Option(
            ["--list"], is_flag=True, expose_value=False, callback=_listed, help="Name the studies and exit."
        ),
    ]
    return group


COMMAND = as_group(COMMANDS["study"])
