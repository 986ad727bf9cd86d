"""The public names for the length of a path, defined in flow.path."""

from sd3demo.flow.path.lengths import LengthRecorder, PathLength, path_length

__all__ = ["LengthRecorder", "PathLength", "path_length"]
