"""`sd3demo train`: the stages in order, each part kept once it is there, all of it a generator of reports."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event

import torch
from diffusers import AutoencoderKL

from sd3demo.errors import Refusal
from sd3demo.flow.densities import LogitNormal
from sd3demo.training import checkpoint as files
from sd3demo.training.autoencoder import autoencoder, finish_decoder, train_autoencoder
from sd3demo.training.clock import TimeLimit
from sd3demo.training.dataset import Feed, Feeds, TextEncoders
from sd3demo.training.encoders import (
    CLIP_G_WIDTH,
    CLIP_L_WIDTH,
    clip_encoder,
    encoder_of,
    t5_model,
    train_clip,
    train_t5,
)
from sd3demo.training.evaluate import run_exam
from sd3demo.training.flow import FlowTraining, Recipe, train_flow
from sd3demo.training.letter_slots import teach_places
from sd3demo.training.progress import Progress
from sd3demo.training.pruning import Sample, prune
from sd3demo.training.settings import TrainSettings
from sd3demo.training.sizes import OWN, PictureSize
from sd3demo.training.tokenizers import clip_tokenizer, t5_tokenizer
from sd3demo.training.transformer import mmdit

LEAST = 64
"""Encoded pictures at hand of a size, however small its share."""
SEEN, AT_ONCE = 512, 64
"""Examples that a network is looked at with before it is pruned, and how many at once."""


def train(settings: TrainSettings, stop: Event | None = None) -> Iterator[Progress]:
    """Train what is missing, report as it goes, and leave the state and the model in `settings.out`.

    `stop`, once set, ends the run after the step under way as if its time were over: all is saved.
    """
    clock = TimeLimit(settings.minutes, stop or Event())
    device = _device(settings)
    if settings.threads:
        torch.set_num_threads(settings.threads)
    torch.manual_seed(settings.seed)
    out = settings.out
    (out / "model").mkdir(parents=True, exist_ok=True)
    for progress in _stages(settings, clock, device):
        files.write_log(out, progress)
        yield progress


def _device(settings: TrainSettings) -> torch.device:
    if settings.device == "cuda" and not torch.cuda.is_available():
        raise Refusal("device is cuda and this machine has no CUDA device; give --device cpu or auto")
    return torch.device("cuda" if settings.device != "cpu" and torch.cuda.is_available() else "cpu")


def _stages(settings: TrainSettings, clock: TimeLimit, device: torch.device) -> Iterator[Progress]:
    model = settings.out / "model"
    source = _source(settings)
    if source is not None and source != model:
        _copy_components(source, model)
    if not (model / "vae").exists():
        yield from _make_autoencoder(settings, clock, model, device)
    if settings.stage == "autoencoder":
        return
    if settings.stage == "decoder":
        vae = files.read_autoencoder(model, device)
        yield from finish_decoder(vae, clock, device=device, seed=settings.seed)
        files.write_half(vae.eval(), model / "vae")
        return
    if not (model / "text_encoder_3").exists():
        yield from _make_encoders(settings, clock, model, device)
    if settings.stage == "spelling":
        encoders = files.read_encoders(model, device)
        yield from teach_places(encoders.t5, encoders.t5_tokenizer, clock, device=device, seed=settings.seed)
        files.write_encoders(encoders, model)
    if settings.stage in ("encoders", "spelling"):
        return
    yield from _continue_flow(settings, clock, model, device)


def _source(settings: TrainSettings) -> Path | None:
    """The model to start from; Refusal when `resume` names nothing of the kind."""
    if settings.resume is None:
        if settings.prune_from is not None:
            raise Refusal("prune_from needs a model to prune; give it as --resume, such as assets/tiny")
        return None
    if settings.prune_from is not None and files.holds_run(settings.resume):
        raise Refusal(
            f"{settings.resume} holds a run that goes on with its own weights; leave --prune-from out, or "
            f"give --resume {settings.resume / 'model'}"
        )
    model = files.model_of(settings.resume)
    if not (model / "vae").is_dir():
        raise Refusal(
            f"{settings.resume} holds no model or training run; give the --out folder of an earlier run, "
            "or a folder such as assets/tiny"
        )
    return model


def _copy_components(source: Path, model: Path) -> None:
    names = [
        "vae",
        *(f"{kind}{suffix}" for kind in ("text_encoder", "tokenizer") for suffix in ("", "_2", "_3")),
    ]
    for name in names:
        if not (model / name).exists():
            shutil.copytree(source / name, model / name)


def _make_autoencoder(
    settings: TrainSettings, clock: TimeLimit, model: Path, device: torch.device
) -> Iterator[Progress]:
    vae = autoencoder()
    span = TimeLimit(settings.minutes * settings.autoencoder_share, clock.stop)
    yield from train_autoencoder(vae, span, device=device, seed=settings.seed)
    files.write_half(vae.eval(), model / "vae")


def _make_encoders(
    settings: TrainSettings, clock: TimeLimit, model: Path, device: torch.device
) -> Iterator[Progress]:
    words, letters = clip_tokenizer(), t5_tokenizer()
    minutes = settings.minutes * settings.encoders_share
    clips = [clip_encoder(words, width) for width in (CLIP_L_WIDTH, CLIP_G_WIDTH)]
    for index, clip in enumerate(clips):
        yield from train_clip(
            clip, words, TimeLimit(minutes / 4, clock.stop), device=device, seed=settings.seed + index
        )
    t5 = t5_model(letters)
    yield from train_t5(t5, letters, TimeLimit(minutes / 2, clock.stop), device=device, seed=settings.seed)
    files.write_encoders(TextEncoders(words, letters, clips[0], clips[1], encoder_of(t5)), model)


def _continue_flow(
    settings: TrainSettings, clock: TimeLimit, model: Path, device: torch.device
) -> Iterator[Progress]:
    vae, encoders = files.read_autoencoder(model, device), files.read_encoders(model, device)
    recipe = Recipe(
        batch=settings.batch,
        learning_rate=settings.learning_rate,
        matrix_rate=settings.matrix_rate,
        warm_up=settings.warm_up,
        cool_down=settings.cool_down,
        label_weight=settings.label_weight,
        density=(settings.density_mean, settings.density_spread),
        density_by_size=settings.density_by_size,
        zeroed=(settings.zeroed,) * 3,
        zeroed_from=settings.zeroed_from,
        average=settings.average,
        keep_weight=settings.keep_weight,
    )
    start = settings.resume or settings.out
    state = files.load_state(start)
    shipped = files.model_of(start)

    def feed_of(seed: int, ring: int, size: PictureSize = OWN) -> Feed:
        return Feed(
            vae,
            encoders,
            device=device,
            seed=seed,
            ring=ring,
            uses=settings.uses,
            mix=settings.mix,
            size=size,
        )

    if settings.prune_from is not None:
        deep = files.read_transformer(shipped, settings.prune_from, "prune_from").to(device).eval()
        transformer = prune(deep, settings.depth, _samples(feed_of(settings.seed, SEEN), recipe))
    elif state is None and (shipped / "transformer").exists():
        transformer = files.read_transformer(shipped, settings.depth)
    else:
        transformer = mmdit(settings.depth)
    kept = None
    if settings.keep is not None:
        kept = files.read_transformer(files.model_of(settings.keep), settings.depth, "keep")
    training = FlowTraining(transformer, recipe, device, kept)
    if state is not None:
        training.load_state_dict(state)
    feed = _feeds(settings, training.examples, feed_of)
    # What the earlier stages took is gone from the clock; the flow's own share runs from here to the end.
    left = TimeLimit(max(settings.minutes * (1 - clock.share()), 0.01), clock.stop)
    last = time.monotonic()
    cache = None if settings.eager else settings.out / "compiled"
    for progress in train_flow(training, feed, left, cache=cache):
        yield progress
        if time.monotonic() - last >= 60 * settings.exam_minutes:
            yield _checkpoint(settings, training, model, vae, encoders)
            last = time.monotonic()
    yield _checkpoint(settings, training, model, vae, encoders)


def _feeds(settings: TrainSettings, examples: int, feed_of: Callable[[int, int, PictureSize], Feed]) -> Feeds:
    """A feed for each size, that together hold as many pictures as the ring should."""
    shares = {PictureSize.read(name): share for name, share in settings.sizes.items() if share}
    per_example = {size: share / size.scale**2 for size, share in shares.items()}
    seed, whole = settings.seed + examples, sum(per_example.values())
    feeds = [
        feed_of(seed + index, max(round(settings.ring * part / whole), LEAST), size)
        for index, (size, part) in enumerate(per_example.items())
    ]
    return Feeds(feeds, list(shares.values()), seed=seed)


def _samples(feed: Feed, recipe: Recipe) -> list[Sample]:
    """What a network that is to be pruned is looked at with: SEEN examples as training draws them."""
    samples: list[Sample] = []
    for _ in range(SEEN // AT_ONCE):
        x0, _, context, pooled = feed.next(AT_ONCE, unconditional=recipe.unconditional, zeroed=recipe.zeroed)
        eps = torch.randn_like(x0)
        t = LogitNormal(*recipe.density).sample((len(x0),)).to(x0)
        samples.append(Sample(torch.lerp(x0, eps, t[:, None, None, None]), t, context, pooled, eps - x0))
    return samples


def _checkpoint(
    settings: TrainSettings,
    training: FlowTraining,
    model: Path,
    vae: AutoencoderKL,
    encoders: TextEncoders,
) -> Progress:
    """Save the state and the averaged model, and run the exam on the saved model."""
    files.save_state(settings.out, training.state_dict())
    files.write_flow(training.module.transformer, training.average, model)
    transformer = files.read_transformer(model, settings.depth).to(training.device).eval()
    scores = run_exam(transformer, vae, encoders, prompts=settings.exam_prompts)
    return Progress("exam", training.examples, scores)
