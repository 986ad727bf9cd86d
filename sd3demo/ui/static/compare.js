// The tray and the full screen: a finished picture of any tab has a button for each. Python knows a picture by its
// address; what is open, and how two pictures are shown, is the browser's to know.
() => {
  const PICTURES = ".picture .pane > img:first-child, .card > img, .grid td img", PLACES = ".pane, .card, td";
  const served = (image) => /file=.*\.png$/.test(image?.getAttribute("src") ?? "");
  const tray = () => document.querySelector("#tray .tray");
  const room = () => document.querySelector("#tray .room");
  const pinned = () => JSON.parse(tray()?.dataset.pinned ?? "[]");
  let open = false, mode = "slide", focus = "", before = null, twin = "";

  const button = (name, text, label) => {
    const one = Object.assign(document.createElement("button"), { type: "button", textContent: text, title: label });
    one.dataset.picture = name;
    one.setAttribute("aria-label", label);
    return one;
  };

  function addButtons() {
    for (const image of document.querySelectorAll(PICTURES)) {
      const place = image.closest(PLACES);
      if (!served(image) || place.querySelector(":scope > .picture-acts")) continue;
      const acts = Object.assign(document.createElement("span"), { className: "picture-acts" });
      acts.append(button("pin", "Pin", "Pin this picture to compare it"), button("full", "⤢", "Full screen"));
      place.append(acts);
    }
    showPinned();
  }

  function showPinned() {
    const all = pinned();
    for (const one of document.querySelectorAll("button[data-picture=pin]")) {
      const is = String(all.includes(sourceOf(one)));
      if (one.getAttribute("aria-pressed") !== is) one.setAttribute("aria-pressed", is);
    }
  }

  const imageOf = (inside) => inside.closest(PLACES)?.querySelector("img");
  const sourceOf = (inside) => imageOf(inside)?.getAttribute("src");

  // The room lies over the page, which cannot be reached as long as it is open.
  function show(on) {
    if (on && !room()) return;
    if (on && !open) before = document.activeElement;
    open = on;
    document.body.classList.toggle("comparing", open);
    for (let one = document.querySelector("#tray"); one && !one.matches(".gradio-container"); one = one.parentElement)
      for (const other of one.parentElement.children) if (other !== one) other.inert = open;
    render();
    if (open) (room().querySelector(focus || "[data-act=close]") ?? room().querySelector("[data-act=close]")).focus();
    else before?.focus?.();
  }

  function render() {
    if (!room()) return;
    room().dataset.mode = mode;
    room().classList.toggle("open", open);
    for (const one of room().querySelectorAll("[data-mode]")) one.setAttribute("aria-pressed", one.dataset.mode === mode);
  }

  function tell() {  // the tray was written anew
    if (open && !room()) show(false);
    else if (open) show(true);
    showPinned();
    if (twin && room() && pinned().includes(twin)) {
      twin = "";
      mode = "slide";
      focus = ".stage";
      show(true);
    }
  }

  // A twin that is finished stands among the pictures of the Generate tab, and Python has pinned it.
  function arrived() {
    const pictures = document.querySelector("#pictures .pictures[data-twin]:not([data-seen])");
    const source = pictures?.querySelector("img")?.getAttribute("src");
    if (!source) return;
    pictures.dataset.seen = "yes";
    twin = source;
    window.sd3demo.tray({ act: "refresh" });
  }

  // One picture alone, and the arrow keys to its neighbours.
  const dialog = Object.assign(document.createElement("dialog"), { id: "full-screen" });
  dialog.setAttribute("aria-label", "Picture, full screen");
  dialog.innerHTML = '<img alt=""><p></p><button type="button" data-full="-1" aria-label="Previous picture">‹</button>'
    + '<button type="button" data-full="1" aria-label="Next picture">›</button><button type="button" data-full="0">Close</button>';
  let shown = [], place = 0;

  function full(image) {
    const group = image.closest(".pictures, .cards, .grid, .block") ?? document.body;
    shown = [...group.querySelectorAll("img")].filter((one) => served(one) && !one.matches(".earlier"));
    place = Math.max(shown.indexOf(image), 0);
    document.querySelector(".gradio-container").append(dialog);
    turn(0);
    dialog.showModal();
  }

  function turn(by) {
    place = (place + by + shown.length) % shown.length;
    const [image, picture] = [dialog.querySelector("img"), shown[place]];
    image.src = picture.getAttribute("src");
    image.alt = picture.alt;
    image.className = picture.naturalWidth <= 256 ? "sharp" : "";
    dialog.querySelector("p").textContent = shown.length > 1 ? `${picture.alt} (${place + 1} of ${shown.length})` : picture.alt;
    for (const one of dialog.querySelectorAll("[data-full='-1'], [data-full='1']")) one.hidden = shown.length < 2;
  }

  document.addEventListener("click", (event) => {
    const target = event.target.closest?.("button");
    if (!target) return;
    const { picture, act, full: step, twin: name, source } = target.dataset;
    if (picture === "pin") window.sd3demo.tray({ act: "pin", source: sourceOf(target) });
    else if (picture === "full") full(imageOf(target));
    else if (step === "0") dialog.close();
    else if (step) turn(Number(step));
    else if (name) window.sd3demo.twin({ twin: name, source });
    else if (target.closest("#tray")) {
      if (act === "open") (focus = ""), show(true);
      else if (act === "close") show(false);
      else if (act) window.sd3demo.tray({ act, source });
      else if (target.dataset.mode) {
        mode = target.dataset.mode;
        render();
      }
    }
  });

  document.addEventListener("change", (event) => {
    if (!event.target.matches?.("select[data-pair]")) return;
    const [left, right] = ["left", "right"].map((side) => room().querySelector(`select[data-pair=${side}]`).value);
    focus = `select[data-pair=${event.target.dataset.pair}]`;
    window.sd3demo.tray({ act: "pair", left, right });
  });

  document.addEventListener("keydown", (event) => {
    if (dialog.open && { ArrowLeft: -1, ArrowRight: 1 }[event.key] && shown.length > 1) turn(event.key === "ArrowLeft" ? -1 : 1);
    else if (open && event.key === "Escape" && !dialog.open) show(false);
  });

  window.sd3demo = Object.assign(window.sd3demo ?? {}, { tell });
  let due = 0;
  const soon = () => {
    due ||= setTimeout(() => {
      due = 0;
      addButtons();
      arrived();
      const status = room()?.querySelector(".room-status");
      const said = document.querySelector("#status :is(.progress p, .failed)")?.textContent ?? "";
      if (status && status.textContent !== said) status.textContent = said;
    }, 250);
  };
  new MutationObserver(soon).observe(document.body, { childList: true, subtree: true });
  soon();
}
