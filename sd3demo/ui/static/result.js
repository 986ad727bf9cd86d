// Whether the form still says what the shown picture was made with: its fields are compared with what they held
// when the run was started, or when a file or a link had set them.
() => {
  const FIELDS = "#ask :is(input, textarea), #set :is(input, textarea)";
  const LEFT_OUT = "#reseed, #receipt, #upload-init, #upload-mask, #shape";
  let result = "", held = null, pressed = [];

  function form() {
    const found = {};
    for (const field of document.querySelectorAll(FIELDS)) {
      if (field.type === "file" || field.type === "range" || field.closest(LEFT_OUT)) continue;
      const name = `${field.closest("[id^=set-]")?.id ?? field.name} ${field.type === "radio" ? field.value : ""}`;
      found[name] = field.type === "radio" || field.type === "checkbox" ? field.checked : field.value;
    }
    return found;
  }

  const differs = (one, other) => Object.keys(one).some((name) => name in other && one[name] !== other[name]);

  function compare() {
    const shown = document.querySelector("#pictures [data-result]")?.dataset.result ?? "";
    if (document.querySelector("#status .failed")) pressed = [];  // what was refused shows no result
    if (shown !== result) [result, held] = [shown, pressed.shift() ?? form()];
    document.querySelector("#show")?.classList.toggle("stale", Boolean(result && held && differs(held, form())));
  }

  const later = (...waits) => waits.forEach((wait) => setTimeout(compare, wait));
  const starts = ({ type, key, shiftKey, target }) =>
    type === "click" ? target.closest?.("#generate") : key === "Enter" && !shiftKey && target.closest?.("#set-prompt");
  for (const kind of ["input", "change", "click", "keydown"])
    document.addEventListener(kind, (event) => {
      if (["click", "keydown"].includes(kind) && starts(event)) setTimeout(() => pressed.push(form()), 300);  // with its new seed
      if (event.target.closest?.("#ask, #set")) later(50, 600, 2000);
    });
  const wait = setInterval(() => {
    const place = document.querySelector("#pictures");
    if (!place) return;
    clearInterval(wait);
    new MutationObserver(() => later(200, 900)).observe(place, { childList: true, subtree: true });
  }, 100);
}
