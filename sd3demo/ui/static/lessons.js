// The lessons beside the tabs. All steps stand in the dock; opening one is following its link, by which Python sets the
// page. A step asks for a prediction, presses the tab's own button or uncovers what was recorded, and then answers.
() => {
  const KEY = "sd3demo-lessons";
  let here = { lesson: "", step: 0 }, open = false, saved = {};
  try {
    saved = JSON.parse(localStorage.getItem(KEY)) ?? {};
  } catch {}  // a link to a step needs nothing that was kept
  const dock = () => document.querySelector("#lessons .dock");
  const article = (lesson = here.lesson, step = here.step) =>
    [...(dock()?.querySelectorAll(".dock-step") ?? [])].find((one) => one.dataset.lesson === lesson && +one.dataset.step === step);
  const sheet = (id, css) => {
    const style = document.getElementById(id) ?? document.head.appendChild(Object.assign(document.createElement("style"), { id }));
    style.textContent = css;
  };

  function keep(step, choice) {
    const own = (saved[here.lesson] ??= { step: 1, choices: {} });
    own.step = step;
    if (choice !== undefined) own.choices[step] = choice;
    try {
      localStorage.setItem(KEY, JSON.stringify(saved));
    } catch {}
  }

  function render() {
    document.body.classList.toggle("in-lesson", open);
    const box = dock(), shown = article();
    if (!box) return;
    box.hidden = !open;
    box.classList.toggle("listing-lessons", !shown);
    for (const one of box.querySelectorAll(".dock-step")) one.hidden = one !== shown;
    box.querySelector(".dock-count").textContent = shown ? `${shown.dataset.title} · ${here.step}/${shown.dataset.of}` : "";
    box.querySelector("[data-act=back]").disabled = here.step <= 1;
    box.querySelector("[data-act=next]").hidden = !shown || here.step >= +shown.dataset.of;
    box.querySelector(".dock-all").hidden = !shown || here.step < +shown.dataset.of;
    for (const one of box.querySelectorAll(".dock-resume")) {
      const { lesson, says } = one.dataset, step = saved[lesson]?.step ?? 1;
      one.hidden = step < 2 || !article(lesson, step);
      one.textContent = `${says} ${step}`;
      if (!one.hidden) one.href = article(lesson, step).dataset.link;
    }
    if (shown) keep(here.step);
    if (shown) choose(shown, saved[here.lesson]?.choices[here.step]);
    cover(shown);
  }

  function choose(step, choice) {
    step.querySelectorAll(".dock-choice").forEach((one, k) => one.setAttribute("aria-pressed", String(k === choice)));
    step.querySelector(".dock-run").disabled = choice === undefined;
    step.querySelector(".dock-first").hidden = choice !== undefined;
  }

  // What was recorded is blurred until somebody has said what they expect; a presentation shows the figure alone.
  function cover(step) {
    const look = step && CSS.escape(step.dataset.look);
    const covered = open && step && !step.dataset.press && !step.classList.contains("revealed");
    const answers = `#${look}, .lesson:has(#${look}) .knobs .prose`;  // the text beside a plot says what it shows
    sheet("lesson-cover", covered ? `:is(${answers}) { filter: blur(14px); pointer-events: none; user-select: none; }` : "");
    const path = `.gradio-container :has(#${look})`, others = `${path} > :not(:has(#${look}), #${look}, #lessons, style, script)`;
    const only = `${others} { display: none !important; } ${path} { display: block !important; }`;
    sheet("lesson-only", step && document.body.classList.contains("presenting") ? only : "");
    requestAnimationFrame(() => {  // plotly follows the window's size alone, and cannot draw what is hidden
      for (const plot of document.querySelectorAll(".js-plotly-plot")) if (plot.checkVisibility()) window.Plotly?.Plots.resize(plot);
    });
  }

  function present(on) {
    document.body.classList.toggle("presenting", on && open);
    if (on) dock()?.classList.remove("folded");
    cover(article());
    article()?.querySelector("h3").focus({ preventScroll: true });
  }

  function go(by) {
    const next = article(here.lesson, here.step + by);
    if (next) window.sd3demo.open(next.dataset.link);
  }

  // What Python says of the page arrives first: a button that is pressed before would run what stood there.
  async function run(step) {
    const { press, status, ahead, look } = step.dataset;
    const running = (on) => {
      step.querySelector(".dock-running").hidden = !on;
      step.querySelector(".dock-run").disabled = on;
    };
    step.classList.remove("revealed");
    if (press) {
      running(true);
      await until(() => window.sd3demo.arrived() && document.getElementById(press) && document.getElementById(status));
      if (innerWidth < 1000) lookAt(look);
      if (ahead && !document.querySelector(`#${CSS.escape(look)} .js-plotly-plot`)) await ended(ahead, status);
      await ended(press, status);
      running(false);
    }
    reveal(step);
  }

  const until = (reached) => new Promise((done) => {
    const look = () => (reached() ? done() : setTimeout(look, 100));
    look();
  });

  function ended(button, status) {
    const place = document.getElementById(status);
    return new Promise((done) => {
      const news = new MutationObserver(() => {
        if (place.querySelector("progress") || !place.querySelector(".done, .failed")) return;
        news.disconnect();
        done();
      });
      news.observe(place, { childList: true, subtree: true, characterData: true });
      document.getElementById(button).click();
    });
  }

  function reveal(step) {
    if (step.classList.contains("revealed")) return;
    const place = step.querySelector(".dock-reveal"), answer = step.querySelector("template").content.cloneNode(true);
    place.querySelectorAll(":scope > :not(template)").forEach((one) => one.remove());
    const choice = saved[step.dataset.lesson]?.choices[step.dataset.step], right = +step.dataset.answer;
    const verdict = answer.querySelector(".dock-verdict");
    verdict.textContent = choice === right ? verdict.dataset.right : verdict.dataset.wrong;
    const figures = document.getElementById(step.dataset.quote)?.querySelector("dl.figures"), live = answer.querySelector(".dock-live");
    if (step.dataset.quote && figures) {
      live.append(Object.assign(document.createElement("b"), { textContent: live.dataset.says }), figures.cloneNode(true));
    } else live.remove();
    place.append(answer);
    step.querySelectorAll(".dock-choice").forEach((one, k) => one.classList.toggle("is-right", k === right));
    step.classList.add("revealed");
    cover(step);
    if (step === article()) {
      lookAt(step.dataset.look);
      place.scrollIntoView({ block: "nearest" });
    }
  }

  // Scrolls to an element as soon as it is there, and again while charts above it grow, unless somebody scrolls.
  function lookAt(id, seconds = 60) {
    if (!/^[\w-]+$/.test(id)) return;
    const end = Date.now() + 1000 * seconds;
    let left = 6, moved = false;
    for (const kind of ["wheel", "touchmove", "keydown"]) addEventListener(kind, () => (moved = true), { once: true });
    const look = () => {
      const element = document.getElementById(id);
      if (element) window.sd3demo.unfold(element);
      const there = element?.checkVisibility() && element.getBoundingClientRect().height > 20;
      if (there && left === 6)
        element.animate([{ outline: "3px solid var(--primary-500)", outlineOffset: "4px" }, { outline: "3px solid transparent", outlineOffset: "4px" }], 3000);
      const { top, bottom } = there ? element.getBoundingClientRect() : {};
      const seen = top >= 0 && (bottom < innerHeight || top < innerHeight / 3);
      if (there && !moved && !seen) element.scrollIntoView({ block: element.offsetHeight < innerHeight / 2 ? "center" : "start" });
      if ((there ? --left > 0 : Date.now() < end) && !moved) setTimeout(look, 400);
    };
    look();
  }

  window.sd3demo = Object.assign(window.sd3demo ?? {}, {
    lessons() {
      open = !open || Boolean(here.lesson);
      here = { lesson: "", step: 0 };
      if (open && !dock()) document.body.classList.add("in-lesson"), document.querySelector("#lessons-fill")?.click();
      render();
      this.renew();
    },
    follow() {
      const [tab, query] = location.hash.slice(2).split("?"), asked = new URLSearchParams(query);
      const figure = asked.get("figure");
      if (tab === "lessons" || asked.has("lesson")) {
        const next = { lesson: asked.get("lesson") ?? "", step: Number(asked.get("step") ?? 1) };
        const turned = next.lesson !== here.lesson || next.step !== here.step;
        here = next;
        open = true;
        document.body.classList.add("in-lesson");
        if (dock()) render();
        else document.querySelector("#lessons-fill")?.click();
        if (turned && article()) {
          dock().querySelector(".dock-body").scrollTop = 0;
          article().querySelector("h3").focus({ preventScroll: true });
          if (!figure) lookAt(article().dataset.look);
        }
      }
      if (figure) lookAt(figure);
    },
    beside: (link) => (open && here.lesson ? `${link}${link.includes("?") ? "&" : "?"}lesson=${here.lesson}&step=${here.step}` : link),
  });

  document.addEventListener("click", (event) => {
    const target = event.target.closest?.("#lessons button");
    if (!target) return;
    const step = article();
    if (target.matches(".dock-choice")) {
      const choice = [...step.querySelectorAll(".dock-choice")].indexOf(target);
      keep(here.step, choice);
      choose(step, choice);
    } else if (target.matches(".dock-run")) run(step);
    switch (target.dataset.act) {
      case "back": return go(-1);
      case "next": return go(1);
      case "skip": return reveal(step);
      case "present": return present(true);
      case "leave": return present(false);
      case "fold": return void dock().classList.toggle("folded");
      case "close": open = false;  // falls through
      case "list":
        here = { lesson: "", step: 0 };
        present(false);
        render();
        window.sd3demo.renew();
    }
  });
  document.addEventListener("keydown", (event) => {
    if (!document.body.classList.contains("presenting")) return;
    if (event.key === "Escape") present(false);
    else if (event.target.closest?.("input, textarea, select, [role=slider], [contenteditable]")) return;
    else if (event.key === "ArrowRight") go(1);
    else if (event.key === "ArrowLeft") go(-1);
  });
  const place = () => document.querySelector("#lessons");
  const size = new ResizeObserver(([entry]) => document.body.style.setProperty("--dock", `${Math.ceil(entry.contentRect.height) + 2}px`));
  let seen;
  new MutationObserver(() => {
    if (!dock() || dock() === seen) return;
    seen = dock();
    size.observe(seen);
    render();
    if (article()) lookAt(article().dataset.look);
  }).observe(place() ?? document.body, { childList: true, subtree: true });
  window.sd3demo.follow();
}
