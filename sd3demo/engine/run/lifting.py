"""From the picture of one stage to the next: enlarged, and taken back to a latent as its guide."""

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from sd3demo.engine.plan.stages import Stage
from sd3demo.engine.run.noise import posterior_noise
from sd3demo.engine.run.state import RunState
from sd3demo.errors import Failure
from sd3demo.flow.extrapolation.resampling import enlarged


def given(course: RunState, stage: Stage) -> Tensor:
    """A picture of one's own at the native size, for each of the batch: (B, 3, H, W) in [-1, 1]."""
    assert course.own is not None
    image = torch.from_numpy(course.own).to(course.ready.device).permute(2, 0, 1)[None].float() / 127.5 - 1
    small = interpolate(image, size=(stage.height, stage.width), mode="bicubic", antialias=True)
    return small.expand(course.plan.request.count, -1, -1, -1)


def lift(course: RunState, stage: Stage) -> Tensor:
    """The guide (B, C, h, w): the picture that the stage needs, enlarged and encoded, one by one."""
    plan, model = course.plan, course.ready.model
    large = stage.large
    image = enlarged(course.images[stage.needs[0]].float(), (stage.height, stage.width), large.lift)
    if large.posterior == "sample":
        noise = posterior_noise(plan.seeds, model.spec, stage).to(course.ready.device)
        latents = [model.to_latent(one[None], of[None]) for one, of in zip(image, noise, strict=True)]
    else:
        latents = [model.to_latent(one[None]) for one in image]
    return torch.cat(latents).float()


def resample(course: RunState, stage: Stage) -> Tensor:
    """The picture that the stage needs at its size, (B, 3, H, W), by the method's way."""
    image = course.images[stage.needs[0]].float()
    if stage.large.method == "super-resolution":
        image = super_resolved(image.clamp(-1, 1), stage.large.upscaler)
    return enlarged(image, (stage.height, stage.width), stage.large.lift)


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
