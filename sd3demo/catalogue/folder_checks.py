"""Whether the parts of a folder in diffusers format belong together, from their configs and tokenizers.

What a library would refuse with a traceback when it loads or runs them is refused here in a sentence, so that
a plan says it already. Nothing is loaded: a config and a tokenizer's vocabulary are all that is read.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from sd3demo.catalogue.layouts import transformer_of
from sd3demo.catalogue.networks import FluxShape, NetworkShape
from sd3demo.catalogue.weight_files import read_header, read_json, weight_files
from sd3demo.errors import Refusal

CLIP_TYPES, T5_TYPES = ("clip_text_model", "clip"), ("t5", "umt5")
GEMMA_TYPES = ("gemma", "gemma2")
QUANTISERS: Mapping[str, str] = {"bitsandbytes": "int4", "torchao": "int8"}
"""The libraries whose folders are read, each with the extra of this package that installs it."""
SETTLED = "copy or download the folder again, whole"


@dataclass(frozen=True)
class TextPart:
    """What a family expects of one text encoder's folder: the model's types and its width in a config."""

    types: tuple[str, ...]
    width: str
    tokenizers: str
    """How the name of its tokenizer's class begins."""
    words: tuple[str, ...]
    """The files of its tokenizer where there is no tokenizer.json."""


CLIP = TextPart(CLIP_TYPES, "hidden_size", "CLIP", ("vocab.json", "merges.txt"))
T5 = TextPart(T5_TYPES, "d_model", "T5", ("spiece.model",))
GEMMA = TextPart(GEMMA_TYPES[:1], "hidden_size", "Gemma", ("tokenizer.model",))
GEMMA_2 = TextPart(GEMMA_TYPES[1:], "hidden_size", "Gemma", ("tokenizer.model",))


def check_class(folder: Path, component: str, expected: str) -> dict:
    """Return a component's config. Raises Refusal for another class's, or where its quantiser is missing."""
    file = folder / component / "config.json"
    config = read_json(file)
    check_quantiser(file, config)
    found = config.get("_class_name", expected)
    if found != expected:
        raise Refusal(f"{file} is a {found}'s where a {expected}'s belongs; {SETTLED}")
    return config


def check_text_encoder(folder: Path, component: str, part: TextPart) -> dict:
    """Return a text encoder's config, its tokenizer checked with it. Raises Refusal as `check_class` does."""
    file = folder / component / "config.json"
    config = read_json(file)
    check_quantiser(file, config)
    found = config.get("model_type", part.types[0])
    if found not in part.types:
        raise Refusal(f"{file} is of the type {found} where a {part.types[0]} belongs; {SETTLED}")
    _check_tokenizer(folder / component.replace("text_encoder", "tokenizer"), file, config, part)
    return config


def whole(file: Path, config: Mapping[str, object], name: str) -> int:
    """Return a positive whole number of a config. Raises Refusal for anything else."""
    value = config.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise Refusal(f"{file} sets {name} to {value}; it must be a positive whole number: {SETTLED}")
    return value


def check_equal(file: Path, what: str, found: int, transformer: str, expected: int) -> None:
    """Raise Refusal where a part does not fit the transformer, in the words of both configs."""
    if found != expected:
        raise Refusal(
            f"{file} has {what} {found} and the transformer {transformer} {expected}; they belong to two "
            "models: use the parts of one"
        )


def check_network(folder: Path, config: NetworkShape) -> None:
    """Raise Refusal where a transformer's weights are of another shape than its config says.

    Quantised ones are packed, and what is wrong with them is said when they are loaded.
    """
    if read_json(folder / "config.json").get("quantization_config"):
        return
    found = transformer_of(_shapes(folder))
    if found is None or type(found.shape) is not type(config):
        return  # what is missing is said when it is loaded
    sides = (
        ("has {} blocks and its config {}", found.shape.depth, config.depth),
        ("is {} wide and its config {}", found.shape.hidden, config.hidden),
        ("reads text {} wide and its config {}", found.shape.text_width, config.text_width),
    )
    for words, weights, written in sides:
        if weights != written:
            raise Refusal(f"{folder} {words.format(weights, written)}; {SETTLED}")
    if isinstance(config, FluxShape) and isinstance(found.shape, FluxShape):
        embeds = found.shape.guidance
        if embeds != config.guidance:
            has, says = ("embeds guidance", "none") if embeds else ("embeds no guidance", "some")
            raise Refusal(f"{folder} {has} and its config {says}; {SETTLED}")


def check_weights(folder: Path) -> None:
    """Raise Refusal where a text encoder's or autoencoder's weights are of another shape than its config."""
    config, shapes = read_json(folder / "config.json"), _shapes(folder)
    if config.get("quantization_config"):
        return
    expected: dict[tuple[str, ...], tuple[object, ...]]
    if config.get("model_type") in (*CLIP_TYPES, *T5_TYPES, *GEMMA_TYPES):
        t5, clip = config["model_type"] in T5_TYPES, config["model_type"] in CLIP_TYPES
        layers, count = ("block", "num_layers") if t5 else ("layers", "num_hidden_layers")
        names: tuple[str, ...] = ("token_embedding.weight",)
        if not clip:
            names = ("shared.weight", "embed_tokens.weight") if t5 else ("embed_tokens.weight",)
        expected = {names: (config.get("vocab_size"), config.get("d_model" if t5 else "hidden_size"))}
        inside = f"encoder.{layers}." if t5 or clip else f"{layers}."
        found = {name.split(f"{layers}.")[1].split(".")[0] for name in shapes if inside in name}
        if len(found) != config.get(count):
            raise Refusal(f"{folder} has {len(found)} layers and its config {config.get(count)}; {SETTLED}")
    elif "block_out_channels" not in config:
        return  # another text encoder: what is missing is said when it is loaded
    else:
        blocks = config["block_out_channels"] or [None]
        expected = {
            ("decoder.conv_in.weight",): (blocks[-1], config.get("latent_channels"), 3, 3),
            ("decoder.conv_out.weight",): (config.get("out_channels", 3), blocks[0], 3, 3),
        }
    for names, shape in expected.items():
        weight = next((name for name in shapes if name.endswith(names)), None)
        if weight is None:
            raise Refusal(f"{folder} lacks the weights {names[0]}; {SETTLED}")
        if shapes[weight] != shape:
            raise Refusal(
                f"{folder} has {weight} of the shape {list(shapes[weight])} and its config {list(shape)}; "
                f"{SETTLED}"
            )


def _shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """The shapes of a component's weights by name."""
    return {
        name: tuple(entry["shape"])
        for file in weight_files(folder)
        for name, entry in read_header(file).items()
    }


def check_order(folder: Path, first: int, second: int) -> None:
    """Raise Refusal where the two CLIPs of SD3 stand in each other's place: CLIP-G is the wider one."""
    if first > second:
        raise Refusal(
            f"{folder}/text_encoder is {first} wide and text_encoder_2 {second}, so CLIP-L and CLIP-G stand "
            "in each other's place; swap the folders, and their tokenizers with them"
        )


def token_limit(folder: Path, otherwise: int) -> int:
    """Return a tokenizer's `model_max_length`; transformers writes 1e30 for 'not known'."""
    file = folder / "tokenizer_config.json"
    limit = read_json(file).get("model_max_length", otherwise) if file.is_file() else otherwise
    if isinstance(limit, bool) or not isinstance(limit, int | float) or limit < 1:
        raise Refusal(f"{file} sets model_max_length to {limit}; it must be a positive number")
    return int(limit) if limit < 1_000_000 else otherwise


def check_quantiser(file: Path, config: Mapping[str, object]) -> str:
    """Return the library that reads a component's files, empty for plain ones.

    Raises Refusal for one that is not read here, or is not installed.
    """
    quantised = config.get("quantization_config")
    if not quantised:
        return ""
    method = str(quantised.get("quant_method", "")) if isinstance(quantised, dict) else ""
    if method not in QUANTISERS:
        raise Refusal(
            f"{file.parent} is quantised{f' by {method}' if method else ''}, which is not read here; use the "
            "folder with its weights in 16 or 8 bits, or a GGUF file of the transformer"
        )
    if find_spec(method) is None:
        raise Refusal(
            f"{file.parent} is quantised by {method}, which needs that library: run `pip install "
            f"'sd3demo[{QUANTISERS[method]}]'`, or use the folder with its weights in 16 bits"
        )
    return method


def quantisers(folders: Mapping[str, Path]) -> tuple[tuple[str, str], ...]:
    """Return the quantised components of a model, each with its library, from the folders of all."""
    files = {name: folder / "config.json" for name, folder in folders.items()}
    found = {name: check_quantiser(file, read_json(file)) for name, file in files.items()}
    return tuple((name, method) for name, method in found.items() if method)


def _check_tokenizer(folder: Path, config_file: Path, config: Mapping[str, object], part: TextPart) -> None:
    file = folder / "tokenizer_config.json"
    named = str(
        read_json(file).get("tokenizer_class", part.tokenizers) if file.is_file() else part.tokenizers
    )
    if not named.startswith(part.tokenizers) and named != "PreTrainedTokenizerFast":
        raise Refusal(f"{file} is a {named}'s where a {part.tokenizers}Tokenizer's belongs; {SETTLED}")
    words = _vocabulary(folder, part)
    known = whole(config_file, config, "vocab_size")
    if words > known:
        raise Refusal(
            f"{folder} knows {words} tokens and {config_file.parent} {known}; they belong to two models: "
            "use the parts of one"
        )
    if part is CLIP:
        limit, positions = token_limit(folder, 77), whole(config_file, config, "max_position_embeddings")
        if limit > positions:
            raise Refusal(
                f"{file} sets model_max_length to {limit} and {config_file.parent} has {positions} "
                f"positions; set it to {positions}"
            )


def _vocabulary(folder: Path, part: TextPart) -> int:
    """How many tokens a tokenizer knows; 0 where only the library that runs it could tell."""
    file = folder / "tokenizer.json"
    if file.is_file():
        status = file.stat()
        return _tokens(file, status.st_size, status.st_mtime_ns)
    missing = [name for name in part.words if not (folder / name).is_file()]
    if missing:
        raise Refusal(f"{folder} has neither tokenizer.json nor {missing[0]}; {SETTLED}")
    return len(read_json(folder / "vocab.json")) if part is CLIP else 0


@lru_cache(maxsize=32)
def _tokens(file: Path, size: int, modified: int) -> int:
    """The tokens of a tokenizer.json. Raises Refusal where it is none."""
    content = read_json(file)
    model, added = content.get("model"), content.get("added_tokens") or []
    words = model.get("vocab") if isinstance(model, dict) else None
    if not words or not isinstance(words, dict | list) or not isinstance(added, list):
        raise Refusal(f"{file} is no tokenizer: it has no vocabulary; {SETTLED}")
    known = words if isinstance(words, dict) else {piece[0] for piece in words if piece}
    return len(words) + sum(each.get("content") not in known for each in added if isinstance(each, dict))
