"""The enlargement with which the Extrapolate tab opens, into assets/larger: `python -m tests.record_larger`.

Native, upsampled, direct and by projected flow, each with its receipt, and the true render of the same scene.
"""

from sd3demo.catalogue import find
from sd3demo.engine import plan
from sd3demo.engine.events import ArmFinished
from sd3demo.engine.run.engine import Engine
from sd3demo.history import receipts_of, to_png
from sd3demo.settings import Resolved, parse
from sd3demo.settings.extrapolation import COMPARED, Extrapolation, method_arms, with_preset
from sd3demo.studies.exam_pictures import local_budget, run_to_end
from sd3demo.ui.extrapolate.compare_view import png
from sd3demo.ui.extrapolate.recorded_pictures import NAMES, place
from sd3demo.ui.extrapolate.true_render import TRUE, distances, true_pixels

PROMPT, SEED, SCALE, MODEL = "a red star left of a blue ring", 7, 4, "tiny"
MOST = 10**6  # bytes of all files


def main() -> None:
    contents, far = enlarged(Engine(), PROMPT, SEED, SCALE, MODEL)
    assert set(contents) == set(NAMES), "the native picture shows no scene of the world; choose another seed"
    assert sum(map(len, contents.values())) < MOST
    place().mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (place() / f"{name}.png").write_bytes(content)
        print(f"{name:<10} {len(content):7} bytes, {far.get(name, 0):.2f} from the true render", flush=True)


def enlarged(
    engine: Engine, prompt: str, seed: int, scale: int, model: str
) -> tuple[dict[str, bytes], dict[str, float]]:
    """The pictures of every compared method as files, and their distances to the true render, if known."""
    asked = {"prompt": prompt, "seed": seed, "scale": scale, "model": model}
    request = with_preset(parse(Extrapolation, asked), "tuned", find(model).family)
    arms = method_arms(request, COMPARED)
    run_plan = plan(arms[request.method], find(model), local_budget("cpu"), arms=arms)
    finished = run_to_end(engine, run_plan)
    requests = {arm.name: arm.request for arm in run_plan.arms}
    contents = {name: _file(requests[name], arm) for name, arm in finished.arms.items()}
    true = true_pixels(finished.arms["native"].pictures[0], run_plan.request.width)
    if true is None:
        return contents, {}
    large = {name: arm.pictures[0] for name, arm in finished.arms.items() if name != "native"}
    return contents | {TRUE: png(true)}, distances(large, true)


def _file(request: Resolved, arm: ArmFinished) -> bytes:
    (receipt,) = receipts_of(request, arm)
    return to_png(arm.pictures[0], receipt)


if __name__ == "__main__":
    main()
