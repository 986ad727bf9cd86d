"""What a recorded study says of a claim: its figures in a few words, and whether they agree with the paper.

Each takes the table of a study and nothing else, so that a recording made anew is judged anew. Differences
within two standard errors decide nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import hypot
from typing import Literal, TypeAlias, cast

from sd3demo.catalogue import find
from sd3demo.studies.study import Scalar, Table

State: TypeAlias = Literal["holds", "partly", "no", "not measured"]
Values: TypeAlias = Mapping[str, Scalar]
SIX = ("single", "two", "counting", "colours", "position", "attribution")
WRITTEN = ("typography", "typography-trained")
LOGIT_NORMAL = "rf/lognorm(0.00,1.00)"
MIDDLE = (0.3, 0.7)
"""Where t counts as the middle of the way."""


@dataclass(frozen=True)
class Verdict:
    """Whether a claim holds here, in figures, with n and the reason where it holds in part or not at all."""

    state: State
    ours: str
    n: int
    reason: str = ""


Judge: TypeAlias = Callable[[Table], Verdict]


def rows_of_table(table: Table) -> list[Values]:
    """Each row as values by column."""
    names = [column.name for column in table.columns]
    return [dict(zip(names, row.values, strict=True)) for row in table.rows]


def best_density(table: Table) -> Verdict:
    """SD3, table 1: logit-normal(0, 1) ranks first of all formulations."""
    ranked = [row for row in rows_of_table(table) if row["steps"] == "all" and row["rank"] is not None]
    ranked.sort(key=lambda row: _f(row, "rank"))
    by_name = {row["formulation"]: row for row in ranked}
    if LOGIT_NORMAL not in by_name:
        return Verdict("not measured", "", _n(table), f"{LOGIT_NORMAL} was not ranked")
    own, first = by_name[LOGIT_NORMAL], ranked[0]
    shown = dict.fromkeys([LOGIT_NORMAL, *(row["formulation"] for row in ranked[:2])])
    shown |= {"rf": None} if "rf" in by_name else {}
    ours = f"mean rank among {len(ranked)} in the plane: " + ", ".join(
        f"{name} {_f(by_name[name], 'rank'):.2f}" for name in shown
    )
    place = ranked.index(own) + 1
    if place == 1:
        level = [str(row["formulation"]) for row in ranked[1:] if not _below(own, row, "rank")]
        reason = f"{LOGIT_NORMAL} is first, within the errors of ranks of {', '.join(level)}" if level else ""
        return Verdict("partly" if level else "holds", ours, _n(table), reason)
    if _below(first, own, "rank"):
        return Verdict("no", ours, _n(table), f"{LOGIT_NORMAL} is number {place}, beyond the errors of ranks")
    return Verdict("partly", ours, _n(table), f"{LOGIT_NORMAL} is number {place}, within the errors of ranks")


def least_lost(table: Table) -> Verdict:
    """SD3, figure 3: with fewer steps the rectified flow degrades less than other formulations do."""
    rows = [row for row in rows_of_table(table) if isinstance(row["steps"], int)]
    fewest, most = (int(pick(_f(row, "steps") for row in rows)) for pick in (min, max))
    lost = {row["formulation"]: row for row in rows if row["steps"] == fewest}
    others = [name for name in lost if not str(name).startswith("rf")]
    if LOGIT_NORMAL not in lost or not others or fewest == most:
        return Verdict("not measured", "", _n(table), "no other formulation was measured at fewer steps")
    own = lost[LOGIT_NORMAL]
    ours = f"distance that {fewest} steps add to that of {most}: " + ", ".join(
        f"{name} {_f(lost[name], 'lost'):.3f}" for name in (LOGIT_NORMAL, *others)
    )
    more = [name for name in others if _below(own, lost[name], "lost")]
    less = ", ".join(str(name) for name in others if name not in more)
    state: State = "holds" if not less else "partly" if more else "no"
    reason = f"not beyond the errors less than {less}" if less else ""
    return Verdict(state, ours, _n(table), reason)


def shift_at_larger_sizes(table: Table) -> Verdict:
    """SD3, figure 6: a larger size wants more shift."""
    means = [row for row in rows_of_table(table) if row["category"] == "mean"]
    by_side: dict[int, list[Values]] = {}
    for row in means:
        by_side.setdefault(int(_f(row, "side")), []).append(row)
    scores = {
        side: ", ".join(f"{_f(row, 'score'):.2f} at {row['shift']}" for row in found)
        for side, found in by_side.items()
    }
    ours = "; ".join(f"{side} px: {said}" for side, said in scores.items())
    n = int(_f(means[0], "n"))
    native, *larger = (by_side[side] for side in sorted(by_side))
    if not larger or not any(_decided(found) for found in larger):
        return Verdict("no", ours, n, "no shift scores differently from another at the larger size")
    best = [max(found, key=lambda row: _f(row, "score"))["shift"] for found in (native, larger[-1])]
    if cast("float", best[1]) > cast("float", best[0]):
        return Verdict("holds", ours, n)
    return Verdict("no", ours, n, "the best shift is no larger at the larger size")


def loss_by_depth(table: Table) -> Verdict:
    """SD3, figure 8: the loss falls with depth, and the score follows it."""
    rows = sorted(rows_of_table(table), key=lambda row: _f(row, "depth"))
    falls = all(_below(b, a, "loss") for a, b in pairwise(rows))
    follows = all(_f(b, "score") > _f(a, "score") for a, b in pairwise(rows))
    ours = "; ".join(
        f"depth {row['depth']}: loss {_f(row, 'loss'):.3f}, score {_f(row, 'score'):.2f}" for row in rows
    )
    n = int(_f(rows[0], "n"))
    if not (falls or follows):
        return Verdict("no", ours, n, "neither loss nor score follows depth")
    return Verdict(
        "partly",
        ours,
        n,
        "the depths were trained unequally, and training steps were not varied"
        + ("" if falls and follows else "; one of the two does not follow depth beyond its errors"),
    )


def length_by_depth(table: Table) -> Verdict:
    """SD3, table 6: deeper networks make shorter paths and need fewer steps."""
    rows = sorted(rows_of_table(table), key=lambda row: _f(row, "depth"))
    ours = "length " + ", ".join(f"{_f(row, 'length'):.1f} at depth {row['depth']}" for row in rows)
    n = int(_f(rows[0], "n"))
    if not _below(rows[-1], rows[0], "length"):
        return Verdict("no", ours, n, "the deepest network's paths are not shorter beyond their errors")
    within = [f"{a['depth']} and {b['depth']}" for a, b in pairwise(rows) if not _below(b, a, "length")]
    apart = f"; depths {', '.join(within)} differ within their errors" if within else ""
    return Verdict("partly", ours, n, f"few steps were not measured by depth{apart}")


def typography_without_t5(table: Table) -> Verdict:
    """SD3, figures 7 and 9: without T5 typography loses most."""
    rows = {(row["t5"], row["category"]): row for row in rows_of_table(table)}
    drop = {
        category: _f(rows["on", category], "score") - _f(rows["zeros", category], "score")
        for mode, category in rows
        if mode == "on" and category != "mean"
    }
    written = [drop[name] for name in WRITTEN if name in drop]
    others = max(drop[name] for name in SIX if name in drop)
    n = int(_f(rows["on", "typography"], "n"))
    ours = f"zeros for T5 cost {min(written):.2f} of typography's score and at most {others:.2f} elsewhere"
    if min(written) > others:
        return Verdict("holds", ours, n)
    return Verdict("no", ours, n, "typography does not lose most")


def score_by_depth(table: Table) -> Verdict:
    """SD3, table 5: GenEval grows with depth and with DPO."""
    rows = sorted(rows_of_table(table), key=lambda row: _f(row, "depth"))
    ours = "score " + ", ".join(f"{_f(row, 'score'):.2f} at depth {row['depth']}" for row in rows)
    n = int(_f(rows[0], "n"))
    if all(_f(b, "score") > _f(a, "score") for a, b in pairwise(rows)):
        return Verdict("partly", ours, n, "no model here was aligned by DPO; depths were trained unequally")
    return Verdict("no", ours, n, "the score does not grow with depth")


def hardest_in_the_middle(table: Table) -> Verdict:
    """SD3, section 3.1: the velocity is harder to predict in the middle."""
    rows = [row for row in rows_of_table(table) if row["scale"] == 1 and isinstance(row["t"], float)]
    hardest = max(rows, key=lambda row: _f(row, "loss"))
    least = min(rows, key=lambda row: _f(row, "loss"))
    ours = (
        f"loss {_f(rows[0], 'loss'):.3f} at t = {rows[0]['t']}, {_f(least, 'loss'):.3f} at {least['t']}, "
        f"{_f(rows[-1], 'loss'):.3f} at {rows[-1]['t']}"
    )
    n = int(_f(rows[0], "n"))
    if MIDDLE[0] <= _f(hardest, "t") <= MIDDLE[1]:
        return Verdict("holds", ours, n)
    return Verdict(
        "no",
        ours,
        n,
        f"the loss is largest at t = {hardest['t']}; a part of it cannot be learned, and this study does not "
        "take that part away, as the Flow lab does for exact data",
    )


def encoder_memory() -> Verdict:
    """SD3, table 7: the memory of each text encoder, from its parameters as the catalogue counts them."""
    spec = find("sd3-medium")
    held = [spec.components[encoder.folder].parameters * 4 / 1e9 for encoder in spec.encoders]
    titles = [encoder.title for encoder in spec.encoders]
    ours = ", ".join(f"{title} {size:.2f} GB" for title, size in zip(titles, held, strict=True))
    return Verdict(
        "partly" if held[-1] > sum(held[:-1]) else "no",
        f"in float32 {ours}, counted from sd3-medium's parameters",
        0,
        "the times of encoders and of a training step were not measured",
    )


def flow_stabilises(table: Table) -> Verdict:
    """I-Max, figure 4: without projected flow the picture falls apart."""
    parts = []
    steadier = []
    for scale, arms in _arms(table).items():
        whole, without = arms["all parts"], arms["without projected flow"]
        parts.append(
            f"{scale}x: drift {_f(whole, 'drift'):.0f} with it and {_f(without, 'drift'):.0f} without, "
            f"obeyed {_f(whole, 'obeyed'):.2f} and {_f(without, 'obeyed'):.2f}"
        )
        steadier.append(_below(whole, without, "drift"))
    return _of_scales("; ".join(parts), _n(table), steadier, "drift is not less with it")


def each_part_helps(table: Table) -> Verdict:
    """I-Max, figure 5: taking any part away makes the picture worse."""
    helps: dict[str, list[bool]] = {}
    wins: dict[str, list[str]] = {}
    for arms in _arms(table).values():
        for name, row in arms.items():
            if str(name).startswith("without "):
                part = str(name).removeprefix("without ")
                helps.setdefault(part, []).append(_f(row, "wins") < 0.5)
                wins.setdefault(part, []).append(f"{_f(row, 'wins'):.2f}")
    ours = "wins without " + ", ".join(f"{part} {' and '.join(found)}" for part, found in wins.items())
    good = [part for part, found in helps.items() if all(found)]
    if len(good) == len(helps):
        return Verdict("holds", ours, _n(table))
    state: State = "partly" if good else "no"
    return Verdict(
        state,
        ours,
        _n(table),
        f"of {len(helps)} parts {len(good)} {'helps' if len(good) == 1 else 'help'} at every scale"
        + (f": {', '.join(good)}" if good else "")
        + "; below .50 the part helps",
    )


def gains_by_scale(table: Table) -> Verdict:
    """I-Max, figure 6: gains over the upsampled picture rise with the scale, then fall."""
    wins = [(scale, _f(arms["projected"], "wins")) for scale, arms in _arms(table).items()]
    ours = "wins over upsampling: " + ", ".join(f"{won:.2f} at {scale}x" for scale, won in wins)
    gains = [won for _, won in wins]
    if max(gains) <= 0.5:
        return Verdict("no", ours, _n(table), "no scale gains over the upsampled picture")
    if gains[-1] < max(gains) and gains[-1] < 0.5:
        return Verdict("holds", ours, _n(table))
    return Verdict("partly", ours, _n(table), "there are gains, and they do not end within these scales")


def beats_its_rivals(table: Table) -> Verdict:
    """I-Max, figures 7 and 8: better than SDEdit, skip-residual and time-aware positions."""
    rivals = ("sdedit", "skip-residual", "time-aware")
    arms = _arms(table)
    won = [
        (rival, scale, 1 - _f(found[rival], "wins"))
        for scale, found in arms.items()
        for rival in rivals
        if rival in found
    ]
    ours = "projected flow wins against " + ", ".join(
        f"{rival} {share:.2f} ({s}x)" for rival, s, share in won
    )
    better = [share > 0.5 for _, _, share in won]
    return _of_scales(ours, _n(table), better, "some rivals are as near to real renders")


def ratio_peaks_in_the_middle(table: Table) -> Verdict:
    """I-Max, figure 9: the loss at a larger size grows most in the middle of the way."""
    rows = [row for row in rows_of_table(table) if isinstance(row["t"], float)]
    scales = sorted({cast("float", row["scale"]) for row in rows} - {1})
    parts, inside = [], []
    for scale in scales:
        found = [row for row in rows if row["scale"] == scale and row["ratio"] is not None]
        peak = max(found, key=lambda row: _f(row, "ratio"))
        first, last = found[0], found[-1]
        ends = f"{_f(first, 'ratio'):.0f} at {first['t']}, {_f(last, 'ratio'):.1f} at {last['t']}"
        parts.append(f"{scale:g}x: {_f(peak, 'ratio'):.0f} at t = {peak['t']}, {ends}")
        inside.append(MIDDLE[0] <= _f(peak, "t") <= MIDDLE[1])
    reason = "the ratio peaks outside of the middle, with the table's positions extended"
    return _of_scales("; ".join(parts), int(_f(rows[0], "n")), inside, reason)


def few_steps_help(table: Table) -> Verdict:
    """I-Max, figure 10: with the native picture as guide, two steps already help."""
    two = [row for row in rows_of_table(table) if row["steps"] == 2]
    if not two:
        return Verdict("not measured", "", _n(table), "two steps were not among those that were recorded")
    ours = "wins of 2 steps over upsampling: " + ", ".join(
        f"{_f(row, 'wins'):.2f} at {row['scale']}x" for row in two
    )
    better = [_f(row, "wins") > 0.5 for row in two]
    return _of_scales(ours, _n(table), better, "two steps are not nearer to real renders than upsampling")


def _of_scales(ours: str, n: int, agree: Sequence[bool], reason: str) -> Verdict:
    """Holds where every scale or rival agrees, in part where some do."""
    if all(agree):
        return Verdict("holds", ours, n)
    return Verdict("partly" if any(agree) else "no", ours, n, reason)


def _arms(table: Table) -> dict[Scalar, dict[Scalar, Values]]:
    """Rows by scale and arm."""
    found: dict[Scalar, dict[Scalar, Values]] = {}
    for row in rows_of_table(table):
        found.setdefault(row["scale"], {})[row["arm"]] = row
    return found


def _n(table: Table) -> int:
    return int(cast("int", table.column("n")[0]))


def _f(row: Values, name: str) -> float:
    value = row[name]
    assert isinstance(value, int | float), name
    return float(value)


def _below(one: Values, other: Values, name: str) -> bool:
    """Whether one is below the other by more than two standard errors of their difference."""
    errors = [float(cast("float", row[f"{name} error"] or 0.0)) for row in (one, other)]
    return _f(other, name) - _f(one, name) > 2 * hypot(*errors)


def _decided(found: Sequence[Values]) -> bool:
    """Whether the best and the worst score differ by more than two standard errors."""
    best = max(found, key=lambda row: _f(row, "score"))
    worst = min(found, key=lambda row: _f(row, "score"))
    return _below(worst, best, "score")
