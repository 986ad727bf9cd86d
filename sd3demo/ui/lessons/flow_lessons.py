"""Three lessons on the flow: from noise to a picture, why lines are straight, and where to train."""

from functools import partial

from sd3demo.ui.lessons import figures
from sd3demo.ui.lessons.lesson_steps import (
    PICTURE,
    ComputedFigure,
    GuidedLesson,
    LessonStep,
    StudyFigure,
    mean_score,
)

TRAINED = "#/flow-lab?data=clusters&steps=600"


def _loss(t: float) -> StudyFigure:
    return StudyFigure("velocity-loss", "loss", {"scale": 1, "t": t}, "{:.3f}")


NOISE_TO_PICTURE = GuidedLesson(
    "noise-to-picture",
    (
        LessonStep(
            "first-guess",
            PICTURE,
            "show",
            answer=1,
            source="SD3, equation 13 and section 3.1",
            press="generate",
            status="status",
            figures={
                "start": ComputedFigure(partial(figures.prediction_distance, 0.0), "{:.0f} of 255"),
                "half": ComputedFigure(partial(figures.prediction_distance, 0.5), "{:.0f} of 255"),
                "late": ComputedFigure(partial(figures.prediction_distance, 0.9), "{:.0f} of 255"),
            },
            bars=("start", "half", "late"),
            holds=(("start", ">", "half"), ("half", ">", "late")),
        ),
        LessonStep(
            "one-step",
            f"{PICTURE}&steps=1",
            "show",
            answer=1,
            source="SD3, section 1",
            press="generate",
            status="status",
            figures={
                "one": mean_score("score-steps", steps=1),
                "two": mean_score("score-steps", steps=2),
                "fifty": mean_score("score-steps", steps=50),
            },
            bars=("one", "two", "fifty"),
            holds=(("one", ">", 0.1), ("one", "<", 0.5), ("two", ">", "one"), ("fifty", ">", "two")),
        ),
        LessonStep(
            "how-many",
            "#/score?study=score-steps",
            "study-score-steps",
            answer=1,
            source="SD3, table 6",
            figures={
                "two": mean_score("score-steps", steps=2),
                "ten": mean_score("score-steps", steps=10),
                "fifty": mean_score("score-steps", steps=50),
            },
            bars=("two", "ten", "fifty"),
            holds=(("two", "<", "ten"), ("ten", "=", "fifty")),
        ),
        LessonStep(
            "other-noise",
            f"{PICTURE.removesuffix('7')}8",
            "show",
            answer=0,
            source="SD3, equations 1 and 2",
            press="generate",
            status="status",
            figures={"right": mean_score("score")},
            bars=("right",),
            holds=(("right", ">", 0.9),),
        ),
    ),
)

WHY_STRAIGHT = GuidedLesson(
    "why-straight",
    (
        LessonStep(
            "near-noise",
            "#/flow-lab?field_t=0.95&field_x=0.3&field_y=0.2",
            "plot-field",
            answer=2,
            source="SD3, equation 6",
            quote="field-said",
        ),
        LessonStep(
            "near-data",
            "#/flow-lab?field_t=0.1&field_x=1&field_y=1",
            "plot-field",
            answer=0,
            source="SD3, equation 6",
            quote="field-said",
        ),
        LessonStep(
            "bent-paths",
            TRAINED,
            "plot-trajectories",
            answer=1,
            source="SD3, equations 6 to 8",
            press="plane-train",
            status="plane-status",
            quote="plane-figures",
        ),
        LessonStep(
            "reflow",
            TRAINED,
            "plot-trajectories",
            answer=1,
            source="SD3, section 1; reflow is Liu et al. 2022",
            press="plane-reflow",
            status="plane-status",
            ahead="plane-train",
            quote="plane-figures",
        ),
        LessonStep(
            "picture-paths",
            "#/trajectories?study=path-length",
            "study-path-length",
            answer=1,
            source="SD3, table 6",
            figures={
                "straightness": StudyFigure("path-length", "straightness", {"steps": 50}, "{:.2f}"),
                "length": StudyFigure("path-length", "length", {"steps": 50}, "{:.1f}"),
                "chord": StudyFigure("path-length", "chord", {"steps": 50}, "{:.1f}"),
            },
            bars=("length", "chord"),
            holds=(("straightness", ">", 0.9), ("straightness", "<", 0.99), ("length", ">", "chord")),
        ),
    ),
)

WHERE_TO_TRAIN = GuidedLesson(
    "where-to-train",
    (
        LessonStep(
            "largest-loss",
            "#/trajectories?study=velocity-loss",
            "study-velocity-loss",
            answer=1,
            source="SD3, section 3.1",
            figures={"data": _loss(0.125), "middle": _loss(0.625), "noise": _loss(1.0)},
            bars=("data", "middle", "noise"),
            holds=(("middle", "<", "data"), ("middle", "<", "noise")),
        ),
        LessonStep(
            "two-parts",
            "#/flow-lab?field_data=clusters&field_t=0.6&field_x=0.5&field_y=0.2",
            "plot-loss-parts",
            answer=1,
            source="SD3, equations 7 and 8",
            quote="field-said",
        ),
        LessonStep(
            "logit-normal",
            "#/densities?densities=uniform,logit-normal",
            "plot-pdf",
            answer=1,
            source="SD3, equation 19",
            figures={
                "uniform": ComputedFigure(lambda: 0.5, "{:.0%}"),
                "middle": ComputedFigure(figures.middle_share, "{:.0%}"),
            },
            bars=("uniform", "middle"),
            holds=(("middle", ">", 0.7), ("middle", "<", 0.75)),
        ),
        LessonStep(
            "best-rank",
            "#/densities?densities=uniform,logit-normal,mode",
            "presets",
            answer=2,
            source="SD3, table 1",
            figures={
                "logit": ComputedFigure(partial(figures.rank, "rf/lognorm(0.00, 1.00)")),
                "mode": ComputedFigure(partial(figures.rank, "rf/mode(1.29)")),
                "uniform": ComputedFigure(partial(figures.rank, "rf (uniform)")),
            },
            bars=("logit", "mode", "uniform"),
            holds=(("logit", "<", "mode"), ("mode", "<", "uniform")),
        ),
        LessonStep(
            "as-a-weight",
            "#/densities?densities=logit-normal",
            "plot-weights",
            answer=1,
            source="SD3, equation 18",
            figures={"ratio": ComputedFigure(figures.weight_ratio, "{:.0f}")},
            holds=(("ratio", ">", 1.0),),
        ),
    ),
)
