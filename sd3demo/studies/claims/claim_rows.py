"""The table of claims: each claim of the papers beside what was recorded here, opened without torch.

Nothing is measured: a claim whose study was not recorded is `not measured`, and says what would measure it.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from shlex import quote

from sd3demo.catalogue import find, fingerprint
from sd3demo.errors import Refusal
from sd3demo.settings import non_default_values
from sd3demo.studies.claims.twenty import TWENTY, Claim
from sd3demo.studies.claims.verdicts import State, Verdict
from sd3demo.studies.results import RecordedStudy, recorded

MODEL = "tiny"


@dataclass(frozen=True)
class ClaimRow:
    """A claim and what was measured of it.

    `weights` is the hash of the first measured model's weights, `date` the day, both empty where they are not
    known; `older` is whether other weights are here now, None where nothing was measured.
    """

    number: int
    claim: str
    paper: str
    source: str
    scale: str
    state: State
    ours: str
    n: int | None
    weights: str
    date: str
    older: bool | None
    reason: str
    rerun: str


def claim_rows() -> list[ClaimRow]:
    """All claims, in their order."""
    return [claim_row(claim, recorded(claim.study) if claim.study else None) for claim in TWENTY]


def claim_row(claim: Claim, found: RecordedStudy | None) -> ClaimRow:
    """One claim beside what was recorded of its study, None for nothing."""
    verdict = _verdict(claim, found)
    return ClaimRow(
        claim.number,
        claim.claim,
        claim.paper,
        claim.source,
        claim.scale,
        verdict.state,
        verdict.ours,
        verdict.n or None,
        _main_weights(found.weights) if found else "",
        found.date if found else "",
        _is_older(found.weights) if found else None,
        verdict.reason,
        rerun_of(found) if found else claim.rerun,
    )


def as_json(rows: list[ClaimRow]) -> dict[str, object]:
    """The rows for programs."""
    return {"claims": [asdict(row) for row in rows]}


def rerun_of(found: RecordedStudy) -> str:
    """The command that measures a recorded study again, under the settings that it had."""
    said = non_default_values(found.settings)
    flags = (f"--{name.replace('_', '-')} {quote(str(value))}" for name, value in said.items())
    return " ".join((f"sd3demo study {found.table.study}", *flags))


def _verdict(claim: Claim, found: RecordedStudy | None) -> Verdict:
    if claim.count is not None:
        return claim.count()
    if claim.judge is None:
        return Verdict("not measured", "", 0, claim.missing)
    if found is None:
        return Verdict("not measured", "", 0, f"the study {claim.study} was not recorded")
    verdict = claim.judge(found.table)
    preset = getattr(found.settings, "preset", "")
    if preset:
        said = f"recorded with the preset {preset}"
        return Verdict(
            verdict.state, verdict.ours, verdict.n, f"{verdict.reason}; {said}" if verdict.reason else said
        )
    return verdict


def _main_weights(weights: Mapping[str, str]) -> str:
    return weights.get(MODEL) or next(iter(weights.values()), "")


def _is_older(weights: Mapping[str, str]) -> bool:
    """Whether any model that was measured has other weights here by now, or is not here at all."""
    try:
        return any(fingerprint(find(model)) != known for model, known in weights.items())
    except Refusal:
        return True
