"""The Space's entry, and the same as `sd3demo serve`."""

from sd3demo.ui import build, launch

demo = build()

if __name__ == "__main__":
    launch(demo, port=7860)
