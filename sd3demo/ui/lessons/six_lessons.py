"""The six lessons, in the order in which they are taught.

SD3 is arXiv 2403.03206, I-Max arXiv 2410.07536. A link sets the page as any link does.
"""

from sd3demo.ui.lessons.flow_lessons import NOISE_TO_PICTURE, WHERE_TO_TRAIN, WHY_STRAIGHT
from sd3demo.ui.lessons.lesson_steps import GuidedLesson
from sd3demo.ui.lessons.picture_lessons import BEYOND_NATIVE, GUIDANCE, T5_AND_SPELLING

SIX: tuple[GuidedLesson, ...] = (
    NOISE_TO_PICTURE,
    WHY_STRAIGHT,
    WHERE_TO_TRAIN,
    GUIDANCE,
    T5_AND_SPELLING,
    BEYOND_NATIVE,
)
