"""`sd3demo study NAME`: run an experiment to its table and its charts; cached cells are not run again."""

from collections.abc import Generator
from functools import partial
from pathlib import Path

import click
from pydantic import Field

from sd3demo.cli import COMMANDS
from sd3demo.cli.flags import Command, as_click
from sd3demo.cli.output_files import check_file
from sd3demo.cli.report import Report
from sd3demo.errors import Failure, Refusal
from sd3demo.settings import Settings
from sd3demo.studies.cache import kept_at_home
from sd3demo.studies.results import result
from sd3demo.studies.study import STUDIES, Measured, Scalar, StudyEvent, Table, find_study


class CacheOptions(Settings):
    """Where results are cached."""

    keep: Path | None = Field(
        None, description="The folder that results are cached in; the user's data folder by default."
    )
    anew: bool = Field(False, description="Measure again what is cached.")

    @property
    def folder(self) -> Path:
        return self.keep or kept_at_home()


class ClusterOptions(Settings):
    """Where cells are measured."""

    cluster: str = Field(
        "",
        description="Measure the cells on a Ray cluster: its address, such as 10.0.0.5:6379, or auto for the "
        "one that runs here or that RAY_ADDRESS names, else one of this machine's cores. Each machine needs "
        "sd3demo and the same weights.",
    )


class ChartOptions(Settings):
    """Where the charts go."""

    out: Path | None = Field(
        None, description="A web page (.html) for the charts; named after the study, here, by default."
    )


def study(
    name: str,
    settings: Settings,
    cache: CacheOptions,
    cluster: ClusterOptions,
    charts: ChartOptions,
    report: Report,
) -> int:
    found = find_study(name)
    out = charts.out or Path(f"sd3demo-{name}.html")
    check_file(out, ".html", "charts are a web page")
    found.cells(settings)  # what cannot be is refused before anything heavy is imported

    for news in _events(name, settings, cache, cluster.cluster):
        if isinstance(news, Measured):
            report.progress(progress(news))
        else:
            figure = _write_charts(news, found.charts, out)
            values = {**result(name, settings, news), "figure": str(figure)}
            report.result(values, f"{as_text(news)}\n\n{figure}")
            return 0
    raise Failure("the study ended without a table")


def _events(
    name: str, settings: Settings, cache: CacheOptions, cluster: str
) -> Generator[StudyEvent, None, None]:
    if cluster:
        from sd3demo.studies.cluster import run_on_cluster

        return run_on_cluster(name, settings, cluster, cache.folder, anew=cache.anew)
    from sd3demo.engine import Engine
    from sd3demo.studies.study import run

    return run(find_study(name), settings, Engine(), cache.folder, anew=cache.anew)


def progress(news: Measured) -> str:
    """Return a line on how far a study is."""
    arm = ", ".join(f"{name} {value}" for name, value in news.cell.arm.items())
    how = f"about {news.left:.0f} s left" if news.fresh else "cached"
    return f"{news.done} of {news.count}: {arm} ({how})"


def as_text(table: Table) -> str:
    """Return the table as aligned text."""
    heads = [column.name for column in table.columns]
    rows = [heads, *([written(value) for value in row.values] for row in table.rows)]
    widths = [max(len(row[k]) for row in rows) for k in range(len(heads))]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return "\n".join([*lines, "", table.caption])


def written(value: Scalar) -> str:
    """Format a value of a table: four digits of a measurement, nothing where it is unknown."""
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _write_charts(table: Table, charts: tuple[str, ...], out: Path) -> Path:
    """Write the charts as one web page that needs nothing else."""
    from sd3demo.plots.chart import page
    from sd3demo.plots.studies import CHARTS

    try:
        out.write_text(page([CHARTS[name](table) for name in charts], table.caption), encoding="utf-8")
    except OSError as error:
        raise Refusal(
            f"cannot write {out}: {error.strerror}; free some space or choose another place"
        ) from error
    return out


class StudyGroup(click.Group):
    """All studies as commands, each imported only when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(STUDIES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:
        settings = find_study(cmd_name).settings
        return as_click(
            cmd_name,
            STUDIES[cmd_name],
            Command(partial(study, cmd_name), (settings, CacheOptions, ClusterOptions, ChartOptions)),
        )

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Studies"):
            formatter.write_dl(list(STUDIES.items()))


def _show_list(ctx: click.Context, parameter: click.Parameter, given: bool) -> None:
    if given:
        text = "\n".join(f"{name:<16}{purpose}" for name, purpose in STUDIES.items())
        Report(bool(ctx.params.get("json"))).result({"studies": dict(STUDIES)}, text)
        ctx.exit()


def as_group(purpose: str) -> click.Group:
    """Return the command with its studies as subcommands."""
    group = StudyGroup(name="study", help=purpose, no_args_is_help=True)
    group.params += [
        click.Option(["--json"], is_flag=True, is_eager=True, help="Name them as one JSON object."),
        click.Option(
            ["--list"],
            is_flag=True,
            expose_value=False,
            callback=_show_list,
            help="Name the studies and exit.",
        ),
    ]
    return group


COMMAND = as_group(COMMANDS["study"])
