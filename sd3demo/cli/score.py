"""`sd3demo score`: the six GenEval categories and typography on the embedded world."""

from dataclasses import asdict

from sd3demo.cli.flags import Command
from sd3demo.cli.report import Report
from sd3demo.cli.study import CacheOptions, progress
from sd3demo.errors import Failure
from sd3demo.studies.score.score import STUDY, Scores, ScoreStudy, scores_of
from sd3demo.studies.study import Measured


def score(settings: ScoreStudy, cache: CacheOptions, report: Report) -> int:
    STUDY.cells(settings)  # what cannot be is refused before anything heavy is imported

    from sd3demo.engine import Engine
    from sd3demo.studies.study import run

    measured: list[Measured] = []
    for news in run(STUDY, settings, Engine(), cache.folder, anew=cache.anew):
        if isinstance(news, Measured):
            measured.append(news)
            report.progress(progress(news))
            continue
        scores = scores_of(settings, measured)
        values = {
            "scores": {name: asdict(rate) for name, rate in scores.scores.items()},
            "overall": scores.overall,
            "n": settings.n,
            "settings": scores.settings.model_dump(mode="json", exclude={"prompt", "seed"}),
        }
        report.result(values, as_text(scores))
        return 0
    raise Failure("the score stopped before it was finished")


def as_text(scores: Scores) -> str:
    """Return the scores as an aligned table."""
    rows = [f"{'category':<20}{'score':>7}{'error':>8}{'ceiling':>9}{'n':>6}"]
    rows += [
        f"{name:<20}{rate.rate:>7.2f}{rate.error:>8.3f}{rate.ceiling or 0:>9.2f}{rate.n:>6}"
        for name, rate in scores.scores.items()
    ]
    if scores.overall is not None:
        rows.append(f"{'overall':<20}{scores.overall:>7.2f}  (the mean of GenEval's six categories)")
    return "\n".join(rows)


COMMAND = Command(score, (ScoreStudy, CacheOptions))
