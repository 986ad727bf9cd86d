"""What a run costs, counted from shapes: floating-point operations and bytes. Pure, no torch.

A multiply-add counts as two operations. Attention over N tokens of width d costs 4 N^2 d, a linear layer of m
x n weights 2 m n for each token. Norms, activations and modulations are left out: they are under 1% of an
MM-DiT.
"""

from sd3demo.catalogue import ModelSpec, Network
from sd3demo.settings import Resolved

FLOAT32, BFLOAT16 = 4, 2  # bytes
MLP = 4  # an MM-DiT's feed-forward layer is four times as wide as its stream


def image_tokens(spec: ModelSpec, width: int, height: int) -> int:
    """Tokens of a picture: its patches."""
    return (width // spec.multiple) * (height // spec.multiple)


def text_tokens(request: Resolved, spec: ModelSpec) -> int:
    """Tokens of the text: the CLIPs' side by side in one row of tokens, then T5's."""
    return spec.clip_tokens + (0 if request.t5 == "omit" else request.max_sequence_length)


def network_flops(network: Network, image: int, text: int) -> float:
    """Operations of one call of an MM-DiT for one sample of `image` + `text` tokens."""
    d, both = network.hidden, image + text
    linear = 2 * (4 + 2 * MLP) * d * d  # q, k, v, out and the two layers of the feed-forward, for one token
    joint = network.depth * (linear * both + 4 * both * both * d)
    dual = network.dual * (2 * 4 * d * d * image + 4 * image * image * d)
    last_text = 2 * (1 + 2 * MLP) * d * d * text  # the last block makes no new text tokens
    patches = 2 * 2 * network.channels * network.patch**2 * d * image
    return joint + dual - last_text + patches + 2 * network.joint_dim * d * text


def network_activations(network: Network, image: int, text: int, batch: int, width: int) -> int:
    """Bytes alive at once in a call, `width` bytes a number: a stream, its q, k, v and feed-forward."""
    return batch * (image + text) * network.hidden * (3 + 3 + MLP) * width


def decoder_flops(pixels: int) -> float:
    """Operations of SD3's autoencoder for each decoded picture: about 1e7 a pixel, counted at 1024 px."""
    return 1.0e7 * pixels


def decoder_activations(pixels: int, width: int) -> int:
    """Bytes alive at once in the decoder's last stage: three maps of 256 channels at full size."""
    return pixels * 3 * 256 * width


def encoder_flops(pixels: int) -> float:
    """Operations of SD3's autoencoder for each encoded picture: about 4.7e6 a pixel, counted at 1024 px."""
    return 4.7e6 * pixels


def decoder_scale(spec: ModelSpec) -> float:
    """How heavy an autoencoder is beside SD3's, by its parameters."""
    return spec.size("vae").parameters / 83_819_683
