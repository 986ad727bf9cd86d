"""JSON objects as they are stored: their format number, their digest, and how a request is read back.

The digest is taken over the JSON as stored, never over what a parser makes of it. So a receipt that was
written before a setting existed still verifies: the setting is filled in after the digest was compared.

A stored object can be unreadable for three reasons, each of which has its own sentence: it was edited, a
newer version wrote it, or an older one wrote a value that is no longer allowed.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Literal, TypeVar

from pydantic import BaseModel, ValidationError

from sd3demo import __version__
from sd3demo.errors import Refusal
from sd3demo.settings import LAST_SEED, Resolved, quoted, sentence
from sd3demo.settings.extrapolation import ResolvedExtrapolation

FORMAT: Literal[2] = 2
"""The format that is written. Format 1 had no `kind`, and its digest covered an empty `digest` as well."""

RequestKind = Literal["generate", "extrapolate"]
REQUESTS: Mapping[str, type[Resolved]] = {"generate": Resolved, "extrapolate": ResolvedExtrapolation}
"""The settings of each kind of request."""

S = TypeVar("S", bound=BaseModel)


def kind_of(request: Resolved) -> RequestKind:
    """Return the kind of a request."""
    return "extrapolate" if isinstance(request, ResolvedExtrapolation) else "generate"


def canonical(values: Mapping[str, object]) -> str:
    """Return the JSON text that digests are taken over: sorted, and in ASCII, as a PNG's chunk has to be."""
    return json.dumps(values, sort_keys=True, ensure_ascii=True)


def sealed(values: Mapping[str, object]) -> str:
    """Return the JSON text of an object with its digest."""
    return canonical({**values, "digest": digest_of(values)})


def digest_of(values: Mapping[str, object]) -> str:
    """Return the SHA-256 of an object, in hex, over all but its `digest`."""
    rest = {name: value for name, value in values.items() if name != "digest"}
    if rest.get("format") == 1:
        rest["digest"] = ""
    return hashlib.sha256(canonical(rest).encode()).hexdigest()


def check_sealed(values: Mapping[str, object], what: str) -> None:
    """Raise Refusal for a stored object of a newer format, and for one that was edited."""
    check_format(values, what)
    if values.get("digest") != digest_of(values):
        raise Refusal(
            f"{what} was edited: its digest does not match what it says; give the file as sd3demo wrote it"
        )


def check_format(values: Mapping[str, object], what: str, *, newest: int = FORMAT) -> None:
    """Raise Refusal for a stored object of a newer format, and for one without a format."""
    number = values.get("format")
    if type(number) is not int or number < 1:
        raise Refusal(f"{what} has no format number; it was damaged or forged")
    if number > newest:
        raise _newer(values, what, f"format {number}")


def request_from(values: Mapping[str, object], what: str) -> Resolved:
    """Return the request of a stored object that has a `kind`. Raises Refusal as `parse_stored` does."""
    kind = str(values.get("kind"))
    if kind not in REQUESTS:
        raise _newer(values, what, f"kind {quoted(kind[:20])}")
    return parse_stored(REQUESTS[kind], values.get("request"), what, written=values)


def parse_stored(
    kind: type[S], values: object, what: str, *, written: Mapping[str, object] | None = None
) -> S:
    """Return settings from stored JSON whose digest, where it has one, was compared already.

    Raises Refusal: a name that is unknown here is a newer version's, anything else that does not fit is an
    older one's. `written` is the object that says which version wrote them.
    """
    written = written if written is not None else values if isinstance(values, Mapping) else {}
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        unknown = [str(each["loc"][-1]) for each in error.errors() if each["type"] == "extra_forbidden"]
        if unknown:
            raise _newer(written, what, f"setting {quoted(unknown[0])}") from error
        said = sentence(error, kind)
        if any(each["type"] == "missing" for each in error.errors()):
            raise Refusal(
                f"{what} cannot be read: {said.partition(';')[0]}; it was damaged or forged"
            ) from error
        raise Refusal(
            f"{what} cannot be migrated to sd3demo {__version__}: {said}; open it with the version that "
            f"wrote it{_writer(written, ', ')}"
        ) from error


def from_format_1(values: Mapping[str, object]) -> dict[str, object]:
    """Return an object that holds a request as format 2 writes it.

    An extrapolation was known by its `method`. A batch could have seeds beyond the last one, whose pictures
    were made but could not be made again: the others keep their places in a smaller batch.
    """
    found = {**values, "format": FORMAT}
    request = values.get("request")
    if isinstance(request, Mapping):
        found["kind"] = "extrapolate" if "method" in request else "generate"
        seed, count, picture = request.get("seed"), request.get("count"), values.get("picture", 0)
        if isinstance(seed, int) and isinstance(count, int) and isinstance(picture, int):
            left = LAST_SEED + 1 - seed
            if picture < left < count:
                found["request"] = {**request, "count": left}
    return found


def _newer(values: Mapping[str, object], what: str, unknown: str) -> Refusal:
    return Refusal(
        f"{what} was written by a newer version of sd3demo: it has the {unknown}, which {__version__} does "
        f"not know; update sd3demo{_writer(values, ' to ')}"
    )


def _writer(values: Mapping[str, object], before: str) -> str:
    """Return the version that wrote an object after these words, nothing where it does not say so."""
    versions = values.get("versions")
    version = versions.get("sd3demo") if isinstance(versions, Mapping) else values.get("version")
    short = isinstance(version, str) and 0 < len(version) <= 20 and version.isprintable()
    return f"{before}{version}" if short else ""
