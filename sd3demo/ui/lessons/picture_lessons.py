"""Three lessons on pictures: guidance, T5 and spelling, and sizes beyond the native one."""

from functools import partial

from sd3demo.studies.study import Scalar
from sd3demo.ui.lessons import figures
from sd3demo.ui.lessons.lesson_steps import (
    PICTURE,
    ComputedFigure,
    GuidedLesson,
    LessonStep,
    StudyFigure,
    mean_score,
)

WORD = "#/generate?prompt=the+word+%22FLOW%22+in+blue&seed=7"


def _without_t5(t5: str, category: str) -> StudyFigure:
    return StudyFigure("t5-off", "score", {"t5": t5, "category": category})


def _share(column: str, scale: float, arm: str) -> StudyFigure:
    return _larger("imax-scale", column, "{:.0%}", scale=scale, arm=arm)


def _larger(study: str, column: str, form: str, **where: Scalar) -> StudyFigure:
    return StudyFigure(study, column, where, form)


GUIDANCE = GuidedLesson(
    "guidance",
    (
        LessonStep(
            "without",
            f"{PICTURE}&cfg=1",
            "show",
            answer=1,
            source="SD3, appendix B.3",
            press="generate",
            status="status",
            figures={"one": mean_score("score-cfg", cfg=1), "four": mean_score("score-cfg", cfg=4)},
            bars=("one", "four"),
            holds=(("one", ">", 0.75), ("one", "<", "four")),
        ),
        LessonStep(
            "longer-velocity",
            "#/trajectories?recorded=with-guidance",
            "plot-guidance-norms",
            answer=0,
            source="I-Max, equation 6, which has this form",
            figures={
                "first": ComputedFigure(partial(figures.guidance_gain, 0.0)),
                "half": ComputedFigure(partial(figures.guidance_gain, 0.5)),
                "last": ComputedFigure(partial(figures.guidance_gain, 1.0)),
            },
            bars=("first", "half", "last"),
            holds=(
                ("first", ">", 1.4),
                ("half", "<", 1.1),
                ("half", ">", 0.9),
                ("last", "<", 0.9),
                ("last", ">", 0.7),
            ),
        ),
        LessonStep(
            "longer-path",
            "#/trajectories?recorded=without-guidance",
            "plot-move-lengths",
            answer=1,
            source="SD3, table 6",
            figures={
                "without": ComputedFigure(partial(figures.path_length, "without-guidance"), "{:.1f}"),
                "with": ComputedFigure(partial(figures.path_length, "with-guidance"), "{:.1f}"),
            },
            bars=("without", "with"),
            holds=(("with", ">", "without"),),
        ),
        LessonStep(
            "ever-more",
            "#/score?study=score-cfg",
            "study-score-cfg",
            answer=1,
            source="SD3, appendix B.3",
            figures={
                "two": mean_score("score-cfg", cfg=2),
                "four": mean_score("score-cfg", cfg=4),
                "ten": mean_score("score-cfg", cfg=10),
            },
            bars=("two", "four", "ten"),
            holds=(("two", "=", "four"), ("four", "=", "ten")),
        ),
    ),
)

T5_AND_SPELLING = GuidedLesson(
    "t5-and-spelling",
    (
        LessonStep(
            "a-word",
            WORD,
            "show",
            answer=1,
            source="SD3, section 4 and figure 2",
            press="generate",
            status="status",
            figures={"spelled": _without_t5("on", "typography")},
            bars=("spelled",),
            holds=(("spelled", ">", 0.9),),
        ),
        LessonStep(
            "without-t5",
            f"{WORD}&t5=zeros",
            "show",
            answer=2,
            source="SD3, section 5.3.3 and figure 9",
            press="generate",
            status="status",
            figures={
                "on": _without_t5("on", "typography"),
                "zeros": _without_t5("zeros", "typography"),
            },
            bars=("on", "zeros"),
            holds=(("on", ">", 0.9), ("zeros", "<", 0.1)),
        ),
        LessonStep(
            "everything-else",
            "#/score?study=t5-off",
            "study-t5-off",
            answer=0,
            source="SD3, section 5.3.3 and figure 7",
            figures={
                "colours": _without_t5("zeros", "colours"),
                "position": _without_t5("zeros", "position"),
                "typography": _without_t5("zeros", "typography"),
            },
            bars=("colours", "position", "typography"),
            holds=(("colours", ">", 0.8), ("position", ">", 0.8), ("typography", "<", 0.1)),
        ),
        LessonStep(
            "the-price",
            "#/claims",
            "claims",
            answer=2,
            source="SD3, table 7",
            figures={"share": ComputedFigure(figures.t5_share, "{:.0%}")},
            bars=("share",),
            holds=(("share", ">", 0.75),),
        ),
    ),
)

BEYOND_NATIVE = GuidedLesson(
    "beyond-native",
    (
        LessonStep(
            "same-noise",
            "#/densities?densities=logit-normal&pixels=16384&native=4096&shift=2",
            "plot-log-snr",
            answer=1,
            source="SD3, section 5.3.2 and equation 23",
            figures={"shift": ComputedFigure(figures.double_side_shift, "{:.0f}")},
            holds=(("shift", "=", 2.0),),
        ),
        LessonStep(
            "alone",
            "#/extrapolate?study=imax-scale",
            "study-imax-scale",
            answer=1,
            source="I-Max, section 3.2 and figure 4",
            figures={
                "direct": _share("obeyed", 2, "direct"),
                "four": _share("obeyed", 4, "direct"),
                "projected": _share("obeyed", 4, "projected"),
            },
            bars=("direct", "four", "projected"),
            holds=(
                ("direct", ">", 0.4),
                ("direct", "<", 0.65),
                ("four", "<", "direct"),
                ("projected", ">", 0.9),
            ),
        ),
        LessonStep(
            "projected-flow",
            "#/extrapolate?prompt=a+red+circle+above+a+blue+square&seed=7",
            "large-show",
            answer=0,
            source="I-Max, section 2.2 and equation 7",
            press="large-run",
            status="large-status",
            figures={
                "with": _larger("imax-scale", "drift", "{:.1f} of 255", scale=2, arm="projected"),
                "without": _larger("imax-scale", "drift", "{:.1f} of 255", scale=2, arm="direct"),
            },
            bars=("with", "without"),
            holds=(("with", "<", 5.0), ("without", ">", 50.0)),
        ),
        LessonStep(
            "gains",
            "#/extrapolate?study=imax-scale",
            "study-imax-scale",
            answer=1,
            source="I-Max, section 3.3 and figure 6",
            figures={
                "first": _share("paired wins", 1.5, "projected"),
                "two": _share("paired wins", 2, "projected"),
                "four": _share("paired wins", 4, "projected"),
            },
            bars=("first", "two", "four"),
            holds=(("first", ">", 0.5), ("two", ">", "first"), ("four", ">", "two")),
        ),
        LessonStep(
            "two-steps",
            "#/extrapolate?study=imax-steps",
            "study-imax-steps",
            answer=1,
            source="I-Max, section 3.6 and figure 10",
            figures={
                "two": _larger("imax-steps", "paired patches", "{:.3f}", scale=2, steps=2),
                "many": _larger("imax-steps", "paired patches", "{:.3f}", scale=2, steps=28),
                "error": _larger("imax-steps", "paired patches error", "{:.3f}", scale=2, steps=2),
                "gap": ComputedFigure(figures.steps_gap, "{:.3f}"),
            },
            bars=("two", "many"),
            holds=(("gap", "<", "error"),),
        ),
    ),
)
