"""An endpoint for programs as data, and the one way in which it becomes an endpoint of the page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio_client.utils import python_type_to_json_schema  # type: ignore[import-untyped]
from pydantic import JsonValue

from sd3demo.ui.api.parameters import NAMES, Answer, ApiParameter, function_of
from sd3demo.ui.run.errors import reported, sentence
from sd3demo.ui.run.events import RunStopped
from sd3demo.ui.run.wiring import QUEUE
from sd3demo.ui.server.gradio_internals import ApiValue, add_endpoint, api_value


@dataclass(frozen=True)
class ApiEndpoint:
    """What an endpoint is called, takes, returns and does.

    `returns` are the titles and types of what it answers with. `queued` is whether it stands in the line of
    the model's runs.
    """

    name: str
    summary: str
    parameters: tuple[ApiParameter, ...]
    returns: Mapping[str, Any]
    answer: Answer
    queued: bool = False
    names: Mapping[str, str] | None = None
    """What the settings are called here, where that is another name; NAMES by default."""


def add_endpoints(endpoints: Sequence[ApiEndpoint]) -> None:
    """Add endpoints to the page that is being built; equal parameters of several share one component."""
    inputs: dict[ApiParameter, ApiValue] = {}
    outputs: dict[tuple[str, Any], ApiValue] = {}
    for one in endpoints:
        for parameter in one.parameters:
            if parameter not in inputs:
                inputs[parameter] = _component(parameter)
        for title, kind in one.returns.items():
            if (title, kind) not in outputs:
                outputs[title, kind] = api_value(None, python_type_to_json_schema(kind), title)
        add_endpoint(
            function_of(one.name, one.summary, one.parameters, _answer_or_sentence(one)),
            [inputs[parameter] for parameter in one.parameters],
            [outputs[returned] for returned in one.returns.items()],
            name=one.name,
            queue=QUEUE if one.queued else "",
        )


def _component(parameter: ApiParameter) -> ApiValue:
    schema = python_type_to_json_schema(parameter.type)
    described = {**schema, "additional_description": parameter.description}
    return api_value(parameter.default, described, parameter.title)


def _answer_or_sentence(endpoint: ApiEndpoint) -> Answer:
    def answer(values: Mapping[str, JsonValue]) -> object:
        try:
            return endpoint.answer(values)
        except RunStopped as stop:
            raise gr.Error("the run was stopped", print_exception=False) from stop
        except gr.Error as error:  # ZeroGPU's own words, with their title and links
            sentence(error, {})
            raise
        except Exception as error:
            names = NAMES if endpoint.names is None else endpoint.names
            raise reported(gr.Error(sentence(error, names), print_exception=False)) from error

    return answer
