"""The embedded model's procedural world: scenes, captions, exact rendering, and the judge that reads a
picture back."""
