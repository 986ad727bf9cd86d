"""What is recorded: runs by the words of their command line, plans, and texts of links.

Names and words alone, as CONTRACT has them: nothing here knows how the package is laid out. `{here}` stands
for this folder and `{out}` for a folder of the run's own.
"""

from collections.abc import Mapping
from itertools import chain

P = "generate 'a red circle above a blue square' --seed 7 --steps 6"
TUNED = "--low-pass haar --start 0.6 --tail 1 --reshift auto"
"""The preset `tuned` as these runs were recorded: its values may change, these pictures may not."""
ALL_THEN = "projected,direct,upsample,sdedit,skip-residual,time-aware,upsample-guidance,hiflow"
"""All methods that there were when these runs were recorded."""
SCENE = "extrapolate 'a green triangle left of a yellow circle' --seed 3 --steps 4 --scale 2"
E = f"{SCENE} {TUNED}"

GENERATED: Mapping[str, str] = {
    "plain": P,
    "own-defaults": "generate 'two red squares' --seed 1",
    "other-prompt": "generate 'the word \"FLOW\" in blue' --seed 2 --steps 8",
    "unknown-words": "generate 'a photograph of an astronaut, 4k' --seed 5 --steps 6",
    **{f"solver-{name}": f"{P} --solver {name}" for name in ("midpoint", "heun", "rk4", "ab2")},
    **{
        f"schedule-{name}": f"{P} --schedule {name} --shift 3"
        for name in ("uniform", "single", "diffusers", "linear", "comfy")
    },
    "comfy-heun": f"{P} --schedule comfy --solver heun",
    "shift-low": f"{P} --shift 0.5",
    "shift-auto": f"{P} --shift auto --width 96 --height 96",
    "t5-zeros": f"{P} --t5 zeros",
    "t5-omit": f"{P} --t5 omit",
    "t5-empty": f"{P} --t5 empty",
    "clip-l-zeros": f"{P} --clip-l zeros",
    "clip-g-zeros": f"{P} --clip-g zeros",
    "both-clips-zeros": f"{P} --clip-l zeros --clip-g zeros --prompt-3 'a green triangle'",
    "prompt-2": f"{P} --prompt-2 'a yellow triangle'",
    "prompt-3": f"{P} --prompt-3 'a yellow triangle'",
    "prompts-of-their-own": f"{P} --prompt-2 'a green square' --prompt-3 'three circles'",
    "negative": f"{P} --negative 'a blue square' --cfg 6",
    "cfg-1": f"{P} --cfg 1",
    "cfg-interval": f"{P} --cfg 5 --cfg-from 0.3 --cfg-to 0.8",
    "cfg-interval-heun": f"{P} --cfg 5 --cfg-from 0.3 --cfg-to 0.8 --solver heun",
    "tokens-8": f"{P} --max-sequence-length 8",
    "bfloat16": f"{P} --precision bfloat16",
    "bfloat16-batch": f"{P} --precision bfloat16 --count 2 --t5 zeros",
    "batch-3": f"{P} --count 3",
    "batch-2-rk4": f"{P} --count 2 --solver rk4 --steps 4",
    "wide": f"{P} --width 80 --height 48",
    "96-px": f"{P} --width 96 --height 96",
    "128-px": f"{P} --width 128 --height 128 --steps 4",
    "tiny-2": f"{P} --model tiny-2",
    "tiny-3": f"{P} --model tiny-3",
    "tiny-3-heun-zeros": f"{P} --model tiny-3 --solver heun --t5 zeros --schedule linear",
    "by-model": f"{P} --placement by-model",
    "largest-seed": f"{P} --seed 4294967295",
    "one-step": f"{P} --steps 1",
}

EXTRAPOLATED: Mapping[str, str] = {
    **{
        f"method-{name}": f"{E} --method {name}"
        for name in (
            "projected",
            "direct",
            "upsample",
            "sdedit",
            "skip-residual",
            "time-aware",
            "upsample-guidance",
            "hiflow",
        )
    },
    "compare": f"{E} --compare",
    "all-methods": f"{E} --methods {ALL_THEN} --steps 3 --cfg 1",
    "preset-paper": f"{SCENE} --preset paper",
    "preset-release": f"{SCENE} --preset release",
    **{
        f"low-pass-{name}": f"{E} --low-pass {name} --strength paper"
        for name in ("radial", "gaussian", "dct", "bicubic")
    },
    "low-pass-haar-1": f"{E} --low-pass haar-1 --strength paper --scale 3",
    "level-2": f"{E} --level 2 --strength constant",
    "cutoff": f"{E} --low-pass radial --cutoff 0.25 --strength constant",
    **{f"strength-{name}": f"{E} --strength {name}" for name in ("paper", "release", "constant", "off")},
    "strength-points": f"{E} --strength 1:1.5,0.4:1,0:0.2",
    **{
        f"positions-{name}": f"{E} --positions {name} --start 1"
        for name in ("extend", "per-frequency", "scheduled", "time-aware")
    },
    "attention-log": f"{E} --attention log",
    "attention-paper": f"{E} --attention paper",
    "text-copies": f"{E} --text-copies 2.5",
    "text-copies-auto": f"{E} --text-copies auto",
    "half-patch": f"{SCENE} --half-patch --preset paper --attention log",
    "start-at-noise": f"{E} --start 1 --tail 0 --reshift 1.5",
    "lanczos": f"{E} --lift lanczos --posterior sample",
    "scale-1.5": f"{E} --scale 1.5",
    "scale-3": f"{E} --scale 3",
    "cascade": f"{E} --cascade 1.5,2 --large-steps 3",
    "sides-of-their-own": f"extrapolate 'a red circle' --width 128 --height 96 --scale 2 --steps 4 {TUNED}",
    "extrapolated-batch": f"{E} --count 2 --t5 omit",
    "extrapolated-bfloat16": f"{E} --precision bfloat16",
    "extrapolated-heun": f"{E} --solver heun --method sdedit",
    "own-picture": f"{E} --own {{here}}/own.png",
}

RUNS: Mapping[str, str] = {**GENERATED, **EXTRAPOLATED}

KEPT: Mapping[str, tuple[str, str]] = {
    "plain": ("plain", "0"),
    "batch-member": ("batch-3", "2"),
    "t5-zeros": ("t5-zeros", "0"),
    "bfloat16": ("bfloat16", "0"),
    "native": ("compare", "native"),
    "upsample": ("compare", "upsample"),
    "projected": ("compare", "projected"),
    "hiflow": ("method-hiflow", "hiflow"),
    "own-picture": ("own-picture", "projected"),
}
"""Pictures whose files are kept, receipts and all: a name, the run and the picture in it."""

GRID = "grid 'a red circle' --seed 4 --steps 5 --x cfg=1,3,6 --y solver=euler,heun --out {out}/grid.png"
TRACES: Mapping[str, str] = {
    "plain": "trace 'a red circle above a blue square' --seed 7 --steps 6 --out {out}/trace.safetensors",
    "cfg-1": "trace 'a blue square' --seed 2 --steps 5 --cfg 1 --solver heun --out {out}/trace.safetensors",
}

PLANS: Mapping[str, str] = {
    "tiny": "plan",
    "tiny-heun": "plan --solver heun --steps 7 --cfg 1 --count 4",
    "tiny-cfg-interval": "plan --solver rk4 --steps 8 --cfg-from 0.2 --cfg-to 0.7 --shift auto --width 128",
    "tiny-projected": "plan --scale 2 --steps 6",
    "tiny-cascade": "plan --scale 4 --cascade doubling --method hiflow --steps 5 --large-steps 4 --start 0.7",
    "tiny-upsample-guidance": "plan --scale 2 --steps 6 --method upsample-guidance",
    "tiny-2": "plan --model tiny-2 --schedule comfy",
    "medium": "plan --model sd3-medium --vram 24",
    "medium-shift-auto": "plan --model sd3-medium --vram 24 --shift auto --width 1536 --height 1024",
    "medium-without-t5": "plan --model sd3-medium --vram 8 --t5 omit --count 4 --solver ab2",
    "3.5-medium": "plan --model sd3.5-medium --vram 16",
    "3.5-large": "plan --model sd3.5-large --vram 24",
    "3.5-large-80": "plan --model sd3.5-large --vram 80 --steps 40 --schedule linear",
    "3.5-large-turbo": "plan --model sd3.5-large-turbo --vram 24",
    "medium-2048": "plan --model sd3-medium --vram 24 --scale 2 --method projected --steps 28",
}

_LINKS: Mapping[str, str] = {
    "generate": """
        prompt=a+red+circle&steps=4
        prompt=a+red+circle,+please
        prompt=two+%22words%22+%26+more+%3D+100%25%3F+%23%C3%BC%F0%9F%90%B4,%0Aline
        prompt=a%20red%20circle
        prompt=%3Cimg+src=x%3E
        negative=blue model=tiny-2 model=sd3-medium prompt=a+horse&model=sd3-medium
        width=1536&model=sd3-medium model=sd3.5-large&shift=auto&width=1536&height=1024
        seed=7 seed=4294967295 count=4 width=96 height=32 width=64&height=128&shift=auto
        steps=5 cfg=7.5 cfg=1 cfg_from=0.3 cfg_to=0.8 cfg_from=0.25&cfg_to=0.75
        solver=midpoint solver=heun solver=rk4 solver=ab2
        schedule=single schedule=diffusers schedule=linear schedule=comfy
        shift=3 shift=0.5 shift=auto t5=zeros t5=omit t5=empty clip_l=zeros clip_g=zeros
        prompt_2=a+green+square prompt_3=three+circles max_sequence_length=7
        precision=float32 precision=bfloat16 placement=resident placement=by-model placement=streamed
        reseed=true grid=true grid=true&grid_x=cfg_from&grid_y=nothing
        grid=true&grid_x=t5&grid_across=on,+zeros&grid_y=solver&grid_down=euler,+heun
        grid_x=shift grid_y=t5 grid_across=1,+3,+5 grid_down=4,+8
        prompt=a+red+circle&negative=a+blue+square&seed=7&count=2&steps=6&cfg=5&solver=heun&shift=3&t5=zeros
        cfg=99&steps=4 steps=many&cfg=2 t5=half&seed=3 flavour=salt&seed=3 model=/etc&seed=3
        cfg_from=0.9&cfg_to=0.1 prompt=%07&seed=3 width=8192&seed=3 width=100&height=128
        grid_x=flavour&grid=true steps=nan&seed=3 steps=4&steps=9
        """,
    "extrapolate": """
        prompt=a+yellow+cross preset=paper preset=release preset=release&tail=3 size=4 size=own
        size=own&width=160&height=96 width=192 height=96
        use_flow=false use_positions=false use_reshift=false use_attention=true use_text=true
        use_half_patch=false compare=upsample,direct,hiflow compare=sdedit
        compare=direct,skip-residual,time-aware,upsample-guidance compare=
        method=direct method=upsample method=sdedit method=skip-residual method=time-aware
        method=upsample-guidance method=hiflow
        strength=paper strength=release strength=constant strength=off strength=1:1.5,0:0.5
        low_pass=haar-1 low_pass=radial low_pass=gaussian low_pass=dct low_pass=bicubic
        level=2 cutoff=0.25 start=auto start=0.9 cascade=doubling cascade=2,4
        positions=extend positions=per-frequency positions=scheduled positions=time-aware
        reshift=1.5 attention=paper attention=off text_copies=4 model=sd3-medium seed=9 steps=12
        large_steps=6 tail=0 cfg=2.5 solver=heun lift=lanczos posterior=sample
        study=imax-methods study=imax-scale study=imax-steps imax-ablation=n:3
        study=imax-methods&imax-methods=n:1;methods:direct,+sdedit;scales:2
        imax-scale=scales:1.5,+2 imax-steps=counts:2,+4;preset:release method=horse&seed=4 size=3&seed=4
        """,
    "trajectories": """
        prompt=a+blue+cross seed=4 steps=12 cfg=2.5 cfg=1 shift=3 solver=midpoint solver=heun solver=rk4
        solver=ab2 t5=zeros t5=omit t5=empty recorded=without-guidance recorded=a-written-word
        recorded=with-guidance compared=false t=0.3 attention=2 attention=14,3,5,-1
        study=velocity-loss study=few-steps path-length=n:5;steps:20 velocity-loss=n:8;scales:1,+2
        study=few-steps&few-steps=n:5;budgets:5,+10;solvers:euler,+ab2
        negative=red model=tiny-3 count=2 width=96 height=48 cfg_from=0.3 cfg_to=0.7 schedule=comfy
        clip_l=zeros clip_g=zeros prompt_2=square prompt_3=circle max_sequence_length=7
        precision=bfloat16 placement=by-model recorded=nothing-of-the-kind&seed=4
        """,
    "score": """
        model=tiny-2 n=12 categories=typography categories=geneval exam_seed=3 seed=5 device=cpu
        steps=14 cfg=2.5 shift=3 solver=heun t5=zeros schedule=diffusers clip_l=zeros clip_g=zeros
        negative=red cfg_from=0.3 cfg_to=0.7 width=96 height=96 max_sequence_length=7 precision=bfloat16
        placement=by-model study=score-cfg study=score-shift study=t5-off study=depth
        score-steps=steps:1,+5,+28 score-cfg=cfg:1,+4;n:2 score-shift=shift:1,+2;scales:1
        t5-off=t5:on,+omit depth=models:tiny,+tiny-2;scenes:8 n=0&seed=5
        """,
    "densities": """
        densities=mode densities=uniform,logit-normal,mode,cosmap m=-0.5 s=1.5 mode_s=0.81
        pixels=4194304 native=262144 shift=1 steps=10 schedule=single schedule=comfy
        trained_shifted=false densities=mode,sine&m=1
        """,
    "flow-lab": """
        data=rings data=checkerboard data=normal density=uniform density=mode density=cosmap m=1
        s=0.5 mode_s=0.5 shift=3 steps=700 data=horse&steps=200
        """,
    "verify": "run=20260101-120000-000-0123abcd/0 run=20260101-120000-000-0123abcd/projected",
}
"""What stands behind the question mark in links to each tab, between spaces."""

LINKS: tuple[str, ...] = (
    *(f"#/{tab}" for tab in (*_LINKS, "history", "about")),
    *chain.from_iterable((f"#/{tab}?{query}" for query in text.split()) for tab, text in _LINKS.items()),
    "#/about?prompt=a",
    "#/nowhere?steps=4",
    "#/",
    "#elsewhere",
    "#",
    "",
)

STUDY_TEXTS: tuple[tuple[str, str], ...] = (
    ("path-length", "n:5;steps:20"),
    ("path-length", "along:cfg;values:1, 2"),
    ("velocity-loss", "n:8;scales:1, 2;t5:zeros"),
    ("few-steps", "n:5;budgets:5, 10;solvers:euler, ab2"),
    ("score-steps", "steps:1, 5, 28;exam_seed:2"),
    ("score-cfg", "cfg:1, 4;n:2;seed:9"),
    ("score-shift", "shift:1, 2;scales:1"),
    ("t5-off", "t5:on, omit;categories:typography"),
    ("depth", "models:tiny, tiny-2;scenes:8"),
    ("imax-ablation", "n:3;preset:ours;large_steps:4"),
    ("imax-methods", "n:1;methods:direct, sdedit;scales:2"),
    ("imax-scale", "scales:1.5, 2;precision:bfloat16"),
    ("imax-steps", "counts:2, 4;preset:release"),
    ("few-steps", "n:0;cfg:2"),
    ("score-cfg", ""),
)
"""What a link says of a study, and the study's name."""
