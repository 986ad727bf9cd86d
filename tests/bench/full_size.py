"""`python -m tests.bench full-size --device cuda`: networks of real sizes with random weights, as CSV.

Decoding and one call of denoising are measured apart, for diffusers' own modules eager and with
their repeated blocks compiled (regional compilation), for the engine's call, and over a run's steps with
diffusers' first-block cache where the network has it. Columns are those of diffusers' benchmarks, and beside
them: the first call and the compilation apart, the spread of ten runs after three to warm up, TFLOP/s and
their share of a bfloat16 matrix product measured in the same run, and the memory that a plan predicts. What
was not measured is an empty field.
"""

import csv
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, cast

import torch
from diffusers import AutoencoderKL, FirstBlockCacheConfig, FluxTransformer2DModel, SD3Transformer2DModel
from torch import Tensor, nn

from sd3demo.catalogue import CATALOGUE, FluxShape, MMDiTShape, ModelSpec
from sd3demo.engine.plan.costs import decoder_flops, decoder_scale
from sd3demo.flow.solvers import At
from sd3demo.models.flux import network_call as flux
from sd3demo.models.flux.text_encoders import FluxText
from sd3demo.models.protocol import Dials, Rows
from sd3demo.models.sd3.network_call import Resident, network_call
from sd3demo.models.sd3.text_encoders import SD3Text
from sd3demo.models.sd3.transformer import lay_out
from tests.catalogue.meta_networks import NETWORKS

NAMES = ("sd3-medium", "sd3.5-large", "flux-dev")
WARM_UPS, RUNS, STEPS = 3, 10, 28
THRESHOLD = 0.08  # of the first-block cache
GIB = 2**30


@dataclass(frozen=True)
class CsvRow:
    """A line of the table; its fields are the columns, with diffusers' names."""

    scenario: str
    model_cls: str
    num_params_B: float  # noqa: N815
    flops_G: float  # noqa: N815
    time_plain_s: float | None = None
    mem_plain_GB: float | None = None  # noqa: N815
    time_compile_s: float | None = None
    mem_compile_GB: float | None = None  # noqa: N815
    fullgraph: bool | None = None
    mode: str | None = None
    cold_s: float | None = None
    spread_s: float | None = None
    compile_s: float | None = None
    tflops: float | None = None
    matmul_share: float | None = None
    predicted_GB: float | None = None  # noqa: N815
    psnr_dB: float | None = None  # noqa: N815


@dataclass(frozen=True)
class Timing:
    """The first call, the median of the warm ones with half of their range, and the peak of memory."""

    cold: float
    warm: float
    spread: float
    peak: float | None


@dataclass(frozen=True)
class Case:
    """A module of a size, a call of it, and what that costs."""

    scenario: str
    module: nn.Module
    call: Callable[[], object]
    flops: float
    predicted: float | None = None


def measure(call: Callable[[], object], device: torch.device, runs: int = RUNS) -> Timing:
    """Time a call: the first, then the median of `runs` after some to warm up."""

    def once() -> float:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        start = time.perf_counter()
        call()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter() - start

    cold = once()
    for _ in range(WARM_UPS if runs > 1 else 0):
        once()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    times = [once() for _ in range(runs)]
    peak = torch.cuda.max_memory_allocated(device) / GIB if device.type == "cuda" else None
    return Timing(cold, statistics.median(times), (max(times) - min(times)) / 2, peak)


def matmul_tflops(device: torch.device, side: int = 8192) -> float:
    """TFLOP/s of a square matrix product in bfloat16, which nothing here can pass."""
    a = torch.randn(side, side, device=device, dtype=torch.bfloat16)
    return 2 * side**3 / measure(lambda: a @ a, device).warm / 1e12


def random_weights(module: nn.Module, device: torch.device, dtype: torch.dtype) -> nn.Module:
    """A module from the meta device with small random numbers."""
    whole = module.to(dtype).to_empty(device=device).eval().requires_grad_(False)
    for tensor in (*whole.parameters(), *whole.buffers()):
        if tensor.is_floating_point():
            tensor.normal_(0, 0.02)
    return whole


def denoising(
    spec: ModelSpec, side: int, device: torch.device, dtype: torch.dtype
) -> tuple[nn.Module, Callable[[], object], Rows, Tensor]:
    """A network of a size, diffusers' own call of it, and ours at a latent."""
    shape, text = spec.network, sum(each.tokens for each in spec.encoders if each.has_rows)
    network = random_weights(NETWORKS[type(shape)](shape), device, dtype)
    channels, height, width = spec.latent.shape(side, side)
    x = torch.randn(1, channels, height, width, device=device)
    options: dict[str, Any] = {"device": device, "dtype": dtype}
    pooled_dim = cast("MMDiTShape | FluxShape", shape).pooled_dim
    tokens, pooled = torch.randn(1, text, shape.text_width, **options), torch.randn(1, pooled_dim, **options)
    given: dict[str, Any] = {
        "encoder_hidden_states": tokens,
        "pooled_projections": pooled,
        "timestep": torch.full((1,), 0.5, device=device, dtype=dtype),
        "return_dict": False,
    }
    if isinstance(network, FluxTransformer2DModel):
        patches = flux.packed(x.to(dtype))
        given |= {"hidden_states": patches, "guidance": torch.full((1,), 3.5, **options)}
        given |= {"img_ids": torch.zeros(patches.shape[1], 3, device=device)}
        given |= {"txt_ids": torch.zeros(text, 3, device=device)}
        rows = flux.network_call(network, [FluxText(tokens, pooled)], Dials((0.5,)), 3.5)
    else:
        sd3 = cast(SD3Transformer2DModel, network)
        given |= {"hidden_states": x.to(dtype), "timestep": given["timestep"] * 1000}
        texts, dials = [SD3Text(tokens, pooled)], Dials((0.5,))
        rows = network_call(sd3, Resident(sd3, lay_out(sd3), texts, dials), texts, dials)
    return network, lambda: network(**given), rows, x


def cases(spec: ModelSpec, side: int, device: torch.device, dtype: torch.dtype) -> Iterator[Case]:
    """Decoding, diffusers' denoising and the engine's, each built when the one before is measured."""
    channels = spec.latent.channels
    with torch.device("meta"):
        vae = AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            block_out_channels=(128, 256, 512, 512),
            layers_per_block=2,
            latent_channels=channels,
            use_quant_conv=False,
            use_post_quant_conv=False,
        )
    decoder = cast(AutoencoderKL, random_weights(vae, device, dtype))
    latent = torch.randn(1, *spec.latent.shape(side, side), device=device, dtype=dtype)
    flops = decoder_flops(side * side) * decoder_scale(spec)
    yield Case(f"{spec.name} decode", decoder, lambda: decoder.decode(latent, return_dict=False), flops)
    text = sum(each.tokens for each in spec.encoders if each.has_rows)
    network, theirs, rows, x = denoising(spec, side, device, dtype)
    tokens = spec.latent.tokens(side, side)
    width = torch.finfo(dtype).bits // 8
    weights = sum(each.numel() for each in network.parameters()) * width
    predicted = (weights + spec.network.activations(tokens, text, 1, width)) / GIB
    flops = spec.network.flops(tokens, text)
    yield Case(f"{spec.name} denoise, diffusers", network, theirs, flops, predicted)
    ours = lambda: rows(x, [At(0.5, 0, 1)], [0])  # noqa: E731
    yield Case(f"{spec.name} denoise, sd3demo", network, ours, flops, predicted)


def row_of(case: Case, device: torch.device, runs: int, most: float, *, compiled: bool) -> CsvRow:
    """A case measured, eager and, where it can be, with its repeated blocks compiled."""
    plain = measure(case.call, device, runs)
    warm = plain.warm
    values: dict[str, Any] = {}
    if compiled and hasattr(case.module, "compile_repeated_blocks"):
        if isinstance(case.module, SD3Transformer2DModel):
            case.module._repeated_blocks = ["JointTransformerBlock"]
        case.module.compile_repeated_blocks(fullgraph=True)
        found = measure(case.call, device, runs)
        values = {"time_compile_s": found.warm, "mem_compile_GB": found.peak, "compile_s": found.cold}
        values |= {"fullgraph": True, "mode": "regional"}
        warm = min(warm, found.warm)
    speed = case.flops / warm / 1e12
    return CsvRow(
        scenario=case.scenario,
        model_cls=type(case.module).__name__,
        num_params_B=sum(each.numel() for each in case.module.parameters()) / 1e9,
        flops_G=case.flops / 1e9,
        time_plain_s=plain.warm,
        mem_plain_GB=plain.peak,
        cold_s=plain.cold,
        spread_s=plain.spread,
        tflops=speed,
        matmul_share=speed / most,
        predicted_GB=case.predicted,
        **values,
    )


def cached_row(spec: ModelSpec, side: int, device: torch.device, dtype: torch.dtype, steps: int) -> CsvRow:
    """A run of Euler steps with the first-block cache beside one without, as seconds and as PSNR."""
    network, _, rows, x = denoising(spec, side, device, dtype)
    cacheable = cast(FluxTransformer2DModel, network)

    def run() -> Tensor:
        z = x
        for k in range(steps):
            z = z - rows(z, [At(1 - k / steps, k, steps)], [0]) / steps
        return z

    plain, expected = measure(run, device, 1), run()
    cacheable.enable_cache(FirstBlockCacheConfig(threshold=THRESHOLD))
    with cacheable.cache_context("run"):
        cached = measure(run, device, 1)
        found = run()
    error = float((found - expected).square().mean())
    span = float(expected.max() - expected.min())
    psnr = 10 * torch.log10(torch.tensor(span**2 / max(error, 1e-20))).item()
    text = sum(each.tokens for each in spec.encoders if each.has_rows)
    return CsvRow(
        scenario=f"{spec.name} {steps} steps, first-block cache {THRESHOLD}",
        model_cls=type(network).__name__,
        num_params_B=sum(each.numel() for each in network.parameters()) / 1e9,
        flops_G=steps * spec.network.flops(spec.latent.tokens(side, side), text) / 1e9,
        time_plain_s=plain.warm,
        mem_plain_GB=plain.peak,
        cold_s=cached.warm,
        mode=f"cache, {plain.warm / cached.warm:.2f}x",
        psnr_dB=psnr,
    )


@torch.inference_mode()
def table(
    specs: Mapping[str, ModelSpec],
    device: torch.device,
    *,
    side: int = 1024,
    runs: int = RUNS,
    steps: int = STEPS,
    matmul: int = 8192,
    compiled: bool = True,
) -> Iterator[CsvRow]:
    """A row for each case of each model; a cache is tried where diffusers has it for the network."""
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    most = matmul_tflops(device, matmul)
    for spec in specs.values():
        for case in cases(spec, side, device, dtype):
            yield row_of(case, device, runs, most, compiled=compiled)
        if isinstance(spec.network, FluxShape):
            yield cached_row(spec, side, device, dtype, steps)


def report(device: str, side: int) -> None:
    """Write the table as CSV, after the name of the device."""
    place = torch.device("cuda" if device != "cpu" and torch.cuda.is_available() else "cpu")
    name = torch.cuda.get_device_name(place) if place.type == "cuda" else "CPU"
    print(f"# {name}, torch {torch.__version__}, {side} px, one sample, random weights")
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow([field.name for field in fields(CsvRow)])
    for row in table({name: CATALOGUE[name] for name in NAMES}, place, side=side):
        values = [getattr(row, field.name) for field in fields(CsvRow)]
        writer.writerow([f"{value:.4g}" if isinstance(value, float) else value for value in values])
        sys.stdout.flush()
