"""A run of larger pictures as what the page shows: the native one at once, then each as it comes."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from html import escape

from sd3demo.engine import Plan
from sd3demo.engine.events import ArmFinished, Encoded, Finished, Lifted, Loading, StageStarted, StepDone
from sd3demo.engine.plan.stages import Arm, FlowStage
from sd3demo.settings import counted
from sd3demo.ui.context import Run
from sd3demo.ui.extrapolate.compare_view import SMALL, Card, cards, lens, uri
from sd3demo.ui.extrapolate.form import TITLES
from sd3demo.ui.extrapolate.plan_view import arm_title, seconds, stage_title
from sd3demo.ui.generate.stream import Kept, sentence
from sd3demo.ui.run import status as words

BEFORE = "before"


@dataclass(frozen=True)
class Past:
    """The finished picture of the run before, to compare the next one with."""

    card: Card
    prompt: str
    seed: int
    what: str


@dataclass(frozen=True)
class View:
    """All that a run shows; an empty part leaves what stands on the page."""

    lens: str = ""
    cards: str = ""
    status: str = ""
    story: str = ""
    finished: Finished | None = None
    past: Past | None = None


@dataclass
class Bench:
    """The cards of a run, as far as it is."""

    plan: Plan
    shown: dict[str, Card] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for arm in self.plan.arms:
            request, stage = arm.request, self.plan.stage(arm.stage)
            self.shown[arm.name] = Card(
                arm.name,
                stage_title(self.plan, stage),
                size=(request.width, request.height),
                note="not yet",
            )

    @property
    def sharp(self) -> bool:
        return max(self.plan.request.width, self.plan.request.height) <= SMALL

    def arm(self, stage: str) -> Arm:
        """The arm that a run of the solver belongs to: its own, or the one that it is on the way to."""
        return next(arm for arm in self.plan.arms if arm.stage == stage or stage.startswith(f"{arm.name} "))


def views(
    prepare: Callable[[], Plan],
    run: Run,
    keep: Callable[[Arm, ArmFinished], Kept],
    before: Past | None,
    save: Callable[[Plan, Finished], str],
) -> Iterator[View]:
    """What the page shows from the click to the last picture, or to the sentence that says why there is none.

    `keep` makes a picture's file, `save` puts the run into the history and answers with a sentence where it
    could not. What was finished before a failure stays. Closing this closes the run.
    """
    view = View(status=words.waking())
    yield view
    try:
        made = prepare()
        with closing(run(made)) as events:
            bench = Bench(made)
            for event in events:
                match event:
                    case Loading(model=model, bytes=size):
                        view = replace(view, status=words.loading(model, size))
                    case Encoded(calls=calls):
                        view = replace(view, status=words.encoded(calls))
                    case StageStarted(stage=stage):
                        title = arm_title(bench.arm(stage))
                        view = replace(view, status=words.bar(0, 1, f"{escape(title)} begins"))
                    case Lifted(width=width, height=height):
                        said = f"The native picture enlarged to {width} × {height}"
                        view = replace(view, status=words.bar(0, 1, said))
                    case StepDone():
                        view = _stepped(view, bench, event)
                    case ArmFinished():
                        view = _arrived(view, bench, event, keep)
                    case Finished():
                        view = _ended(view, bench, event, before, save(made, event))
                    case _:
                        continue
                yield view
    except Exception as error:
        yield replace(view, status=words.failed(sentence(error, TITLES)))


def _stepped(view: View, bench: Bench, event: StepDone) -> View:
    arm = bench.arm(event.stage)
    title, done = arm_title(arm), event.index + 1
    bench.shown[arm.name] = replace(
        bench.shown[arm.name],
        source=uri(event.previews[0]),
        note=f"step {done} of {event.count}",
        forming=True,
    )
    left = event.seconds / done * (event.count - done)
    said = f"{escape(title)}: step {done} of {event.count} · about {left:.1f} s left of it"
    return replace(
        view,
        cards=cards(tuple(bench.shown.values()), bench.sharp),
        status=words.bar(done, event.count, said, event.t_next),
    )


def _arrived(view: View, bench: Bench, made: ArmFinished, keep: Callable[[Arm, ArmFinished], Kept]) -> View:
    arm = next(arm for arm in bench.plan.arms if arm.name == made.arm)
    file = keep(arm, made)
    width, height = arm.request.width, arm.request.height
    bench.shown[arm.name] = replace(
        bench.shown[arm.name],
        source=file.source,
        file=file.name,
        note=f"{width} × {height}, {counted(made.calls, 'call')}, {seconds(made.seconds)}",
        forming=False,
    )
    shown = tuple(bench.shown.values())
    ready = [card for card in shown if card.file]
    large = [card for card in ready if card.key != "native"] or ready
    return replace(view, cards=cards(shown, bench.sharp), lens=lens(large, large[0].key, large[-1].key))


def _ended(view: View, bench: Bench, finished: Finished, before: Past | None, note: str) -> View:
    request = bench.plan.request
    shown = list(bench.shown.values())
    large = [card for card in shown if card.key != "native"]
    what = _parts(bench.plan)
    same = before is not None and before.card.size == large[-1].size and before.prompt == request.prompt
    first = large[0].key
    if before is not None and same and before.card.source != large[-1].source:
        large.insert(0, replace(before.card, key=BEFORE, title=f"The run before ({before.what})"))
    now = Past(large[-1], request.prompt, request.seed, what)
    return replace(
        view,
        cards=cards(shown, bench.sharp),
        lens=lens(large, first, large[-1].key),
        status=words.done(finished, note),
        story=story(bench.plan, finished, before if same else None, what),
        finished=finished,
        past=now,
    )


def story(made: Plan, finished: Finished, before: Past | None, what: str) -> str:
    """What was done, in a few sentences."""
    request, native = made.request, made.stages[0]
    scale = request.width / native.width
    what_of = "Your picture" if made.own_picture else "One native picture"
    lines = [
        f"{what_of} of {native.width} × {native.height} px and one noise of "
        f"{request.width} × {request.height} px, drawn with seed {request.seed}, made all of these: "
        f"{scale:g} times the side, {scale**2:g} times the pixels.",
    ]
    if ratio := _ratio(made):
        lines.append(f"A call of the network at the larger size costs {ratio:.1f} times a native one.")
    if before is not None and before.what != what:
        lines.insert(0, f"Before: {escape(before.what)}. Now: {escape(what)}. From the same noise.")
    paragraphs = "".join(f"<p>{line}</p>" for line in lines)
    return f"{paragraphs}<p>{counted(finished.calls, 'call')} of the network in all.</p>"


def _ratio(made: Plan) -> float:
    """Operations of a call at the larger size over those of a native one; 0 where there is none."""
    large = [stage for stage in made.stages[1:] if isinstance(stage, FlowStage) and not stage.native_visits]
    native = made.stages[0]
    if not large or not native.calls:
        return 0.0
    return (large[-1].flops / large[-1].calls) / (native.flops / native.calls)


def _parts(made: Plan) -> str:
    """What is on, in words."""
    stage = made.stage(made.arms[-1].stage)
    if not isinstance(stage, FlowStage):
        return "no network"
    on: Mapping[str, bool] = {
        arm_title(made.arms[-1]).lower(): True,
        stage.toolkit.positions: stage.toolkit.positions != "extend",
        "attention scale": stage.toolkit.attention_scale != 1,
        "text duplication": stage.toolkit.text_copies != 1,
        "half-patch shift": stage.toolkit.half_patch,
        "time shift": stage.large.reshift != 1,
    }
    return ", ".join(name for name, there in on.items() if there)
