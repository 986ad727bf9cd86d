// On a narrow screen a section of class `fold` shows its heading alone, as a button that unfolds it; see room.css.
() => {
  const narrow = matchMedia("(max-width: 799px)");

  function update() {
    for (const fold of document.querySelectorAll(".fold")) {
      const heading = fold.querySelector("h2"), button = heading?.querySelector("button");
      if (!heading || Boolean(button) === narrow.matches) continue;
      if (button) {
        heading.replaceChildren(...button.childNodes);
        continue;
      }
      const wrapped = Object.assign(document.createElement("button"), { type: "button" });
      wrapped.append(...heading.childNodes);
      wrapped.setAttribute("aria-expanded", String(fold.classList.contains("unfolded")));
      heading.append(wrapped);
    }
  }

  function unfold(fold, open = true) {
    fold.classList.toggle("unfolded", open);
    fold.querySelector("h2 > button")?.setAttribute("aria-expanded", String(open));
    if (open) for (const plot of fold.querySelectorAll(".js-plotly-plot")) if (plot.checkVisibility()) window.Plotly?.Plots.resize(plot);
  }

  window.sd3demo = Object.assign(window.sd3demo ?? {}, {
    unfold: (element) => {
      const fold = element.closest(".fold:not(.unfolded)");
      if (fold && narrow.matches) unfold(fold);
    },
  });
  document.addEventListener("click", (event) => {
    const fold = event.target.closest?.(".fold h2 > button")?.closest(".fold");
    if (fold) unfold(fold, !fold.classList.contains("unfolded"));
  });
  narrow.addEventListener("change", update);
  new MutationObserver(update).observe(document.body, { childList: true, subtree: true });
  update();
}
