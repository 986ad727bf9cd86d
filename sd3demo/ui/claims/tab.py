"""The Claims tab: what the two papers claim, what they print, and what was measured of it here."""

from collections import Counter
from html import escape

import gradio as gr

from sd3demo.studies.claims.claim_rows import ClaimRow, claim_rows
from sd3demo.studies.claims.verdicts import State
from sd3demo.ui.context import Core
from sd3demo.ui.run.markdown import section, text_file
from sd3demo.ui.run.wiring import at_once
from sd3demo.ui.server.gradio_internals import current_tab

TEXT = text_file("claims")
HEADS = ("#", "claim", "state", "paper", "here", "n")
PAPERS = {"SD3": "Stable Diffusion 3", "I-Max": "I-Max"}
"""The papers by the names that the sources give them."""
STATES: tuple[State, ...] = ("holds", "partly", "no", "not measured")


def claims(core: Core) -> None:
    """The whole tab. Its table is read when it is opened: the weights are hashed for it."""
    tab = current_tab()
    with gr.Column(elem_id="claims"):
        section(TEXT, "Claims")
        table = gr.HTML()
    if tab is not None:
        at_once([tab.select], lambda: claims_html(claim_rows()), [], [table])


def claims_html(rows: list[ClaimRow]) -> str:
    """The table as HTML, a sentence with the counts above it."""
    found = Counter(row.state for row in rows)
    counts = ", ".join(f"{found[state]} {state}" for state in STATES)
    papers = dict.fromkeys(_paper(row) for row in rows)
    tables = (
        _table(paper, [row for row in rows if _paper(row) == paper], unfolded=paper == _paper(rows[0]))
        for paper in papers
    )
    return f"<p class='caption'>Of {len(rows)} claims: {counts}.</p>{''.join(tables)}"


def _paper(row: ClaimRow) -> str:
    """The paper of a claim, whose short name its source begins with."""
    return row.source.partition(",")[0]


def _table(paper: str, rows: list[ClaimRow], *, unfolded: bool) -> str:
    """The claims of a paper below its name; a phone shows the name alone unless `unfolded`."""
    heads = "".join(f"<th scope='col'>{head}</th>" for head in HEADS)
    body = "".join(_row(row) for row in rows)
    return (
        f"<section class='fold{' unfolded' if unfolded else ''}'>"
        f"<h2>{escape(PAPERS.get(paper, paper))}: {len(rows)} claims</h2>"
        f"<div class='listing study-table claims' tabindex='0' role='region' aria-label='{escape(paper)}'>"
        f"<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div></section>"
    )


def _row(row: ClaimRow) -> str:
    older = "<small>with earlier weights</small>" if row.older else ""
    rerun = f"<small>Rerun: <code>{escape(row.rerun)}</code></small>" if row.rerun else ""
    reason = f"<small>{escape(row.reason[0].upper() + row.reason[1:])}.</small>" if row.reason else ""
    measured = " ".join(filter(None, (row.date, row.weights and f"weights {row.weights[:12]}")))
    weights = f"<small>{escape(measured)}</small>" if measured else ""
    return (
        f"<tr><td>{row.number}</td>"
        f"<th scope='row'>{escape(row.claim)}<small>{escape(row.source)}; {escape(row.scale)}</small></th>"
        f"<td class='state {row.state.replace(' ', '-')}'>{row.state}</td>"
        f"<td class='text'>{escape(row.paper)}</td>"
        f"<td class='text'>{escape(row.ours)}{reason}{rerun}</td>"
        f"<td>{'' if row.n is None else row.n}{weights}{older}</td></tr>"
    )
