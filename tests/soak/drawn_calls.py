"""Requests to draw at random: of every function by number and by name, and of gradio's own routes.

Their values are what the controls hold, what they may hold, and what nothing may.
"""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from tests.soak.calls import API
from tests.soak.page_functions import PageFunction


@dataclass(frozen=True)
class FuzzedCall:
    """A request as it is sent: the method, the path, the body, and where its news come from."""

    method: str
    path: str
    body: Any = None
    news: str = ""
    """`call` of an endpoint by its name, `session` of a page's session, nothing for an answer at once."""
    session: str = ""


def odd_values(secret: Path, canary: str) -> SearchStrategy[Any]:
    """What no control holds: numbers without bounds, signs, nesting, and files that are not the visitor's."""
    paths = st.sampled_from(
        [
            str(secret), f"../{secret.name}", "/etc/passwd", "/proc/self/environ", "file:///etc/passwd",
            canary, "http://169.254.169.254/latest/meta-data", "\\\\host\\share", "\0", "",
        ]
    )  # fmt: skip
    file = st.builds(
        lambda path, more: {"path": path, "orig_name": path, "meta": {"_type": "gradio.FileData"}, **more},
        paths,
        st.sampled_from([{}, {"url": canary}, {"is_stream": True}, {"size": -1}, {"mime_type": "image/png"}]),
    )
    plain = st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**70), 2**70),
        st.floats(),
        st.text(max_size=20),
        st.sampled_from(["x" * 20_000, "\ud800", "<script>alert(1)</script>", "{{7*7}}", "%s%n", "'; --"]),
        paths,
        file,
        st.just({"__type__": "update", "value": "x", "visible": False}),
    )
    return st.one_of(
        plain,
        st.lists(plain, max_size=4),
        st.dictionaries(st.sampled_from(["value", "path", "layers", "background", "a"]), plain, max_size=3),
        st.builds(
            lambda depth: functools.reduce(lambda inner, _: [inner], range(depth), 0), st.integers(1, 300)
        ),
    )


def fitting_values(kind: str, known: Mapping[str, Any]) -> SearchStrategy[Any]:
    """What a control may hold, and what lies just beyond."""
    held = [st.just(known.get("value"))]
    if choices := known.get("choices"):
        held.append(st.sampled_from([each[-1] if isinstance(each, list) else each for each in choices]))
    least, most = known.get("minimum"), known.get("maximum")
    if isinstance(least, int | float) and isinstance(most, int | float):
        held.append(st.sampled_from([least, most, least - 1, most + 1, (least + most) / 2, -0.0]))
    if kind == "textbox":
        held.append(st.sampled_from(["a red circle", "", " ", "réd 円", "a\nb", "1e999", "nan", "auto"]))
    return st.one_of(held)


@st.composite
def values_of(
    draw: st.DrawFn, components: Sequence[tuple[str, Mapping[str, Any]]], odd: SearchStrategy[Any]
) -> list[Any]:
    """Values for a function: most as they are at first, a few drawn, and rarely too many or too few."""
    values = [known.get("value") for _, known in components]
    for _ in range(draw(st.integers(0, 3))):
        if values:
            place = draw(st.integers(0, len(values) - 1))
            values[place] = draw(st.one_of(fitting_values(*components[place]), odd))
    match draw(st.integers(0, 19)):
        case 0:
            return values[: draw(st.integers(0, len(values)))]
        case 1:
            return [*values, draw(odd)]
    return values


def requests(
    functions: Sequence[PageFunction], parameters: Mapping[str, Any], odd: SearchStrategy[Any], secret: Path
) -> SearchStrategy[FuzzedCall]:
    """Requests of every kind, functions by number and by name the most."""
    by_name = {name.removeprefix("/"): _components(each["parameters"]) for name, each in parameters.items()}
    forms = st.sampled_from(["{}", "{}", "../{}", "é {}", "{}" + "s" * 500])
    unique = st.builds(lambda form, id: form.format(id), forms, st.uuids())  # else two would share their news
    sessions = st.one_of(unique, unique, unique, st.just(""))

    @st.composite
    def by_number(draw: st.DrawFn) -> FuzzedCall:
        function = draw(st.sampled_from([*functions, *4 * [each for each in functions if each.queued]]))
        session = draw(sessions)
        body: dict[str, Any] = {
            "fn_index": function.index,
            "data": draw(values_of(function.components, odd)),
            "session_hash": session,
        }
        if draw(st.integers(0, 3)) == 0:
            body["event_data"] = draw(odd)
        if draw(st.integers(0, 19)) == 0:
            body[draw(st.sampled_from(["fn_index", "data", "session_hash", "trigger_id"]))] = draw(odd)
        if draw(st.booleans()) and not function.queued:
            return FuzzedCall("POST", f"{API}/run/predict", body)
        return FuzzedCall("POST", f"{API}/queue/join", body, "session", session)

    @st.composite
    def named(draw: st.DrawFn) -> FuzzedCall:
        name = draw(st.sampled_from(sorted(by_name)))
        data: Any = draw(values_of(by_name[name], odd))
        if draw(st.integers(0, 19)) == 0:
            data = draw(odd)
        body = {"data": data}
        if draw(st.integers(0, 9)) == 0:
            body["session_hash"] = draw(st.one_of(sessions, odd))
        path = draw(st.sampled_from(["call", "call", "call", "call/v2", "run", "api"]))
        return FuzzedCall("POST", f"{API}/{path}/{name}", body, "call" if path == "call" else "")

    names = st.sampled_from(["cancel", "reset", "component_server", "queue/join", "run/predict", "upload"])
    route = st.builds(
        lambda name, body: FuzzedCall("POST", f"{API}/{name}", body),
        names,
        st.one_of(
            odd,
            st.dictionaries(
                st.sampled_from(["session_hash", "fn_index", "event_id", "data", "component_id", "fn_name"]),
                odd,
                max_size=4,
            ),
        ),
    )
    files = st.sampled_from(
        [
            str(secret),
            "/etc/passwd",
            "../" * 8 + "etc/passwd",
            "%2e%2e/%2e%2e/etc/passwd",
            "http://127.0.0.1:1/",
        ]
    )
    prefix = st.sampled_from(
        [f"{API}/file=", f"{API}/proxy=", "/static/", "/assets/", f"{API}/stream/", f"{API}/info?x="]
    )
    get = st.builds(lambda start, rest: FuzzedCall("GET", start + rest.replace("\0", "")), prefix, files)
    return st.one_of(by_number(), by_number(), by_number(), named(), named(), st.one_of(route, get))


def _components(parameters: Sequence[Mapping[str, Any]]) -> list[tuple[str, Mapping[str, Any]]]:
    found = []
    for each in parameters:
        schema = each.get("type") or {}
        known = {"value": each.get("parameter_default"), "choices": schema.get("enum")}
        kind = "textbox" if schema.get("type") == "string" else "api"
        found.append((kind, known))
    return found
