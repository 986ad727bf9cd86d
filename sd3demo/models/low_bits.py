"""T5 or Gemma in fewer bits than the network, as the spec of a plan asks for it.

Weights of products alone are changed: 8 bits by torchao after reading, with a scale for each row; 4 bits
(nf4) by bitsandbytes while the files are read, straight onto the CUDA device that it needs.
"""

from collections.abc import Mapping

import torch
from torch import nn

from sd3demo.catalogue import LargeEncoder


def encoder_dtype(large: LargeEncoder, dtype: torch.dtype) -> torch.dtype:
    """The dtype in which an encoder is read, `dtype` being the network's."""
    return torch.bfloat16 if large.precision == "bfloat16" else dtype


def reading_arguments(large: LargeEncoder, dtype: torch.dtype) -> Mapping[str, object]:
    """What `from_pretrained` of transformers is told beside, for weights that are quantised on their way."""
    if large.precision != "int4":
        return {}
    from transformers import BitsAndBytesConfig

    settings = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype)
    return {"quantization_config": settings, "device_map": {"": 0}}


def in_few_bits(module: nn.Module, large: LargeEncoder) -> nn.Module:
    """The same module, its products' weights in 8 bits where they are asked for."""
    if large.precision == "int8":
        from torchao.quantization import Int8WeightOnlyConfig, quantize_

        quantize_(module, Int8WeightOnlyConfig())
    return module
