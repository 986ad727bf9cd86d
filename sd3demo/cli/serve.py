"""`sd3demo serve`: the app."""

from typing import Annotated

from pydantic import Field

from sd3demo.cli.flags import Command
from sd3demo.cli.report import Report
from sd3demo.settings import Settings


class Address(Settings):
    """Where the page listens."""

    host: str = Field("127.0.0.1", description="0.0.0.0 lets other machines in.")
    port: Annotated[int, Field(ge=1, le=65535)] = Field(7860, description="The port of the page.")


def serve(address: Address, report: Report) -> int:
    from sd3demo.ui import launch

    launch(host=address.host, port=address.port)
    return 0


COMMAND = Command(serve, (Address,))
