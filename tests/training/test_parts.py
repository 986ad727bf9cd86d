"""The parts that training makes are what their names say, before any of them is trained."""

import random

import pytest
import torch
from torch import nn

from sd3demo.training.autoencoder import CHANNELS, LATENT_NOISE, Normalised, autoencoder, fold, windows
from sd3demo.training.dataset import CAPTIONS, LABELS, Feed, TextEncoders, Zeroed, embed, patch_labels
from sd3demo.training.encoders import CLIP_G_WIDTH, CLIP_L_WIDTH, clip_encoder, encoder_of, t5_model
from sd3demo.training.optimiser import MuonWithAdamW
from sd3demo.training.sizes import OWN, Positions
from sd3demo.training.tokenizers import LENGTH, clip_tokenizer, piece_ids, t5_tokenizer
from sd3demo.training.transformer import TABLE, PlainAttention, Trained, mmdit, position_table
from sd3demo.world.captions import caption
from sd3demo.world.scenes import Scene, Thing, draw, write
from sd3demo.world.vocabulary import COLOURS, HELD_OUT_WORDS, LETTERS, SHAPES, vocabulary


@pytest.fixture(scope="module")
def encoders() -> TextEncoders:
    torch.manual_seed(0)
    words, letters = clip_tokenizer(), t5_tokenizer()
    clips = [clip_encoder(words, width).eval() for width in (CLIP_L_WIDTH, CLIP_G_WIDTH)]
    return TextEncoders(words, letters, clips[0], clips[1], encoder_of(t5_model(letters)).eval())


def test_every_word_of_the_world_is_one_clip_token() -> None:
    tokenizer = clip_tokenizer()
    assert [word for word in vocabulary() if len(tokenizer(word).input_ids) != 3] == []


def test_a_word_that_was_never_listed_falls_into_pieces_that_clip_cannot_tell_apart() -> None:
    tokenizer = clip_tokenizer()
    pieces = set(piece_ids(tokenizer))
    assert not {word.lower() for word in HELD_OUT_WORDS} & set(vocabulary())
    for word in HELD_OUT_WORDS:
        told = tokenizer(word).input_ids[1:-1]
        # The last of several pieces may look like a short word: co-in, ch-at.
        assert set(told[:-1] if len(told) > 1 else told) <= pieces
    table = clip_encoder(tokenizer, 64).get_input_embeddings().weight[sorted(pieces)]
    assert (table == table[0]).all()


def test_t5_reads_a_written_word_letter_by_letter_and_a_caption_word_by_word() -> None:
    tokenizer = t5_tokenizer()
    told = tokenizer.convert_ids_to_tokens(tokenizer('the word "QUAY" in pink').input_ids)
    assert told == ["▁the", "▁word", '▁"', "Q", "U", "A", "Y", '"', "▁in", "▁pink", "</s>"]


def test_captions_fit_the_length_and_no_token_is_unknown() -> None:
    rng = random.Random(4)
    words, letters = clip_tokenizer(), t5_tokenizer()
    texts = [caption(rng, draw(rng)) for _ in range(2000)]
    assert sum(len(ids) > LENGTH for ids in words(texts).input_ids) <= 2
    assert sum(len(ids) > LENGTH for ids in letters(texts).input_ids) <= 2
    assert not any(letters.unk_token_id in ids for ids in letters(texts).input_ids)


def test_folding_gives_the_latents_of_training_and_a_fixed_posterior() -> None:
    torch.manual_seed(0)
    module = Normalised(autoencoder((16, 16, 16)))
    pictures = torch.rand(8, 3, 32, 32)
    for _ in range(300):
        module.latents(pictures)
    module.eval()
    with torch.no_grad():
        before = module.latents(pictures)
        posterior = fold(module).encode(pictures * 2 - 1).latent_dist
    assert torch.allclose(posterior.mean, before, atol=1e-4)
    assert torch.allclose(posterior.std, torch.full_like(posterior.std, LATENT_NOISE), atol=1e-5)
    assert torch.allclose(before.std((0, 2, 3)), torch.ones(CHANNELS), atol=0.05)


def test_windows_show_something() -> None:
    views = windows(random.Random(0), 32, size=256, window=32, device="cpu")
    assert views.shape == (32, 3, 32, 32)
    assert (views.flatten(2).std(2).amax(1) > 0.02).float().mean() > 0.8


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("depth", [2, 3, 4])
def test_the_training_pass_is_the_stock_forward_pass(depth: int, plain: bool) -> None:
    torch.manual_seed(depth)
    transformer = mmdit(depth)
    for parameter in transformer.parameters():  # away from the zeros that hide a wrong modulation
        parameter.data += 0.05 * torch.randn_like(parameter)
    z, t = torch.randn(3, 16, 16, 16), torch.rand(3)
    context, pooled = torch.randn(3, 2 * LENGTH, 256), torch.randn(3, CLIP_L_WIDTH + CLIP_G_WIDTH)
    with torch.no_grad():
        stock = transformer(z, context, pooled, t * 1000, return_dict=False)[0]
        if plain:
            transformer.set_attn_processor(PlainAttention())
        ours, labels = Trained(transformer, LABELS)(z, t, context, pooled, Positions(transformer)(OWN))
    assert torch.allclose(ours, stock, atol=1e-5)
    assert labels.shape == (3, 64, LABELS)


def test_an_untrained_transformer_answers_zero_and_its_blocks_change_nothing() -> None:
    transformer = mmdit(2)
    z = torch.randn(2, 16, 16, 16)
    args = (torch.randn(2, 2 * LENGTH, 256), torch.randn(2, CLIP_L_WIDTH + CLIP_G_WIDTH), torch.ones(2))
    with torch.no_grad():
        assert transformer(z, *args, return_dict=False)[0].abs().max() == 0


def test_the_position_table_steps_one_radian_a_patch_and_tells_all_patches_apart() -> None:
    table = position_table(256)[0].reshape(TABLE, TABLE, 4, 64)  # row, column, (sin, cos) of column and row
    phase = torch.atan2(table[0, :4, 0, 0], table[0, :4, 1, 0])
    assert torch.allclose(phase.diff(), torch.ones(3), atol=1e-5)
    flat = table.flatten(0, 1).flatten(1)
    assert (torch.cdist(flat, flat) + 10 * torch.eye(len(flat))).min() > 0.5


def test_embedding_is_the_stock_pipelines_encoding(encoders: TextEncoders) -> None:
    from diffusers import FlowMatchEulerDiscreteScheduler, StableDiffusion3Pipeline

    pipeline = StableDiffusion3Pipeline(
        transformer=mmdit(2),
        scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=autoencoder((16, 16, 16)),
        text_encoder=encoders.clip_l,
        tokenizer=encoders.clip_tokenizer,
        text_encoder_2=encoders.clip_g,
        tokenizer_2=encoders.clip_tokenizer,
        text_encoder_3=encoders.t5,
        tokenizer_3=encoders.t5_tokenizer,
    )
    prompts = ["a red circle above a blue square", 'the word "JAZZ" in pink', ""]
    with torch.no_grad():
        context, _, pooled, _ = pipeline.encode_prompt(
            prompts, prompts, prompts, do_classifier_free_guidance=False, max_sequence_length=LENGTH
        )
        ours, ours_pooled = embed(encoders, prompts)
    assert torch.allclose(ours, context, atol=0.15)  # ours in bfloat16
    assert torch.allclose(ours_pooled, pooled, atol=0.15)
    assert (ours - context).abs().mean() < 0.01


def test_a_zeroed_encoder_leaves_zeros_and_the_others_alone(encoders: TextEncoders) -> None:
    texts = ["a red circle"] * 4
    rows = torch.eye(4, dtype=torch.bool)
    whole, pooled = embed(encoders, texts)
    context, cut = Zeroed(clip_l=rows[0], clip_g=rows[1], t5=rows[2])(whole, pooled)
    assert context[0, :LENGTH, :CLIP_L_WIDTH].abs().max() == 0
    assert cut[0, :CLIP_L_WIDTH].abs().max() == 0
    assert context[1, :LENGTH, CLIP_L_WIDTH : CLIP_L_WIDTH + CLIP_G_WIDTH].abs().max() == 0
    assert cut[1, CLIP_L_WIDTH:].abs().max() == 0
    assert context[2, LENGTH:].abs().max() == 0
    after_l = slice(CLIP_L_WIDTH, None)
    assert torch.equal(context[0, :, after_l], whole[0, :, after_l])
    assert torch.equal(context[:2, LENGTH:], whole[:2, LENGTH:])
    assert torch.equal(context[2, :LENGTH], whole[2, :LENGTH])
    assert torch.equal(context[3], whole[3])
    assert torch.equal(cut[0, after_l], pooled[0, after_l])
    assert torch.equal(cut[2:], pooled[2:])


def test_patch_labels_say_what_covers_each_patch() -> None:
    square = Scene("white", ((Thing("square", "red", "solid", 0.5, 0.5, 0.25 / 0.74),),))
    labels = patch_labels(
        [square, write(random.Random(0), "HI", colour="blue", background="white")], torch.device("cpu")
    )
    grid = labels[0].reshape(8, 8, LABELS)
    inside = torch.zeros(8, 8)
    inside[2:6, 2:6] = 1
    assert torch.allclose(grid[..., SHAPES.index("square")], inside, atol=0.02)
    assert torch.allclose(
        grid[..., len(SHAPES) + len(LETTERS) + list(COLOURS).index("red")], inside, atol=0.02
    )
    named = labels[1].sum(0).nonzero().flatten().tolist()
    wanted = [len(SHAPES) + LETTERS.index(letter) for letter in "HI"]
    assert named == [*wanted, len(SHAPES) + len(LETTERS) + list(COLOURS).index("blue")]


@pytest.mark.slow
def test_the_ring_renews_itself_and_keeps_captions_with_their_pictures(encoders: TextEncoders) -> None:
    vae = autoencoder((16, 16, 16)).eval()
    mix = {"single": 1, "word": 1}
    feed = Feed(vae, encoders, device=torch.device("cpu"), seed=0, ring=256, uses=1, mix=mix)
    before = [list(texts) for texts in feed.captions]
    for _ in range(4):
        feed.next(64, unconditional=0.1, zeroed=(0, 0, 0))
    changed = sum(new != old for new, old in zip(feed.captions, before, strict=True))
    assert 128 <= changed <= 256
    # The picture's patches show the one shape that every caption of it names, or letters and no shape.
    for labels, texts in zip(feed.labels.float(), feed.captions, strict=True):
        shown = {name for name, share in zip(SHAPES, labels.sum(0), strict=False) if share > 0}
        for text in texts:
            assert shown == {word for word in text.replace(",", " ").split() if word in SHAPES}


def test_each_caption_is_embedded_with_its_picture(encoders: TextEncoders) -> None:
    vae = autoencoder((16, 16, 16)).eval()
    feed = Feed(vae, encoders, device=torch.device("cpu"), seed=0, ring=256, uses=1, mix=None)
    for k in range(CAPTIONS):
        context, pooled = embed(encoders, [texts[k] for texts in feed.captions[:32]])
        assert torch.allclose(feed.contexts[:32, k].float(), context, atol=0.05)
        assert torch.allclose(feed.pooled[:32, k].float(), pooled, atol=0.05)


def test_the_share_without_a_text_has_the_empty_one_as_serving_gives_it(encoders: TextEncoders) -> None:
    vae = autoencoder((16, 16, 16)).eval()
    feed = Feed(vae, encoders, device=torch.device("cpu"), seed=0, ring=256, uses=1000, mix=None)
    empty, empty_pooled = embed(encoders, [""])
    *_, context, pooled = feed.next(400, unconditional=0.25, zeroed=(0, 0, 0))
    nothing = (context == empty).flatten(1).all(1)
    assert 60 <= nothing.sum() <= 140  # 100, four standard errors either way
    assert torch.equal(nothing, (pooled == empty_pooled).all(1))


def test_muon_sees_kernels_as_matrices_and_lowers_a_loss() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.SiLU(), nn.Conv2d(8, 3, 3, padding=1))
    optimiser = MuonWithAdamW(net.named_parameters(), learning_rate=1e-2, matrix_rate=1e-2)
    x = torch.randn(8, 3, 8, 8)
    losses = []
    for _ in range(60):
        loss = (net(x) - x).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step(scale=1.0)
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]
