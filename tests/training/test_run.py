"""`sd3demo train` from nothing to a model that the stock pipeline loads, and on from where it stopped."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from threading import Event

import pytest
import torch
from diffusers import AutoencoderKL
from safetensors.torch import load_file

from sd3demo.cli import main
from sd3demo.errors import Refusal
from sd3demo.flow.densities import LogitNormal
from sd3demo.settings import parse
from sd3demo.training.dataset import LABELS
from sd3demo.training.flow import FlowTraining, Recipe
from sd3demo.training.progress import Progress
from sd3demo.training.run import train
from sd3demo.training.settings import TrainSettings
from sd3demo.training.sizes import OWN, PictureSize
from sd3demo.training.tokenizers import LENGTH
from sd3demo.training.transformer import mmdit
from sd3demo.world.scenes import MIX

CPU = torch.device("cpu")
TINY = Path("assets/tiny")
SMALL = {"depth": 2, "batch": 8, "ring": 256, "eager": True, "exam_prompts": 1, "device": "cpu"}


def _step(training: FlowTraining, seed: int, size: PictureSize = OWN) -> None:
    """One update on a made-up batch, drawn from torch's own state where training draws from it."""
    generator = torch.Generator().manual_seed(seed)
    x0 = torch.randn(4, 16, *size.latent, generator=generator)
    t, eps = LogitNormal().sample((4,)), torch.randn_like(x0)
    z = torch.lerp(x0, eps, t[:, None, None, None])
    context, pooled = torch.randn(4, 2 * LENGTH, 256), torch.randn(4, 224)
    v, _ = training.module(z, t, context, pooled, training.positions(size))
    training.optimiser.zero_grad()
    (v - (eps - x0)).square().mean().backward()
    training.optimiser.step(scale=1.0)
    training.steps += 1
    training.update_average()


@pytest.mark.parametrize(
    "sizes", [(OWN,), (PictureSize(48, 48), OWN, PictureSize(96, 64))], ids=["one", "several"]
)
def test_a_run_goes_on_exactly_from_its_state(sizes: tuple[PictureSize, ...]) -> None:
    torch.manual_seed(0)
    one = FlowTraining(mmdit(2), Recipe(), CPU)
    for seed in range(3):
        _step(one, seed, sizes[seed % len(sizes)])
    file = BytesIO()
    torch.save(one.state_dict(), file)
    for seed in range(3, 6):
        _step(one, seed, sizes[seed % len(sizes)])
    other = FlowTraining(mmdit(2), Recipe(), CPU)
    file.seek(0)
    other.load_state_dict(torch.load(file, weights_only=True))
    for seed in range(3, 6):
        _step(other, seed, sizes[seed % len(sizes)])
    assert (one.steps, one.examples) == (other.steps, other.examples)
    for name, weight in one.module.state_dict().items():
        assert torch.equal(weight, other.module.state_dict()[name]), name
    for name, weight in one.average.items():
        assert torch.equal(weight, other.average[name]), name


@pytest.mark.slow
def test_times_are_drawn_from_the_density_that_is_asked_for(tmp_path: Path) -> None:
    asked = {"resume": Path("assets/tiny"), "out": tmp_path, "depth": 4, "minutes": 0.02}
    settings = TrainSettings.model_validate({**SMALL, **asked, "density_mean": 4.0, "density_spread": 0.1})
    flow = [report for report in train(settings) if report.stage == "flow"]
    assert {name for report in flow for name in report.figures if name.startswith("t")} == {"t8/8"}


def test_finishing_the_decoder_leaves_the_latents_as_they_are(tmp_path: Path) -> None:
    settings = {**SMALL, "resume": Path("assets/tiny"), "out": tmp_path, "stage": "decoder"}
    before = AutoencoderKL.from_pretrained("assets/tiny/vae")
    reports = list(train(TrainSettings.model_validate({**settings, "minutes": 0.05})))
    after = AutoencoderKL.from_pretrained(tmp_path / "model" / "vae")
    assert {report.stage for report in reports} == {"decoder"}
    same = {name: torch.equal(value, after.state_dict()[name]) for name, value in before.state_dict().items()}
    assert all(equal for name, equal in same.items() if name.startswith("encoder"))
    assert not all(equal for name, equal in same.items() if name.startswith("decoder"))


@pytest.mark.slow
def test_teaching_places_changes_what_t5_says_at_letters_and_nothing_else(tmp_path: Path) -> None:
    settings = {**SMALL, "resume": Path("assets/tiny"), "out": tmp_path, "stage": "spelling"}
    reports = list(train(TrainSettings.model_validate({**settings, "minutes": 0.05})))
    assert {report.stage for report in reports} == {"spelling"}
    for part, changes in (("text_encoder", False), ("text_encoder_2", False), ("text_encoder_3", True)):
        before, after = (
            load_file(folder / part / "model.safetensors") for folder in (TINY, tmp_path / "model")
        )
        equal = {name: torch.equal(value, after[name]) for name, value in before.items()}
        assert all(equal.values()) is not changes
    assert not (tmp_path / "model" / "transformer").exists()


def test_the_average_follows_the_weights() -> None:
    training = FlowTraining(mmdit(2), Recipe(average=0.5), CPU)
    name = "proj_out.bias"
    training.steps = 100
    with torch.no_grad():
        training.module.transformer.proj_out.bias += 1
    training.update_average()
    assert torch.allclose(training.average[name], torch.full_like(training.average[name], 0.5))


def test_labels_match_the_head() -> None:
    assert FlowTraining(mmdit(2), Recipe(), CPU).module.head[-1].out_features == LABELS


@pytest.mark.slow
def test_a_minute_of_training_makes_a_model_that_the_stock_pipeline_loads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in SMALL.items() if name != "eager"]
    out = tmp_path / "run"
    assert main(["train", "--minutes", "1", "--out", str(out), "--eager", *flags, "--json"]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["examples"] > 0
    assert set(result["loss"]) == {"autoencoder", "clip", "t5", "flow"}
    assert {"single", "typography", "soft-shape"} <= set(result["scores"])
    shards = list((out / "model").rglob("*.safetensors"))
    assert len(shards) >= 5
    assert not any(str(tmp_path) in config.read_text() for config in (out / "model").rglob("*.json"))
    assert all(shard.stat().st_size <= 15e6 for shard in shards)

    from diffusers import StableDiffusion3Pipeline

    pipeline = StableDiffusion3Pipeline.from_pretrained(out / "model")
    picture = pipeline(
        "a red circle", num_inference_steps=2, height=64, width=64, max_sequence_length=LENGTH
    ).images[0]
    assert picture.size == (64, 64)

    again = TrainSettings(minutes=0.2, out=tmp_path / "next", resume=out, **SMALL)
    flow = [progress for progress in train(again) if progress.stage == "exam"]
    assert flow[-1].examples > result["examples"]
    weights_alone = TrainSettings(minutes=0.1, out=tmp_path / "third", resume=out / "model", **SMALL)
    assert [progress.stage for progress in train(weights_alone)][-1] == "exam"


def test_a_resume_that_holds_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="holds no model or training run"):
        list(train(TrainSettings(minutes=0.01, out=tmp_path / "a", resume=tmp_path, device="cpu")))


def test_another_depth_than_the_models_is_refused(tmp_path: Path) -> None:
    from sd3demo.training.checkpoint import read_transformer

    mmdit(2).save_pretrained(tmp_path / "transformer")
    with pytest.raises(Refusal, match="give --depth 2"):
        read_transformer(tmp_path, 4)


def test_a_folder_of_several_depths_gives_the_one_that_is_asked_for(tmp_path: Path) -> None:
    from sd3demo.training.checkpoint import read_transformer

    mmdit(2).save_pretrained(tmp_path / "transformer")
    mmdit(1).save_pretrained(tmp_path / "transformer_depth_1")
    assert [read_transformer(tmp_path, depth).config.num_layers for depth in (1, 2)] == [1, 2]


@pytest.mark.parametrize(
    ("mix", "sentence"),
    [
        (
            "single=1,stars=2",
            "mix names stars; the kinds of scene are single, pair, two, count, groups, word",
        ),
        ("single=-1", r"mix is .*; the shares must be 0 or more and not all 0"),
        ("two=0", r"mix is .*; the shares must be 0 or more and not all 0"),
        ("two=many", "mix is 'many'; input should be a valid number"),
    ],
)
def test_a_mix_that_cannot_be_drawn_is_refused_before_anything_is_written(
    mix: str, sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(Refusal, match=sentence):
        parse(TrainSettings, {"out": tmp_path / "never", "mix": mix})
    assert not (tmp_path / "never").exists()


def test_a_mix_is_read_as_typed_and_as_a_mapping() -> None:
    typed = parse(TrainSettings, {"mix": "single=.5,two=2"})
    assert typed.mix == TrainSettings(mix={"single": 0.5, "two": 2}).mix == {"single": 0.5, "two": 2.0}
    assert TrainSettings().mix == MIX


class Soon(Event):
    """Set after it was asked a few times."""

    asked = 0

    def is_set(self) -> bool:
        self.asked += 1
        return self.asked > 12


@pytest.mark.slow
def test_a_run_that_is_asked_to_stop_saves_what_it_has(tmp_path: Path) -> None:
    asked = {"resume": Path("assets/tiny"), "out": tmp_path, "depth": 4, "minutes": 600.0, "batch": 2}
    *_, flow, exam = train(TrainSettings.model_validate({**SMALL, **asked}), Soon())
    assert (flow.stage, exam.stage) == ("flow", "exam")
    assert 2 <= exam.examples <= 24
    assert torch.load(tmp_path / "state.pt", weights_only=True)["examples"] == exam.examples
    assert (tmp_path / "model" / "transformer" / "config.json").exists()


@pytest.mark.slow
def test_a_run_of_several_sizes_reports_each(tmp_path: Path) -> None:
    asked = {"resume": TINY, "out": tmp_path, "depth": 4, "minutes": 600.0, "sizes": "48=1,64=1,64x48=1"}
    flow, exam = train(TrainSettings.model_validate({**SMALL, **asked}), Soon())
    assert {name for name in flow.figures if name.endswith("px")} == {"48px", "64px", "64x48px"}
    assert exam.examples == flow.examples > 0


@pytest.mark.slow
def test_a_run_that_is_killed_goes_on_from_its_last_checkpoint(tmp_path: Path) -> None:
    out = tmp_path / "run"
    flags = ("--eager", "--device=cpu", "--threads=1", "--batch=4", "--ring=256", "--exam-prompts=1")
    command = [sys.executable, "-m", "sd3demo", "train", "--resume", str(TINY), "--out", str(out), *flags]
    running = subprocess.Popen([*command, "--sizes=48=1,64=2,96x64=1", "--exam-minutes=0.01"])
    try:
        while not (out / "model" / "transformer" / "config.json").exists():
            assert running.poll() is None
            time.sleep(0.1)
    finally:
        running.kill()
        running.wait()
    kept = torch.load(out / "state.pt", weights_only=True)["examples"]
    again = {**SMALL, "depth": 4, "batch": 4, "out": out, "minutes": 600.0, "sizes": "48=1,64=2,96x64=1"}
    *_, exam = train(TrainSettings.model_validate(again), Soon())
    assert exam.examples > kept > 0
    assert torch.load(out / "state.pt", weights_only=True)["examples"] == exam.examples


def test_an_interrupt_ends_the_run_and_is_an_interrupt_again_after_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[bool] = []

    def run(settings: TrainSettings, stop: Event) -> Iterator[Progress]:
        signal.raise_signal(signal.SIGINT)
        asked.append(stop.is_set())
        yield Progress("flow", 8, {"loss": 1.0})

    monkeypatch.setattr("sd3demo.training.run.train", run)
    before = signal.getsignal(signal.SIGINT)
    assert main(["train", "--out", str(tmp_path)]) == 0
    assert asked == [True]
    assert signal.getsignal(signal.SIGINT) is before
    assert "8 examples" in capsys.readouterr().out
