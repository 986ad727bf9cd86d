"""The public names of projected flow, defined in flow.extrapolation."""

from sd3demo.flow.extrapolation.lowpass import haar, radial
from sd3demo.flow.extrapolation.projection import project
from sd3demo.flow.extrapolation.strengths import STRENGTHS

__all__ = ["STRENGTHS", "haar", "project", "radial"]
