"""`python -m tests.bench imax`: what projected flow costs beside the network that it guides.

Two questions. How much of a network call is the projection at the size of a real model: in operations and in
seconds, the network's being those of one of its blocks of random weights, times their number. And how much
faster is the Haar low-pass than PyWavelets, channel by channel, as I-Max's release has it. PyWavelets has one
thread; the low-pass is shown on one and on as many as torch has, next to a mere copy of the latent, which no
low-pass can beat. On one thread the seconds are the processor's, so that whatever else the machine does is
not counted.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import pywt
import torch
from diffusers.models.attention import JointTransformerBlock
from torch import Tensor

from sd3demo.catalogue import CATALOGUE, MMDiTShape
from sd3demo.flow.extrapolation.lowpass import haar, low_pass_named
from sd3demo.flow.extrapolation.projection import project

MEDIUM = CATALOGUE["sd3-medium"]
TEXT = 333  # tokens
OPERATIONS = 40  # of a projection at each number of the latent, generously


def best(work: Callable[[], object], rounds: int) -> float:
    """The least time of several rounds, after one to warm up."""
    clock = time.thread_time if torch.get_num_threads() == 1 else time.perf_counter
    work()
    times = []
    for _ in range(rounds):
        start = clock()
        work()
        times.append(clock() - start)
    return min(times)


def block_seconds(network: MMDiTShape, tokens: int, rounds: int) -> float:
    """One joint block of a network's size on random numbers."""
    block = JointTransformerBlock(
        dim=network.hidden,
        num_attention_heads=network.heads,
        attention_head_dim=network.hidden // network.heads,
    ).eval()
    image, text = torch.randn(1, tokens, network.hidden), torch.randn(1, TEXT, network.hidden)
    time_embedding = torch.randn(1, network.hidden)
    return best(lambda: block(image, text, time_embedding), rounds)


def per_channel(x: Tensor, level: int) -> Tensor:
    """The release's way: each channel to the host, transformed, its details set to zero, transformed back."""
    planes = x.float().cpu().numpy().reshape(-1, *x.shape[-2:])
    kept = []
    for plane in planes:
        low, *details = pywt.wavedec2(plane, "haar", level=level)
        kept.append(pywt.waverec2([low, *(tuple(map(np.zeros_like, detail)) for detail in details)], "haar"))
    return torch.from_numpy(np.stack(kept)).reshape(x.shape).to(x)


@torch.inference_mode()
def share_rows(side: int, rounds: int) -> list[tuple[str, float, float, float]]:
    """Low-pass, seconds of a projection, and its share of a network call in seconds and in operations."""
    latent = side // MEDIUM.latent.factor
    x, guide = torch.randn(1, 16, latent, latent), torch.randn(1, 16, latent, latent)
    tokens = MEDIUM.latent.tokens(side, side)
    network = MEDIUM.network
    call = block_seconds(network, tokens, max(rounds // 3, 1)) * network.depth
    flops = network.flops(tokens, TEXT)
    rows = []
    for name in ("haar", "radial", "gaussian", "dct", "bicubic"):
        low_pass = partial(low_pass_named, name=name, level=1, cutoff=0.5)
        seconds = best(partial(project, x, guide, low_pass, (0.0, 1.2)), rounds)
        counted = OPERATIONS * x.numel()
        if name in ("radial", "gaussian", "dct"):  # four products with a matrix of cosines, both ways
            counted += 2 * 4 * x.numel() * latent
        rows.append((name, seconds, seconds / call, counted / flops))
    return rows


@dataclass(frozen=True)
class WaveletRow:
    """Seconds at 512 x 512 x 16 of PyWavelets, the operator here and a copy; the largest difference."""

    level: int
    threads: int
    theirs: float
    ours: float
    copy: float
    difference: float


@torch.inference_mode()
def wavelet_rows(rounds: int) -> Iterator[WaveletRow]:
    x, most = torch.randn(1, 16, 512, 512), torch.get_num_threads()
    for level in (1, 2):
        theirs = best(partial(per_channel, x, level), rounds)
        apart = float((per_channel(x, level) - haar(x, level)).abs().max())
        for threads in sorted({1, most}):
            torch.set_num_threads(threads)
            ours, copy = best(partial(haar, x, level), 8 * rounds), best(x.clone, 8 * rounds)
            yield WaveletRow(level, threads, theirs, ours, copy, apart)


def report(side: int, rounds: int) -> None:
    threads = torch.get_num_threads()
    print(f"{threads} threads, torch {torch.__version__}, {side} px of {MEDIUM.name}, random weights\n")
    print("| low-pass | a projection, ms | of a network call, by time | by operations |")
    print("|---|---|---|---|")
    for name, seconds, share, operations in share_rows(side, rounds):
        print(f"| {name} | {seconds * 1e3:.2f} | {share:.4%} | {operations:.4%} |", flush=True)
    print(
        "\n| Haar low-pass at 512 x 512 x 16 | PyWavelets, ms | here, ms | ratio | a copy, ms | difference |"
    )
    print("|---|---|---|---|---|---|")
    for row in wavelet_rows(rounds):
        times = f"{row.theirs * 1e3:.1f} | {row.ours * 1e3:.2f} | {row.theirs / row.ours:.0f}"
        name = f"level {row.level}, threads here: {row.threads}"
        print(f"| {name} | {times} | {row.copy * 1e3:.2f} | {row.difference:.1e} |", flush=True)
