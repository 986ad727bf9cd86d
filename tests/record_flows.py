"""The flows of the Flow lab that ship, into assets/flow_lab: `python -m tests.record_flows`.

One file for each of the data: a flow trained with the default settings, and the same after one round of
reflow. It prints what of the samples lies off the data, as the page does.
"""

import torch

from sd3demo.flow.densities import Shifted
from sd3demo.settings import parse
from sd3demo.training.toy_data import POINTS
from sd3demo.training.toy_flow import Flow, independent, measured, reflowed, share_off, train, walk
from sd3demo.training.toy_flow_file import FlowPair, LossHistory, place, read_pair, to_file
from sd3demo.ui.densities.settings import DensitySettings, density
from sd3demo.ui.flow_lab.training import SEED, FlowSettings


def main() -> None:
    settings = parse(FlowSettings, {})
    for name in POINTS:
        pair = trained_pair(name, settings)
        file = place(name)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(to_file(pair))
        read = read_pair(file)
        told = ", ".join(f"{title} {figures(name, flow)}" for title, flow in named(read))
        print(f"{name:<12} {file.stat().st_size} bytes; {told}", flush=True)


def trained_pair(name: str, settings: FlowSettings) -> FlowPair:
    """A flow of these data and the same after one round of reflow, as the page trains them."""
    lab = parse(DensitySettings, settings.model_dump(include={"m", "s", "mode_s"}))
    times = Shifted(density(lab, settings.density), settings.shift)
    flow = Flow()
    lessons = list(train(flow, independent(POINTS[name]), times, steps=settings.steps))
    after = Flow()
    after.load_state_dict(flow.state_dict())
    for _ in train(after, reflowed(flow), times, steps=settings.steps):
        pass
    steps, values = zip(*((lesson.step, lesson.loss) for lesson in lessons), strict=True)
    losses = LossHistory(steps, values, lessons[0].by_t, lessons[-1].by_t)
    return FlowPair(name, settings.model_dump(mode="json"), flow, after, losses)


def named(pair: FlowPair) -> tuple[tuple[str, Flow], ...]:
    return ("trained", pair.trained), ("reflowed", pair.reflowed)


def figures(name: str, flow: Flow) -> str:
    noise = torch.randn((512, 2), generator=torch.Generator().manual_seed(SEED))
    off = share_off(walk(flow, noise, 50)[-1].x_next, POINTS[name])
    return f"straight {float(measured(flow, noise).straightness.mean()):.3f}, off {100 * off:.1f}%"


if __name__ == "__main__":
    main()
