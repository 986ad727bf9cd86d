// A number typed beside a slider stays as it was typed, for the sentence that says what is allowed or for a value
// past the slider's end. gradio would put the nearest end in its place when the field is left: a run of 1 step for
// "0", and nobody told.
() => {
  const besideSlider = (field) =>
    field instanceof HTMLInputElement && field.type === "number" && field.closest(".block")?.querySelector("input[type=range]");
  document.addEventListener("blur", (event) => {
    if (besideSlider(event.target)) event.stopImmediatePropagation();
  }, true);
}
