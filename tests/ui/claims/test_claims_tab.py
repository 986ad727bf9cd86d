"""The Claims tab: a row for each claim, what was not measured says so, and nothing is taken for HTML."""

import re
from dataclasses import replace

from sd3demo.studies.claims.claim_rows import claim_rows
from sd3demo.ui.claims.tab import claims_html

ROWS = claim_rows()


def test_every_claim_has_a_row_with_its_state() -> None:
    html = claims_html(ROWS)
    assert len(re.findall(r"<tr><td>\d+</td>", html)) == 20
    assert re.findall(r"<td class='state [a-z-]+'>([a-z ]+)</td>", html) == [row.state for row in ROWS]
    counted = re.search(r"Of 20 claims: (\d+) holds, (\d+) partly, (\d+) no, (\d+) not measured", html)
    assert counted is not None
    assert sum(map(int, counted.groups())) == 20


def test_the_claims_of_each_paper_stand_below_its_name() -> None:
    parts = claims_html(ROWS).split("<h2>")[1:]
    assert [part.partition(":")[0] for part in parts] == ["Stable Diffusion 3", "I-Max"]
    assert [part.count("<tr><td>") for part in parts] == [13, 7]


def test_a_row_has_its_command_and_says_when_its_weights_are_older() -> None:
    row = replace(ROWS[1], older=True, date="2026-11-30", weights="ab" * 32)
    html = claims_html([row])
    assert f"<code>{row.rerun}</code>" in html
    assert "with earlier weights" in html
    assert "2026-11-30 weights abababababab" in html
    assert "with earlier weights" not in claims_html([replace(row, older=False)])


def test_texts_of_a_row_are_shown_as_text() -> None:
    assert "<img" not in claims_html([replace(ROWS[1], ours="<img src=x>", reason="<img>", claim="<img>")])
