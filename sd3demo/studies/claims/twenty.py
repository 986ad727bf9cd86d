"""Twenty claims of the two papers as data: what the paper says, where, at which scale, and its study here.

SD3 is arXiv 2403.03206, I-Max arXiv 2410.07536. Where a paper shows a curve or pictures alone, no figure is
read off it.
"""

from collections.abc import Callable
from dataclasses import dataclass

from sd3demo.studies.claims import verdicts
from sd3demo.studies.claims.verdicts import Judge, Verdict


@dataclass(frozen=True)
class Claim:
    """A claim, the paper's figure for it with its place, the scale of that figure, and its study here.

    `study` is the recorded study whose table `judge` reads, asked with `again` flags to measure it anew;
    `count` is for what can be counted without one. A claim that has neither is not measured, for the reason
    `missing`.
    """

    number: int
    claim: str
    paper: str
    source: str
    scale: str
    study: str = ""
    judge: Judge | None = None
    again: str = ""
    count: Callable[[], Verdict] | None = None
    missing: str = ""

    @property
    def rerun(self) -> str:
        """The command that measures it anew; empty where nothing here does."""
        if self.study:
            return f"sd3demo study {self.study} {self.again}".strip()
        return "sd3demo claims" if self.count else ""


TWENTY: tuple[Claim, ...] = (
    Claim(
        1,
        "Logit-normal(0, 1) is the best density of the training times",
        "mean rank 1.54 among 61 formulations; uniform times 5.67",
        "SD3, table 1",
        "ImageNet and CC12M",
        "race",
        verdicts.best_density,
        "--n 3",
    ),
    Claim(
        2,
        "The rectified flow loses least at few steps",
        "mean rank at 5 steps 1.25 for rf/lognorm(0.00, 1.00), 4.25 for eps/linear; figure 3 is curves",
        "SD3, figure 3 and table 1",
        "ImageNet and CC12M, 5 to 50 steps",
        "race",
        verdicts.least_lost,
        "--n 3",
    ),
    Claim(
        3,
        "More latent channels make a better autoencoder",
        "FID 2.41, 1.56, 1.06 and PSNR 25.12, 26.40, 28.62 at 4, 8 and 16 channels",
        "SD3, table 3",
        "autoencoders of factor 8",
        missing="one autoencoder of 16 channels was trained",
    ),
    Claim(
        4,
        "Half synthetic, half original captions help",
        "GenEval 43.27% with original captions, 49.78% with half of each",
        "SD3, table 4",
        "d = 15, 250 thousand steps",
        missing="all training had half short, half detailed captions; no model without them was trained",
    ),
    Claim(
        5,
        "MM-DiT is better than DiT, CrossDiT and UViT",
        "curves of loss, CLIP score and FID",
        "SD3, figure 4 and section 5.2.3",
        "CC12M",
        missing="no other backbone was trained",
    ),
    Claim(
        6,
        "QK-norm keeps attention logits from growing",
        "curves of the largest logit and of the entropy, last 5 blocks",
        "SD3, figure 5 and section 5.3.2",
        "d = 24, 2 billion parameters",
        missing="every model here has QK-norm, and none was trained without it",
    ),
    Claim(
        7,
        "A larger size wants a larger shift",
        "people preferred shifts above 1.5 at 1024 px; 3.0 was chosen",
        "SD3, figure 6 and section 5.3.2",
        "1024 x 1024 px, human preference",
        "score-shift",
        verdicts.shift_at_larger_sizes,
        "--n 3 --scales 1,2",
    ),
    Claim(
        8,
        "Validation loss falls with depth and predicts the metrics",
        "curves for depths 15 to 38; loss against GenEval, preference and CompBench",
        "SD3, figure 8 and section 5.3.3",
        "up to 8 billion parameters, 500 thousand steps",
        "depth",
        verdicts.loss_by_depth,
        "--n 8 --scenes 8",
    ),
    Claim(
        9,
        "Deeper networks make shorter paths and need fewer steps",
        "path length 191.13, 187.96, 185.96 and CLIP score lost at 5 of 50 steps 4.30%, 3.59%, 2.71% at "
        "depths 15, 30 and 38",
        "SD3, table 6",
        "no size is named",
        "depth",
        verdicts.length_by_depth,
        "--n 8 --scenes 8",
    ),
    Claim(
        10,
        "Without T5 typography loses most",
        "win rates without T5: 50% aesthetics, 46% prompt adherence, 38% typography",
        "SD3, figures 7 and 9 and section 5.3.3",
        "8 billion parameters, human preference",
        "t5-off",
        verdicts.typography_without_t5,
        "--n 10",
    ),
    Claim(
        11,
        "GenEval grows with depth, and with DPO",
        "0.58, 0.62, 0.64, 0.68 at depths 18, 24, 30 and 38, 0.71 with DPO",
        "SD3, table 5",
        "512 x 512 px",
        "depth",
        verdicts.score_by_depth,
        "--n 8 --scenes 8",
    ),
    Claim(
        12,
        "The velocity is hardest to predict in the middle of the way",
        "stated, no figure",
        "SD3, section 3.1",
        "an argument on means",
        "velocity-loss",
        verdicts.hardest_in_the_middle,
        "--n 16",
    ),
    Claim(
        13,
        "T5 costs most by far of the frozen networks",
        "memory 0.49, 2.78 and 19.05 GB for CLIP-L, CLIP-G and T5; a training step takes 2.6%, 15.6% and "
        "98.3% longer",
        "SD3, table 7",
        "2 billion parameters, batch 32",
        count=verdicts.encoder_memory,
    ),
    Claim(
        14,
        "Projected flow stabilises larger pictures",
        "pictures of a sequential ablation",
        "I-Max, figure 4 and section 3.2",
        "Flux.1-dev, 1024 to 4096 px",
        "imax-ablation",
        verdicts.flow_stabilises,
        "--n 9 --preset paper-flux",
    ),
    Claim(
        15,
        "Each part of I-Max helps",
        "above 50% win rate against any part left out, 300 pictures each",
        "I-Max, figure 5 and section 3.2",
        "Lumina-Next-2K and Flux.1-dev, 4096 px, GPT-4o's preference",
        "imax-ablation",
        verdicts.each_part_helps,
        "--n 9 --preset paper-flux",
    ),
    Claim(
        16,
        "Gains rise with the scale, then fall",
        "above 50% win rate over the native size for a range of scales, then below",
        "I-Max, figure 6 and section 3.3",
        "GPT-4o's preference",
        "imax-scale",
        verdicts.gains_by_scale,
        "--n 2 --preset tuned",
    ),
    Claim(
        17,
        "Projected flow beats SDEdit, skip-residual and time-aware positions",
        "significantly above 50% win rate against each",
        "I-Max, figures 7 and 8 and section 3.4",
        "1024 to 4096 px, GPT-4o's preference",
        "imax-methods",
        verdicts.beats_its_rivals,
        "--n 2 --preset tuned",
    ),
    Claim(
        18,
        "Larger sizes are worst in the middle of the way",
        "curves of the ratio of losses; its trend counts, not its values",
        "I-Max, figure 9 and section 3.5",
        "Lumina-Next, 1024 to 4096 px, 1000 pictures",
        "velocity-loss",
        verdicts.ratio_peaks_in_the_middle,
        "--n 16",
    ),
    Claim(
        19,
        "Two steps at the larger size already help",
        "pictures: 2 steps are better than the native size",
        "I-Max, figure 10 and section 3.6",
        "Flux.1-schnell and Flux.1-dev",
        "imax-steps",
        verdicts.few_steps_help,
        "--n 2 --preset tuned",
    ),
    Claim(
        20,
        "Larger pictures have detail beyond super-resolution",
        "pictures beside ESRGAN's",
        "I-Max, figure 13 and appendix A.3",
        "no model is named",
        missing="the embedded world's scenes have no detail that only a larger size shows",
    ),
)
"""In the order of the papers; numbers are their places in this list."""
