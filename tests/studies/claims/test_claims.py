"""The twenty claims: the papers' figures as printed, and verdicts that follow from the recorded tables."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from sd3demo.catalogue import find, fingerprint
from sd3demo.settings import parse
from sd3demo.studies.claims import verdicts
from sd3demo.studies.claims.claim_rows import as_json, claim_row, claim_rows, rerun_of
from sd3demo.studies.claims.twenty import TWENTY, Claim
from sd3demo.studies.results import RecordedStudy, recorded
from sd3demo.studies.study import STUDIES, Column, Row, Scalar, Table, find_study
from tests.paper_tables import PAPER_TABLES

ROWS = claim_rows()


def table(study: str, rows: Sequence[Mapping[str, Scalar]]) -> Table:
    names = list(rows[0])
    return Table(
        study, tuple(map(Column, names)), tuple(Row(tuple(r[n] for n in names), {}) for r in rows), ""
    )


def test_there_are_twenty_in_order() -> None:
    assert [claim.number for claim in TWENTY] == list(range(1, 21))
    assert len(as_json(ROWS)["claims"]) == 20  # type: ignore[arg-type]


@pytest.mark.parametrize("claim", TWENTY, ids=lambda claim: str(claim.number))
def test_a_claim_is_judged_by_a_study_or_counted_or_says_what_is_missing(claim: Claim) -> None:
    ways = [bool(claim.study and claim.judge), claim.count is not None, bool(claim.missing)]
    assert ways.count(True) == 1
    assert not claim.study or claim.study in STUDIES
    assert claim.source.startswith(("SD3, ", "I-Max, "))


PRINTED = {
    1: ("sd3_table1_global_rank", lambda rows: [rows["rf/lognorm(0.00,1.00)"][0], rows["rf"][0]]),
    2: ("sd3_table1_global_rank", lambda rows: [rows["rf/lognorm(0.00,1.00)"][1], rows["eps/linear"][1]]),
    3: ("sd3_table3_autoencoders", lambda rows: [*rows["FID"], *rows["PSNR"]]),
    4: ("sd3_table4_captions_geneval_percent", lambda rows: rows["Overall"]),
    9: (
        "sd3_table6_steps_and_path_length",
        lambda rows: [value for row in rows.values() for value in (row[0], row[-1])],
    ),
    11: (
        "sd3_table5_geneval",
        lambda rows: (
            [rows[f"SD3 depth={depth}"][0] for depth in ("18, 512^2", "24, 512^2", "30, 512^2", "38, 512^2")]
            + [rows["SD3 depth=38, 512^2 w/DPO"][0]]
        ),
    ),
    13: (
        "sd3_table7_encoder_costs",
        lambda rows: [
            value for name in ("CLIP-L", "CLIP-G", "T5") for value in (rows[name][0], rows[name][3])
        ],
    ),
}


@pytest.mark.parametrize("number", PRINTED)
def test_the_papers_figures_are_those_of_its_tables(number: int) -> None:
    name, chosen = PRINTED[number]
    rows = {row[0]: row[1:] for row in PAPER_TABLES[name]["rows"]}
    shown = {float(one) for one in re.findall(r"\d+\.\d+", TWENTY[number - 1].paper)}
    assert set(chosen(rows)) <= shown


def test_the_preference_without_t5_is_as_printed() -> None:
    for name, share in PAPER_TABLES["sd3_section535_without_t5_win_rate_percent"].items():
        assert f"{share}% {name}" in TWENTY[9].paper


def test_the_memory_of_the_encoders_is_counted_as_printed() -> None:
    rows = {row[0]: row[1] for row in PAPER_TABLES["sd3_table7_encoder_costs"]["rows"]}
    ours = verdicts.encoder_memory().ours
    for name in ("CLIP-L", "CLIP-G", "T5"):
        assert f"{name} {rows[name]:.2f} GB" in ours


@pytest.mark.parametrize("row", ROWS, ids=lambda row: str(row.number))
def test_what_was_not_measured_has_no_figure_and_a_reason(row) -> None:
    if row.state == "not measured":
        assert (row.ours, row.n, row.weights, row.date, row.older) == ("", None, "", "", None)
        assert row.reason
    else:
        assert row.ours
        assert row.state == "holds" or row.reason


@pytest.mark.parametrize("claim", [one for one in TWENTY if one.study], ids=lambda claim: str(claim.number))
def test_a_study_that_was_not_recorded_is_not_measured(claim: Claim) -> None:
    row = claim_row(claim, None)
    assert (row.state, row.ours, row.n) == ("not measured", "", None)
    assert claim.study in row.reason
    assert row.rerun.startswith(f"sd3demo study {claim.study}")
    words = row.rerun.split()[3:]
    given = {
        flag.removeprefix("--").replace("-", "_"): v for flag, v in zip(words[::2], words[1::2], strict=True)
    }
    parse(find_study(claim.study).settings, given)  # the flags are settings of that study


def test_rows_say_the_weights_that_were_measured_and_whether_they_are_older() -> None:
    claim = TWENTY[1]
    found = recorded(claim.study)
    assert found is not None
    here = fingerprint(find("tiny"))
    same = claim_row(claim, replace(found, weights={"tiny": here}, date="2026-11-30"))
    assert (same.weights, same.older, same.date) == (here, False, "2026-11-30")
    assert claim_row(claim, replace(found, weights={"tiny": "0" * 64})).older
    assert claim_row(claim, replace(found, weights={"no-such-model": here})).older


def test_a_rerun_has_the_settings_of_the_recording() -> None:
    settings = parse(find_study("imax-ablation").settings, {"n": 9, "preset": "paper", "scales": "2, 4, 8"})
    found = RecordedStudy(table("imax-ablation", [{"a": 1}]), settings, {}, "0")
    assert rerun_of(found) == "sd3demo study imax-ablation --n 9 --scales '2, 4, 8' --preset paper"


def race(**ranks_and_losses: tuple[float, float]) -> Table:
    """Of each formulation its mean rank, and the distance that few steps add; errors are 0.1."""
    rows: list[dict[str, Scalar]] = []
    for name, (rank, lost) in ranks_and_losses.items():
        for steps, added in ((5, lost), (50, 0.0), ("all", lost / 2)):
            rows.append(
                {
                    "formulation": NAMES.get(name, name),
                    "steps": steps,
                    "lost": added,
                    "lost error": 0.1,
                    "rank": rank,
                    "rank error": 0.1,
                    "n": 6,
                }
            )
    return table("race", rows)


NAMES = {"own": verdicts.LOGIT_NORMAL, "eps": "eps/linear", "v": "v/cos"}


def depths(lengths: Sequence[float], scores: Sequence[float], losses: Sequence[float]) -> Table:
    zipped = zip(lengths, scores, losses, strict=True)
    rows = [
        {
            "depth": k,
            "length": length,
            "length error": 0.5,
            "score": score,
            "score error": 0.02,
            "loss": loss,
            "loss error": 0.01,
            "n": 8,
        }
        for k, (length, score, loss) in enumerate(zipped, 2)
    ]
    return table("depth", rows)


def arms(scale: float, **wins: float) -> list[dict[str, Scalar]]:
    return [
        {"scale": scale, "arm": name.replace("_", " "), "wins": share, "n": 5} for name, share in wins.items()
    ]


def by_t(values: Sequence[float], name: str, scale: float) -> list[dict[str, Scalar]]:
    rows: list[dict[str, Scalar]] = []
    for k, value in enumerate(values, 1):
        both = {"loss": value, "ratio": value} | {name: value}
        rows.append({"scale": scale, "t": k / len(values), **both, "n": 4})
    return rows


@pytest.mark.parametrize(
    ("judge", "judged", "state"),
    [
        (verdicts.best_density, race(own=(1, 0), rf=(2, 0)), "holds"),
        (verdicts.best_density, race(own=(1.9, 0), rf=(2, 0)), "partly"),
        (verdicts.best_density, race(own=(2.1, 0), rf=(2, 0)), "partly"),
        (verdicts.best_density, race(own=(3, 0), rf=(2, 0)), "no"),
        (verdicts.best_density, race(rf=(2, 0)), "not measured"),
        (verdicts.least_lost, race(own=(1, 0), rf=(2, 0), eps=(3, 1), v=(4, 2)), "holds"),
        (verdicts.least_lost, race(own=(1, 0), eps=(3, 0.1), v=(4, 2)), "partly"),
        (verdicts.least_lost, race(own=(1, 1), eps=(3, 0.1), v=(4, 1)), "no"),
        (verdicts.least_lost, race(own=(1, 1), rf=(3, 2)), "not measured"),
        (verdicts.length_by_depth, depths([90, 88, 85], [0.1, 0.2, 0.3], [0.3, 0.2, 0.1]), "partly"),
        (verdicts.length_by_depth, depths([85, 85, 85], [0.1, 0.2, 0.3], [0.3, 0.2, 0.1]), "no"),
        (verdicts.loss_by_depth, depths([90, 88, 85], [0.1, 0.2, 0.3], [0.3, 0.2, 0.1]), "partly"),
        (verdicts.loss_by_depth, depths([90, 88, 85], [0.3, 0.2, 0.1], [0.1, 0.2, 0.3]), "no"),
        (verdicts.score_by_depth, depths([90, 88, 85], [0.1, 0.2, 0.3], [0.3, 0.2, 0.1]), "partly"),
        (verdicts.score_by_depth, depths([90, 88, 85], [0.1, 0.2, 0.1], [0.3, 0.2, 0.1]), "no"),
        (
            verdicts.each_part_helps,
            table(
                "imax-ablation", arms(2, without_a=0.2, without_b=0.1) + arms(4, without_a=0.3, without_b=0.4)
            ),
            "holds",
        ),
        (
            verdicts.each_part_helps,
            table(
                "imax-ablation", arms(2, without_a=0.2, without_b=0.6) + arms(4, without_a=0.3, without_b=0.4)
            ),
            "partly",
        ),
        (verdicts.each_part_helps, table("imax-ablation", arms(2, without_a=0.9)), "no"),
        (
            verdicts.gains_by_scale,
            table("imax-scale", arms(2, projected=0.7) + arms(4, projected=0.0)),
            "holds",
        ),
        (
            verdicts.gains_by_scale,
            table("imax-scale", arms(2, projected=0.6) + arms(4, projected=0.7)),
            "partly",
        ),
        (verdicts.gains_by_scale, table("imax-scale", arms(2, projected=0.2) + arms(4, projected=0.0)), "no"),
        (verdicts.beats_its_rivals, table("imax-methods", arms(2, sdedit=0.0, projected=0.5)), "holds"),
        (verdicts.beats_its_rivals, table("imax-methods", arms(2, sdedit=0.9, projected=0.5)), "no"),
        (verdicts.ratio_peaks_in_the_middle, table("v", by_t([1, 2, 5, 2, 1], "ratio", 2)), "holds"),
        (verdicts.ratio_peaks_in_the_middle, table("v", by_t([9, 2, 5, 2, 1], "ratio", 2)), "no"),
        (verdicts.hardest_in_the_middle, table("v", by_t([1, 2, 5, 2, 1], "loss", 1)), "holds"),
        (verdicts.hardest_in_the_middle, table("v", by_t([3, 2, 1, 2, 5], "loss", 1)), "no"),
        (verdicts.few_steps_help, table("s", [{"scale": 2, "steps": 2, "wins": 0.8, "n": 3}]), "holds"),
        (
            verdicts.few_steps_help,
            table("s", [{"scale": 2, "steps": 4, "wins": 0.8, "n": 3}]),
            "not measured",
        ),
    ],
)
def test_a_verdict_follows_from_the_table(judge, judged: Table, state: str) -> None:
    verdict = judge(judged)
    assert verdict.state == state
    assert verdict.state == "holds" or verdict.reason


def shifts(large: Mapping[float, float]) -> Table:
    rows: list[dict[str, Scalar]] = []
    for side, scores in ((64, {1: 0.9, 2: 0.6}), (128, large)):
        for value, score in scores.items():
            rows.append(
                {
                    "side": side,
                    "shift": value,
                    "category": "mean",
                    "score": score,
                    "score error": 0.05,
                    "n": 9,
                }
            )
    return table("score-shift", rows)


@pytest.mark.parametrize(
    ("large", "state"), [({1: 0.5, 2: 0.9}, "holds"), ({1: 0.9, 2: 0.5}, "no"), ({1: 0.0, 2: 0.0}, "no")]
)
def test_a_shift_is_wanted_where_the_larger_size_scores_best_with_more(
    large: Mapping[float, float], state: str
) -> None:
    assert verdicts.shift_at_larger_sizes(shifts(large)).state == state


@pytest.mark.parametrize(("typography", "state"), [(0.0, "holds"), (1.0, "no")])
def test_typography_loses_most_where_it_does(typography: float, state: str) -> None:
    rows: list[dict[str, Scalar]] = [
        {"t5": mode, "category": category, "score": score, "n": 5}
        for mode, category, score in (
            *(("on", name, 1.0) for name in ("single", "two", "typography", "mean")),
            *(("zeros", "single", 0.9), ("zeros", "two", 0.8), ("zeros", "typography", typography)),
        )
    ]
    assert verdicts.typography_without_t5(table("t5-off", rows)).state == state
