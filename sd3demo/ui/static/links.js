// The address follows the page, and the page the address. What Python does is behind hidden buttons.
() => {
  const current = () => document.querySelector("[role=tab][aria-selected=true]")?.dataset.tabId;
  let copying = false, figure = "", chosen = "";
  let arrived = !location.hash;  // whether Python has set the page by the address
  let coming = { tab: "", until: 0 };  // the tab that a link opens; its place in the bar may take a moment

  function say(text, field) {
    const box = document.querySelector("#copied");
    box.textContent = text;
    if (field) {
      const input = Object.assign(document.createElement("input"), { value: field, readOnly: true });
      input.setAttribute("aria-label", "The link");
      box.append(input);
      input.select();
    }
    clearTimeout(say.timer);
    if (!field) say.timer = setTimeout(() => (box.textContent = ""), 4000);
  }

  async function copy() {
    copying = false;
    const link = location.href + (figure && `${location.hash.includes("?") ? "&" : "?"}figure=${figure}`);
    try {
      await navigator.clipboard.writeText(link);
      say("The link to exactly this state is copied. Files and drawings of your own, and results, are not in it.");
    } catch {
      say("Copy this link:", link);
    }
  }

  function come() {
    arrived = false;
    window.sd3demo.follow?.();
    coming = { tab: location.hash.slice(2).split("?")[0], until: Date.now() + 3000 };
    document.querySelector("#link-open")?.click();
  }

  window.sd3demo = Object.assign(window.sd3demo ?? {}, {
    show(link) {
      if (link.slice(2).split("?")[0] !== current()) return;  // the answer of a tab that was left meanwhile
      link = this.beside?.(link) ?? link;
      if (link !== location.hash) history.replaceState(history.state, "", link);
      if (window.parent !== window)  // a Space shows its page in a frame, and keeps the frame's hash
        window.parent.postMessage({ hash: link }, "https://huggingface.co");
      if (copying) copy();
    },
    arrived: () => arrived,
    renew(came = false) {
      arrived ||= came;
      if (coming.tab !== current() && Date.now() < coming.until) return setTimeout(() => this.renew(), 50);
      coming.until = 0;
      if (!copying && !location.hash && current() === document.querySelector("[role=tab]")?.dataset.tabId) return;
      const button = document.querySelector(`#link-${CSS.escape(current() ?? "")}`);
      if (button) button.click();
      else if (current()) this.show(`#/${current()}`);
    },
    open(link) {
      history.replaceState(history.state, "", link);
      come();
    },
    select(tab) {
      chosen = tab;
      if (current() !== tab) document.querySelector("#tab-open")?.click();
    },
    chosen: () => chosen,
    copy(of = "") {
      [copying, figure] = [true, of];
      this.renew();
    },
  });
  window.addEventListener("hashchange", come);
  document.addEventListener("click", (event) => {
    if (event.target.closest?.("[role=tab], .overflow-dropdown")) coming.until = 0;  // somebody went elsewhere
    const link = event.target.closest?.("a[href^='#/']");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    window.sd3demo.open(link.getAttribute("href"));
  });
}
