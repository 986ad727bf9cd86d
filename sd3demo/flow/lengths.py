"""The length of a path under its public address; it lives in flow.path."""

from sd3demo.flow.path.lengths import LengthRecorder, PathLength, path_length

__all__ = ["LengthRecorder", "PathLength", "path_length"]
