"""The command line: `sd3demo COMMAND`. A command is one file here, imported when it is called, and one line
below.

Exit codes: 0 for success, 2 for bad input with one sentence on stderr, 1 for work that failed.
"""

import sys
from collections.abc import Mapping, Sequence
from importlib import import_module

import click

from sd3demo import __version__
from sd3demo.cli.flags import Command, as_click
from sd3demo.errors import Failure, Refusal

COMMANDS: Mapping[str, str] = {
    "generate": "Make a picture, or several, from a text.",
    "trace": "Record a run for the page's Trajectories tab, which shows it without weights.",
    "extrapolate": "Make a picture larger than the model's native size, by projected flow or another method.",
    "grid": "Make an X/Y grid: two settings varied, a picture a cell.",
    "verify": "Run a picture again from the receipt inside it, and compare.",
    "notebook": "Write a picture's run, or a study, as a Jupyter notebook.",
    "plan": "Say what a request would do, without doing it.",
    "inspect": "Say what a file or folder is, what is in it, and what runs it.",
    "models": "List the models of the catalogue.",
    "study": "Run an experiment to its table and its charts.",
    "claims": "List the twenty claims of the two papers, and what was measured of each.",
    "score": "Score a model on the embedded world, category by category.",
    "train": "Train the embedded model for a number of minutes.",
    "space": "Check, build or upload the Hugging Face Space.",
    "serve": "Open the app in a browser; the same as `python app.py`.",
}
"""Name and help of each command; `sd3demo.cli.<name>` holds its `COMMAND`."""


class Program(click.Group):
    """All commands, each imported only when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: Command | click.Group = import_module(f"sd3demo.cli.{cmd_name}").COMMAND
        if isinstance(command, click.Group):
            return command
        return as_click(cmd_name, COMMANDS[cmd_name], command)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def _show_version(ctx: click.Context, parameter: click.Parameter, given: bool) -> None:
    if given:
        click.echo(f"sd3demo {__version__}")
        ctx.exit()


PROGRAM = Program(
    name="sd3demo", help="Stable Diffusion 3 and I-Max, the papers, to run.", no_args_is_help=True
)
PROGRAM.params.append(
    click.Option(
        ["--version"],
        is_flag=True,
        expose_value=False,
        is_eager=True,
        callback=_show_version,
        help="Show the version and exit.",
    )
)


def main(words: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    try:
        code = PROGRAM.main(
            None if words is None else list(words), prog_name="sd3demo", standalone_mode=False
        )
        return int(code or 0)
    except click.exceptions.NoArgsIsHelpError as error:
        return _print_error(error.format_message(), 2)
    except click.ClickException as error:
        return _print_error(
            f"{_one_line(error.format_message()).rstrip('.')}; see `{_command_of(error)} --help`", 2
        )
    except Refusal as error:
        return _print_error(_one_line(str(error)), 2)
    except Failure as error:
        return _print_error(_one_line(str(error)), 1)
    except (click.Abort, KeyboardInterrupt):
        return _print_error("stopped", 130)


def _print_error(text: str, code: int) -> int:
    encoding = sys.stderr.encoding or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding), file=sys.stderr)
    return code


def _command_of(error: click.ClickException) -> str:
    ctx = getattr(error, "ctx", None)
    return ctx.command_path if isinstance(ctx, click.Context) else "sd3demo"


def _one_line(text: str) -> str:
    return " ".join(text.split())
