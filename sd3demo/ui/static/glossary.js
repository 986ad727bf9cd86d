// A term of the glossary is a link whose title explains it: shown on hover, on focus and on a tap, closed by Escape.
() => {
  const note = Object.assign(document.createElement("div"), { id: "term-note", role: "tooltip", popover: "manual" });
  let shown = null;

  function term(target) {
    const link = target.closest?.("a[href^='#term-']");
    if (link?.title) {  // the browser's own tooltip would stand beside this one
      link.dataset.says = link.title;
      link.removeAttribute("title");
      link.setAttribute("aria-describedby", "term-note");
    }
    return link;
  }

  function show(link) {
    if (shown === link) return;
    hide();
    shown = link;
    document.querySelector(".gradio-container").append(note);  // whose style sheet it needs
    note.textContent = link.dataset.says;
    note.showPopover();
    place();
  }

  function place() {
    if (!shown) return;
    const [at, box] = [shown.getBoundingClientRect(), note.getBoundingClientRect()];
    const above = at.bottom + box.height + 8 > innerHeight;
    note.style.left = `${Math.max(8, Math.min(at.left, innerWidth - box.width - 8))}px`;
    note.style.top = `${above ? at.top - box.height - 6 : at.bottom + 6}px`;
  }

  function hide() {
    if (shown) note.hidePopover();
    shown = null;
  }

  const on = (kind, does) => document.addEventListener(kind, does, true);
  on("pointerover", (event) => event.pointerType === "mouse" && term(event.target) && show(term(event.target)));
  on("pointerout", (event) => event.pointerType === "mouse" && term(event.target) && hide());
  on("focus", (event) => event.target.closest && term(event.target) && show(term(event.target)));
  on("blur", (event) => event.target.closest && term(event.target) && hide());
  on("scroll", place);
  on("keydown", (event) => event.key === "Escape" && hide());
  on("click", (event) => {
    const link = term(event.target);
    if (!link) return hide();
    event.preventDefault();
    show(link);
  });
}
