// Whether a tab's form still says what its picture was made with: its fields are compared with what they held when
// the run was started, or when a file or a link had set them.
() => {
  const LEFT_OUT = "#reseed, #receipt, #upload-init, #upload-mask, #shape, #path-compare";
  const TABS = [
    { show: "#show", pictures: "#pictures", form: ["#ask", "#set"], status: "#status", start: "#generate", prompt: "#set-prompt" },
    { show: "#large-show", pictures: "#large-lens", form: ["#large-ask", "#large-set"], status: "#large-status", start: "#large-run, #large-all" },
    { show: "#path-show", pictures: "#path-film", form: ["#path-ask", "#path-set"], status: "#path-status", start: "#path-generate" },
  ];

  const differs = (one, other) => Object.keys(one).some((name) => name in other && one[name] !== other[name]);

  for (const { show, pictures, form: places, status, start, prompt } of TABS) {
    const asks = places.join(", "), fields = places.map((each) => `${each} :is(input, textarea)`).join(", ");
    let result = "", held = null, pressed = [];

    function form() {
      const found = {};
      for (const field of document.querySelectorAll(fields)) {
        if (field.type === "file" || field.type === "range" || field.closest(LEFT_OUT)) continue;
        const place = field.closest("[id^=set-], [id^=large-], [id^=path-]")?.id ?? field.name;
        const ticked = ["radio", "checkbox"].includes(field.type);
        found[`${place} ${ticked ? field.value : ""}`] = ticked ? field.checked : field.value;
      }
      return found;
    }

    function compare() {
      const shown = document.querySelector(`${pictures} [data-result]`)?.dataset.result ?? "";
      if (document.querySelector(`${status} .failed`)) pressed = [];  // what was refused shows no result
      if (shown && shown !== result) [result, held] = [shown, pressed.shift() ?? form()];
      document.querySelector(show)?.classList.toggle("stale", Boolean(result && held && differs(held, form())));
    }

    const later = (...waits) => waits.forEach((wait) => setTimeout(compare, wait));
    const starts = ({ type, key, shiftKey, target }) =>
      type === "click" ? target.closest?.(start) : key === "Enter" && !shiftKey && prompt && target.closest?.(prompt);
    for (const kind of ["input", "change", "click", "keydown"])
      document.addEventListener(kind, (event) => {
        if (["click", "keydown"].includes(kind) && starts(event)) setTimeout(() => pressed.push(form()), 300);  // with its new seed
        if (event.target.closest?.(asks)) later(50, 600, 2000);
      });
    const wait = setInterval(() => {
      const place = document.querySelector(pictures);
      if (!place) return;
      clearInterval(wait);
      new MutationObserver(() => later(200, 900)).observe(place, { childList: true, subtree: true });
    }, 100);
  }
}
