// A button at each figure that copies a link to it: the state of its tab, and where to look.
() => {
  const OTHERS = ["pictures", "grid-sheet", "path-film", "path-attention", "large-lens", "presets", "sigmas"];

  function button(id) {
    const link = Object.assign(document.createElement("button"), { type: "button", textContent: "Link", title: "Copy a link to this figure" });
    link.dataset.figure = id;
    return link;
  }

  function addLinks() {
    for (const save of document.querySelectorAll(".frame > .save:not(:has([data-figure]))")) save.prepend(button(save.parentElement.id));
    for (const id of OTHERS) {
      const figure = document.getElementById(id);
      if (!figure || figure.querySelector(":scope > .save") || figure.offsetHeight < 40) continue;
      const save = Object.assign(document.createElement("div"), { className: "save" });
      save.append(button(id));
      figure.append(save);
    }
  }
  let due = 0;  // heights are asked for, which costs a layout: a few times a second, and not at every change
  function soon() {
    due ||= setTimeout(() => { due = 0; addLinks(); }, 250);
  }
  new MutationObserver(soon).observe(document.body, { childList: true, subtree: true });
  soon();

  document.addEventListener("click", (event) => {
    const { figure } = event.target.closest?.(".save button")?.dataset ?? {};
    if (figure) window.sd3demo.copy(figure);
  });
}
