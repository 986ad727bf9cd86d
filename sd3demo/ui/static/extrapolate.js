// Two pictures under a slider, moved and enlarged together: by mouse, by touch and by keys.
() => {
  const find = (event) => event.target.closest?.(".lens");
  const get = (lens, name) => parseFloat(lens.style.getPropertyValue(name)) || 0;
  const held = new Map();  // pointers that are down on a stage
  let before = null;

  function cut(lens, percent) {
    const at = Math.min(Math.max(percent, 0), 100);
    lens.style.setProperty("--cut", `${at}%`);
    lens.querySelector(".slide").value = at;
  }

  function view(lens, zoom, x, y) {
    const stage = lens.querySelector(".stage");
    const near = Math.min(Math.max(zoom, 1), Number(lens.dataset.closest));
    const keep = (value, side) => {
      const most = ((near - 1) * side) / 2;
      return Math.min(Math.max(value, -most), most);
    };
    lens.style.setProperty("--zoom", near);
    lens.style.setProperty("--x", `${keep(x, stage.clientWidth)}px`);
    lens.style.setProperty("--y", `${keep(y, stage.clientHeight)}px`);
    lens.classList.toggle("near", near > 1);
    lens.querySelector("output").textContent = `${Number(near.toFixed(1))}×`;
  }

  // Enlarges about a point of the screen, so that what lies there stays there.
  function enlarge(lens, factor, clientX, clientY) {
    const box = lens.querySelector(".stage").getBoundingClientRect();
    const zoom = get(lens, "--zoom") || 1;
    const next = Math.min(Math.max(zoom * factor, 1), Number(lens.dataset.closest));
    const [dx, dy] = [clientX - box.left - box.width / 2, clientY - box.top - box.height / 2];
    const move = (at, d) => d - ((d - at) * next) / zoom;
    view(lens, next, move(get(lens, "--x"), dx), move(get(lens, "--y"), dy));
  }

  function middle(lens, factor) {
    const box = lens.querySelector(".stage").getBoundingClientRect();
    enlarge(lens, factor, box.left + box.width / 2, box.top + box.height / 2);
  }

  document.addEventListener("input", (event) => {
    const lens = find(event);
    if (lens && event.target.matches(".slide")) cut(lens, Number(event.target.value));
  });

  document.addEventListener("change", (event) => {
    const lens = find(event);
    if (!lens || !event.target.matches("select[data-side]")) return;
    const image = lens.querySelector(event.target.dataset.side === "left" ? ".over img" : ".under img");
    image.src = event.target.value;
    image.alt = event.target.selectedOptions[0].textContent;
  });

  document.addEventListener("click", (event) => {
    const lens = find(event);
    const how = event.target.dataset?.zoom;
    if (!lens || !how) return;
    if (how === "all") view(lens, 1, 0, 0);
    else middle(lens, how === "in" ? 2 : 0.5);
  });

  document.addEventListener("wheel", (event) => {
    const lens = event.target.closest?.(".stage") && find(event);
    if (!lens || !(event.ctrlKey || event.metaKey || lens.classList.contains("near"))) return;
    event.preventDefault();
    enlarge(lens, Math.exp(-event.deltaY / 300), event.clientX, event.clientY);
  }, { passive: false });

  document.addEventListener("keydown", (event) => {
    if (!event.target.matches?.(".lens .stage")) return;
    const lens = find(event);
    const [dx, dy] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key] ?? [0, 0];
    if (event.key === "+" || event.key === "=") middle(lens, 2);
    else if (event.key === "-") middle(lens, 0.5);
    else if (event.key === "0") view(lens, 1, 0, 0);
    else if ((dx || dy) && lens.classList.contains("near")) {
      view(lens, get(lens, "--zoom"), get(lens, "--x") - 40 * dx, get(lens, "--y") - 40 * dy);
    } else if (dx) cut(lens, get(lens, "--cut") + 2 * dx);
    else return;
    event.preventDefault();
  });

  document.addEventListener("pointerdown", (event) => {
    const stage = event.target.closest?.(".lens .stage");
    if (!stage) return;
    held.set(event.pointerId, event);
    before = null;
    const lens = find(event);
    const box = stage.getBoundingClientRect();
    const edge = box.left + (box.width * get(lens, "--cut")) / 100;
    stage.dataset.grip = lens.classList.contains("near") && Math.abs(event.clientX - edge) > 24 ? "pan" : "cut";
    if (event.pointerType === "mouse") stage.setPointerCapture(event.pointerId);
  });

  document.addEventListener("pointermove", (event) => {
    const last = held.get(event.pointerId);
    const lens = last && find(last);
    if (!lens) return;
    held.set(event.pointerId, event);
    const stage = lens.querySelector(".stage");
    if (held.size === 2) {
      const [one, two] = [...held.values()];
      const apart = Math.hypot(one.clientX - two.clientX, one.clientY - two.clientY);
      if (before) enlarge(lens, apart / before, (one.clientX + two.clientX) / 2, (one.clientY + two.clientY) / 2);
      before = apart;
    } else if (stage.dataset.grip === "pan") {
      const [dx, dy] = [event.clientX - last.clientX, event.clientY - last.clientY];
      view(lens, get(lens, "--zoom"), get(lens, "--x") + dx, get(lens, "--y") + dy);
    } else {
      const box = stage.getBoundingClientRect();
      cut(lens, (100 * (event.clientX - box.left)) / box.width);
    }
  });

  for (const end of ["pointerup", "pointercancel"]) {
    document.addEventListener(end, (event) => {
      held.delete(event.pointerId);
      before = null;
    });
  }
}
