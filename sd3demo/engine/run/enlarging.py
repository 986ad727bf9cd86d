"""From the picture of one stage to the next: enlarged, and taken back to a latent as its guide."""

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from sd3demo.engine.events import Pixels
from sd3demo.engine.init_picture import InitPicture
from sd3demo.engine.plan.resolve import INIT
from sd3demo.engine.plan.stages import GivenStage, LiftStage, ResampleStage
from sd3demo.engine.run.noise import posterior_noise
from sd3demo.engine.run.state import LoadedModel, RunState
from sd3demo.errors import Failure
from sd3demo.flow.extrapolation.resampling import enlarged


def given(state: RunState, stage: GivenStage) -> Tensor:
    """A picture that was given, at the native size, for each of the batch: (B, 3, H, W) in [-1, 1]."""
    if stage.key == INIT:
        assert state.plan.init is not None
        return as_image(state.plan.init.pixels, state.loaded.device).expand(
            state.plan.request.count, -1, -1, -1
        )
    assert state.own is not None
    image = torch.from_numpy(state.own).to(state.loaded.device).permute(2, 0, 1)[None].float() / 127.5 - 1
    small = interpolate(image, size=(stage.height, stage.width), mode="bicubic", antialias=True)
    return small.expand(state.plan.request.count, -1, -1, -1)


def as_image(pixels: Pixels, device: torch.device) -> Tensor:
    """Bytes (H, W, 3) as (1, 3, H, W) in [-1, 1], rounded and laid out as diffusers' image processor does.

    Channels that lie innermost are convolved by another kernel, whose last bits differ.
    """
    image = torch.from_numpy(pixels).to(device).permute(2, 0, 1)[None].float() / 255 * 2 - 1
    return image.clone(memory_format=torch.channels_last)


def encoded_init(init: InitPicture, loaded: LoadedModel) -> Tensor:
    """The latent (1, C, h, w) of the picture that a run starts from."""
    return loaded.model.to_latent(as_image(init.pixels, loaded.device)).float()


def lift(state: RunState, stage: LiftStage) -> Tensor:
    """The guide (B, C, h, w): the picture that the stage needs, enlarged and encoded, one by one."""
    plan, model = state.plan, state.loaded.model
    if plan.init is not None and stage.needs[0] == INIT:
        return encoded_init(plan.init, state.loaded).expand(plan.request.count, -1, -1, -1)
    image = _enlarged_to(state.images[stage.needs[0]].float(), stage)
    if stage.posterior == "sample":
        noise = posterior_noise(plan.seeds, model.spec, stage).to(state.loaded.device)
        latents = [model.to_latent(one[None], of[None]) for one, of in zip(image, noise, strict=True)]
    else:
        latents = [model.to_latent(one[None]) for one in image]
    return torch.cat(latents).float()


def resample(state: RunState, stage: ResampleStage) -> Tensor:
    """The picture that the stage needs at its size, (B, 3, H, W), by the method's way."""
    return _enlarged_to(state.images[stage.needs[0]].float(), stage)


def _enlarged_to(image: Tensor, stage: LiftStage | ResampleStage) -> Tensor:
    """A picture at the stage's size: by its super-resolution network if it has one, then by resampling."""
    if stage.upscaler:
        image = super_resolved(image.clamp(-1, 1), stage.upscaler)
    return enlarged(image, (stage.height, stage.width), stage.resampling)


def super_resolved(image: Tensor, file: str) -> Tensor:
    """(B, 3, H, W) in [-1, 1] through a network of the user's, at whatever scale it was made for."""
    from spandrel import ImageModelDescriptor, ModelLoader

    try:
        model = ModelLoader(device=image.device).load_from_file(file)
    except Exception as error:
        raise Failure(f"{file} cannot be read as a super-resolution model: {error}") from error
    if not isinstance(model, ImageModelDescriptor) or model.input_channels != 3:
        raise Failure(
            f"{file} is no model that takes a colour picture and gives a larger one; try Real-ESRGAN"
        )
    model.model.eval()
    return torch.cat([model(one[None] / 2 + 0.5) for one in image]) * 2 - 1
