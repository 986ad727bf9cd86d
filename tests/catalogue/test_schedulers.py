"""Every field of diffusers' scheduler is obeyed to the last sigma, or refused by its name in the plan."""

import inspect
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline, FlowMatchEulerDiscreteScheduler

from sd3demo.catalogue import find
from sd3demo.catalogue.schedulers import NEUTRAL, OBEYED
from sd3demo.cli import main
from sd3demo.engine import plan
from sd3demo.errors import Refusal
from sd3demo.settings import Request
from tests.engine.runs import HERE, run

CONSTRUCTOR = inspect.signature(FlowMatchEulerDiscreteScheduler.__init__).parameters
FIELDS = {name: each.default for name, each in CONSTRUCTOR.items() if name != "self"}

DYNAMIC = {"use_dynamic_shifting": True}
OBEYED_VALUES: dict[str, list[dict[str, object]]] = {
    "shift": [{"shift": 1.0}, {"shift": 5.5}],
    "use_dynamic_shifting": [DYNAMIC],
    "base_shift": [DYNAMIC | {"base_shift": 0.3}, {"base_shift": 0.3}],
    "max_shift": [DYNAMIC | {"max_shift": 2.0}],
    "base_image_seq_len": [DYNAMIC | {"base_image_seq_len": 16}],
    "max_image_seq_len": [DYNAMIC | {"max_image_seq_len": 3000}],
    "time_shift_type": [DYNAMIC | {"time_shift_type": "linear"}, {"time_shift_type": "linear"}],
}
OTHER_VALUES: dict[str, object] = {"num_train_timesteps": 500, "shift_terminal": 0.02}


def written(folder: Path, values: dict[str, object]) -> Path:
    file = folder / "scheduler" / "scheduler_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | values))
    return folder


@pytest.fixture(params=["sd3.5-medium", "flux-dev", "flux-schnell"])
def folder(request: pytest.FixtureRequest, checkpoint: Callable[..., Path], tmp_path: Path) -> Path:
    place = shutil.copytree(checkpoint(request.param), tmp_path / "model")
    return written(Path(place), {**FIELDS, "shift": 3.0})


def asked(folder: Path, **settings: object) -> Request:
    values = {"prompt": "a red circle", "negative": "a blue square", "model": str(folder), "steps": 4}
    return Request.model_validate(values | settings)


def test_each_field_of_diffusers_scheduler_is_decided() -> None:
    assert {**OBEYED, **NEUTRAL} == FIELDS
    assert set(OBEYED_VALUES) == set(OBEYED)


@pytest.mark.parametrize("name", NEUTRAL)
def test_a_field_that_is_not_obeyed_is_refused_by_its_name(
    folder: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    written(folder, {name: OTHER_VALUES.get(name, True)})
    assert main(["plan", "--model", str(folder)]) == 2
    assert f"scheduler_config.json sets {name} to " in capsys.readouterr().err


@pytest.mark.parametrize("values", [each for some in OBEYED_VALUES.values() for each in some], ids=str)
def test_a_field_that_is_obeyed_gives_the_pipelines_sigmas_and_picture(
    folder: Path, values: dict[str, object]
) -> None:
    written(folder, values)
    ran = run(asked(folder, width=96, height=40))
    pipe = DiffusionPipeline.from_pretrained(folder)
    pipe.set_progress_bar_config(disable=True)
    request = ran.plan.request
    guided = {"guidance_scale": request.cfg, "negative_prompt": request.negative}
    if ran.plan.spec.family == "flux":
        guided = {} if request.guidance is None else {"guidance_scale": request.guidance}
    image = pipe(
        prompt=request.prompt,
        width=request.width,
        height=request.height,
        num_inference_steps=request.steps,
        max_sequence_length=request.max_sequence_length,
        generator=torch.Generator().manual_seed(request.seed),
        output_type="np",
        **guided,
    ).images[0]
    np.testing.assert_allclose(ran.plan.sigmas, pipe.scheduler.sigmas.numpy(), rtol=0, atol=1e-6)
    assert np.abs(ran.finished.pictures[0] - 255 * image).max() <= 1


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"_class_name": "UniPCMultistepScheduler", "flow_shift": 3.0}, "is a UniPCMultistepScheduler's"),
        ({"_class_name": "FlowMatchHeunDiscreteScheduler"}, "is a FlowMatchHeunDiscreteScheduler's"),
        ({"flow_shift": 3.0}, "sets flow_shift to 3.0"),
        ({"shift": -1}, "sets shift to -1"),
        ({"shift": "auto"}, "sets shift to auto"),
        (DYNAMIC | {"time_shift_type": "cubic"}, "sets time_shift_type to cubic"),
        (DYNAMIC | {"max_image_seq_len": 256}, "equal base_image_seq_len and max_image_seq_len"),
        (DYNAMIC | {"base_shift": None}, "sets base_shift to None"),
    ],
)
def test_what_means_nothing_here_is_refused(folder: Path, values: dict[str, object], said: str) -> None:
    written(folder, values)
    with pytest.raises(Refusal, match=said):
        plan(asked(folder), find(str(folder)), HERE)


def test_another_class_in_the_models_index_is_refused(folder: Path) -> None:
    file = folder / "model_index.json"
    index = json.loads(file.read_text()) | {"scheduler": ["diffusers", "DPMSolverMultistepScheduler"]}
    file.write_text(json.dumps(index))
    with pytest.raises(Refusal, match="is a DPMSolverMultistepScheduler's"):
        find(str(folder))


def test_a_field_of_a_later_version_passes_while_it_is_off(folder: Path) -> None:
    assert find(str(written(folder, {"use_new_sigmas": False}))).folder
    with pytest.raises(Refusal, match="sets use_new_sigmas to True"):
        find(str(written(folder, {"use_new_sigmas": True})))
