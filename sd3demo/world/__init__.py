"""The procedural world of the embedded model: scenes, captions, exact rendering, and a judge of pictures."""
