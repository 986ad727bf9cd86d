"""A run of larger pictures as what the page shows: the native one at once, then each as it comes."""

import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from html import escape

from sd3demo.engine import Plan
from sd3demo.engine.events import ArmFinished, Finished, Lifted, Pixels, StageStarted, StepDone
from sd3demo.engine.plan.stages import Arm, FlowStage
from sd3demo.errors import Refusal
from sd3demo.settings import counted
from sd3demo.studies.imax.measures import flat_noise
from sd3demo.ui.extrapolate.compare_view import SMALL, PictureCard, cards, comparison, uri
from sd3demo.ui.extrapolate.plan_view import arm_title, stage_title
from sd3demo.ui.extrapolate.true_render import ABOUT, TITLE, TRUE, TrueRender, nearest_html
from sd3demo.ui.generate.story import done_text, seconds_text, work_seconds
from sd3demo.ui.run.as_code_view import as_code_html
from sd3demo.ui.run.events import run_events
from sd3demo.ui.run.picture_verdicts import verdict_html, verdicts_of
from sd3demo.ui.run.run_status import RunStatus, finished, run_status, running
from sd3demo.ui.run.turns import RunNews
from sd3demo.ui.server.gradio_internals import ServedFile

PREVIOUS = "before"


@dataclass(frozen=True)
class PreviousPicture:
    """The finished picture of the previous run, to compare the next one with."""

    card: PictureCard
    prompt: str
    seed: int
    what: str


@dataclass(frozen=True)
class ExtrapolationView:
    """What a run shows; an empty part leaves what stands on the page."""

    comparison: str = ""
    cards: str = ""
    story: str = ""
    finished: Finished | None = None
    previous: PreviousPicture | None = None


@dataclass
class CardRow:
    """The cards of a run, as far as it is."""

    plan: Plan
    cards: dict[str, PictureCard] = field(default_factory=dict)
    native: Pixels | None = None
    """The native picture, once it is there: where it is flat, noise is measured."""
    key: str = field(default_factory=lambda: secrets.token_hex(4))
    """Tells the browser one run from another."""

    def __post_init__(self) -> None:
        for arm in self.plan.arms:
            request, stage = arm.request, self.plan.stage(arm.stage)
            self.cards[arm.name] = PictureCard(
                arm.name,
                stage_title(self.plan, stage),
                size=(request.width, request.height),
                note="not yet",
                about=ABOUT.get(arm.name, ""),
            )

    @property
    def sharp(self) -> bool:
        return max(self.plan.request.width, self.plan.request.height) <= SMALL

    @property
    def html(self) -> str:
        return cards(tuple(self.cards.values()), self.sharp)

    def arm(self, stage: str) -> Arm:
        """The arm that a run of the solver belongs to: its own, or the one that it is on the way to."""
        return next(arm for arm in self.plan.arms if arm.stage == stage or stage.startswith(f"{arm.name} "))


@dataclass
class WorkDone:
    """How much of a run is done: the last step of each stage that has begun."""

    plan: Plan
    steps: dict[str, StepDone] = field(default_factory=dict)

    @property
    def share(self) -> float:
        """The share of all stages' operations, in [0, 1]."""
        stages = self.plan.flow_stages
        done = sum(stage.flops * self._share_of(stage.key) for stage in stages)
        return done / (sum(stage.flops for stage in stages) or 1)

    def status(self, event: StepDone, title: str) -> RunStatus:
        """Where the run stands after a step: the bar and the time left are those of all stages."""
        spent = sum(step.seconds for step in self.steps.values())
        left = spent / (self.share or 1) - spent
        step, count = event.index + 1, event.count
        text = f"{escape(title)}: step {step} of {count} · {spent:.1f} s, about {left:.1f} s left in all"
        status = running(text, step=step, count=count, t=event.t_next, stage=title)
        return replace(status, share=self.share)

    def _share_of(self, key: str) -> float:
        step = self.steps.get(key)
        return 0.0 if step is None else (step.index + 1) / step.count


def extrapolation_views(
    plan: Plan,
    events: RunNews,
    *,
    write: Callable[[Arm, ArmFinished], ServedFile],
    save: Callable[[Plan, Finished], str],
    previous: PreviousPicture | None,
    truth: Callable[[Plan, Finished], TrueRender | None] = lambda plan, result: None,
) -> Iterator[tuple[RunStatus, ExtrapolationView]]:
    """Where the run stands after each event, and what the page shows then.

    `write` makes a picture's file; where it cannot, the run goes on, is saved, and ends with that Refusal.
    `save` puts the run into the history, and answers with a sentence where it could not. `truth` finds the
    true render of a run that has ended, where there is one. Closing this closes the run. Raises as
    `run_events` does.
    """
    view, row, work = ExtrapolationView(), CardRow(plan), WorkDone(plan)
    status = running("Starting")
    unwritten: Refusal | None = None
    for event in run_events(events):
        match event:
            case StageStarted(stage=stage):
                title = arm_title(row.arm(stage))
                status = replace(running(f"{escape(title)}: starting", stage=title), share=work.share)
            case Lifted(width=width, height=height):
                status = replace(running(f"Upscaled to {width} × {height}"), share=work.share)
            case StepDone(stage=stage):
                arm = row.arm(stage)
                _show_step(row, arm, event)
                work.steps[stage] = event
                status = work.status(event, arm_title(arm))
                view = replace(view, cards=row.html)
            case ArmFinished():
                try:
                    view = _with_picture(view, row, event, write)
                except Refusal as error:
                    unwritten = error
            case Finished():
                note = save(plan, event)
                if unwritten is not None:
                    raise unwritten
                view = _finished_view(view, row, event, previous, truth(plan, event))
                status = finished(done_text(event), note=note)
            case _:
                status = run_status(event) or status
        yield status, view


def _show_step(row: CardRow, arm: Arm, event: StepDone) -> None:
    row.cards[arm.name] = replace(
        row.cards[arm.name],
        source=uri(event.previews[0]),
        note=f"step {event.index + 1} of {event.count}",
        forming=True,
    )


def _with_picture(
    view: ExtrapolationView,
    row: CardRow,
    result: ArmFinished,
    write: Callable[[Arm, ArmFinished], ServedFile],
) -> ExtrapolationView:
    arm = next(arm for arm in row.plan.arms if arm.name == result.arm)
    file = write(arm, result)
    width, height = arm.request.width, arm.request.height
    if row.native is None:
        row.native = result.pictures[0]
    noise = flat_noise(result.pictures[0] / 255, row.native / 255)
    row.cards[arm.name] = replace(
        row.cards[arm.name],
        source=file.source,
        file=file.name,
        note=f"{width} × {height}, {counted(result.calls, 'call')}, {seconds_text(result.seconds)}, "
        f"noise in flat areas {noise:.1f} of 255",
        forming=False,
        verdict=verdict_html(verdicts_of(arm.request, result.pictures)[0]),
    )
    ready = [card for card in row.cards.values() if card.file]
    large = [card for card in ready if card.key != "native"] or ready
    return replace(view, cards=row.html, comparison=comparison(large, large[0].key, large[-1].key, row.key))


def _finished_view(
    view: ExtrapolationView,
    row: CardRow,
    result: Finished,
    previous: PreviousPicture | None,
    true: TrueRender | None,
) -> ExtrapolationView:
    request = row.plan.request
    what = _parts(row.plan)
    if true is not None:
        _show_distances(row, true)
    large = [card for card in row.cards.values() if card.key != "native"]
    first, last = large[0], row.cards[row.plan.arms[-1].name]
    comparable = (
        previous is not None and previous.card.size == last.size and previous.prompt == request.prompt
    )
    if previous is not None and comparable and previous.card.source != last.source:
        large.insert(0, replace(previous.card, key=PREVIOUS, title=f"The previous run ({previous.what})"))
    verdict = nearest_html(true.distances, {card.key: card.title for card in large}) if true else ""
    return replace(
        view,
        cards=row.html,
        comparison=comparison(large, first.key, last.key, row.key),
        story=verdict + story_html(row.plan, result, previous if comparable else None, what),
        finished=result,
        previous=PreviousPicture(last, request.prompt, request.seed, what),
    )


def _show_distances(row: CardRow, true: TrueRender) -> None:
    """Add the true render as the last card, and to the others how far they are from it."""
    for name, far in true.distances.items():
        row.cards[name] = replace(row.cards[name], note=row.cards[name].note + distance_text(far))
    width, height = true.size
    row.cards[TRUE] = PictureCard(
        TRUE,
        TITLE,
        source=true.file.source,
        size=true.size,
        note=f"{width} × {height}",
        file=true.file.name,
        about=ABOUT[TRUE],
    )


def distance_text(far: float | None) -> str:
    """How far a picture is from the true render, as the end of its note."""
    return "" if far is None else f", {far:.2f} of 255 from the true render"


def story_html(plan: Plan, result: Finished, previous: PreviousPicture | None, what: str) -> str:
    """What was done, in a few sentences."""
    request, native = plan.request, plan.stages[0]
    scale = request.width / native.width
    what_of = "Your picture" if plan.own_picture else "One native picture"
    lines = [
        f"{what_of} of {native.width} × {native.height} px and one noise of "
        f"{request.width} × {request.height} px, drawn with seed {request.seed}, made all of these: "
        f"{scale:g} times the side, {scale**2:g} times the pixels.",
    ]
    if ratio := _ratio(plan):
        lines.append(f"A call of the network at the larger size costs {ratio:.1f} times a native one.")
    if previous is not None and previous.what != what:
        lines.insert(0, f"Before: {escape(previous.what)}. Now: {escape(what)}. From the same noise.")
    paragraphs = "".join(f"<p>{line}</p>" for line in lines)
    code = as_code_html(plan.request, weights_sha256=result.weights_sha256)
    seconds = seconds_text(work_seconds(result))
    return (
        f"{paragraphs}<p>{counted(result.calls, 'call')} of the network in {seconds}; planned were "
        f"{plan.calls:,} in about {seconds_text(plan.seconds)}.</p>{code}"
    )


def _ratio(plan: Plan) -> float:
    """Operations of a call at the larger size over those of a native one; 0 where there is none."""
    large = [stage for stage in plan.stages[1:] if isinstance(stage, FlowStage) and not stage.native_visits]
    native = plan.stages[0]
    if not large or not native.calls:
        return 0.0
    return (large[-1].flops / large[-1].calls) / (native.flops / native.calls)


def _parts(plan: Plan) -> str:
    """What is on, in words."""
    stage = plan.stage(plan.arms[-1].stage)
    if not isinstance(stage, FlowStage):
        return "no network"
    on: Mapping[str, bool] = {
        arm_title(plan.arms[-1]).lower(): True,
        stage.toolkit.positions: stage.toolkit.positions != "extend",
        "attention scale": stage.toolkit.attention_scale != 1,
        "text duplication": stage.toolkit.text_copies != 1,
        "half-patch shift": stage.toolkit.half_patch,
        "time shift": stage.large.reshift != 1,
    }
    return ", ".join(name for name, there in on.items() if there)
