"""`sd3demo claims`: the twenty claims of the two papers, and what was measured of each here."""

from sd3demo.cli.flags import Command
from sd3demo.cli.report import Report
from sd3demo.studies.claims.claim_rows import ClaimRow, as_json, claim_rows


def claims(report: Report) -> int:
    rows = claim_rows()
    report.result(as_json(rows), "\n".join(_lines(row) for row in rows))
    return 0


def _lines(row: ClaimRow) -> str:
    lines = [f"{row.number:>2}  {row.state:<12}  {row.claim} ({row.source})", f"    paper: {row.paper}"]
    if row.ours:
        known = [
            *([f"n = {row.n}"] if row.n else []),
            *([row.date] if row.date else []),
            *(["earlier weights"] if row.older else []),
        ]
        lines.append(f"    here:  {row.ours}" + (f" ({', '.join(known)})" if known else ""))
    if row.reason:
        lines.append(f"    {row.reason}")
    if row.rerun:
        lines.append(f"    again: {row.rerun}")
    return "\n".join(lines)


COMMAND = Command(claims)
