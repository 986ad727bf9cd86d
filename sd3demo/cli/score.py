"""`sd3demo score`: the six GenEval categories and typography on the embedded world."""

from dataclasses import asdict

from sd3demo.cli.flags import Command
from sd3demo.cli.report import Report
from sd3demo.errors import Failure
from sd3demo.settings import Settings
from sd3demo.studies.score import Marked, Sampling, Scores, ScoreSettings


def score(settings: ScoreSettings, sampling: Settings, report: Report) -> int:
    from sd3demo.engine import Engine
    from sd3demo.studies.score import score as run

    for news in run(settings, sampling, Engine()):
        match news:
            case Marked(exam=exam, done=done, count=count):
                report.progress(f"{done} of {count}: {exam.category}")
            case Scores(scores=scores, overall=overall, settings=resolved):
                values = {
                    "scores": {name: asdict(rate) for name, rate in scores.items()},
                    "overall": overall,
                    "n": settings.n,
                    "settings": resolved.model_dump(mode="json", exclude={"prompt", "seed"}),
                }
                report.result(values, _table(news))
                return 0
    raise Failure("the score stopped before it was finished")


def _table(scores: Scores) -> str:
    rows = [f"{'category':<20}{'score':>7}{'error':>8}{'ceiling':>9}{'n':>6}"]
    rows += [
        f"{name:<20}{rate.rate:>7.2f}{rate.error:>8.3f}{rate.ceiling:>9.2f}{rate.n:>6}"
        for name, rate in scores.scores.items()
    ]
    if scores.overall is not None:
        rows.append(f"{'overall':<20}{scores.overall:>7.2f}  (the mean of GenEval's six categories)")
    return "\n".join(rows)


COMMAND = Command(score, (ScoreSettings, Sampling))
