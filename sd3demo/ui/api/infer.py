"""`/infer`, the endpoint for programs: the SD3 Space's arguments in its order, then this project's own."""

import gradio as gr
from gradio.events import api

from sd3demo.engine.events import Finished
from sd3demo.errors import Failure
from sd3demo.ui.api.endpoints import NAMES, endpoints
from sd3demo.ui.context import Core, prepare
from sd3demo.ui.generate import handlers as answers
from sd3demo.ui.generate.stream import sentence


def infer(core: Core) -> None:
    """The endpoint, and those beside it. It stands in the same line as the page's runs."""

    def infer(
        prompt: str,
        negative_prompt: str = "",
        seed: int = 0,
        randomize_seed: bool = False,
        width: int | None = None,
        height: int | None = None,
        guidance_scale: float | None = None,
        num_inference_steps: int | None = None,
        shift: float | str | None = None,
        t5: str = "on",
    ) -> tuple[gr.FileData, int]:
        """Makes one picture from a text, and returns it as a PNG with its receipt, and its seed.

        It is kept in the history of a page that has one. A run that has begun goes to its end, also where
        its client has gone away.

        Args:
            prompt: What the picture should show.
            negative_prompt: What guidance should lead away from.
            seed: Draws the initial noise.
            randomize_seed: Draw a new seed; it is returned.
            width: In pixels; the model's native size by default.
            height: In pixels; the model's native size by default.
            guidance_scale: 1 is no guidance; the model's own by default.
            num_inference_steps: Steps of the solver; the model's own by default.
            shift: A number, or "auto" for what the size asks for; the model's own by default.
            t5: "on", "zeros", "omit" or "empty".
        """
        values = {
            "prompt": prompt,
            "negative": negative_prompt,
            "seed": answers.new_seed() if randomize_seed else seed,
            "width": width,
            "height": height,
            "cfg": guidance_scale,
            "steps": num_inference_steps,
            "shift": shift,
            "t5": t5,
            "model": core.models[0],
        }
        try:
            made = prepare(values, core)
            ends = [event for event in core.run(made) if isinstance(event, Finished)]
            if not ends:
                raise Failure("the run stopped before it was finished")
            (kept,) = answers.keep(made.request, ends[0])
            answers.remember(core, made.request, ends[0])
            return gr.FileData(path=kept.path, orig_name=kept.name), made.request.seed
        except Exception as error:
            raise gr.Error(sentence(error, NAMES), print_exception=False) from error

    api(infer, api_name="infer", concurrency_limit=1, concurrency_id="model")
    endpoints(core)
