// The two buttons below a plot, added to each as it comes: the picture is made here, and the numbers are asked of
// the hidden button of their group, which bears the plot's name.
() => {
  let wanted = "";

  function picture(name) {
    const plot = document.querySelector(`#plot-${CSS.escape(name)} .js-plotly-plot`);
    const width = plot?.layout.yaxis.scaleanchor ? 560 : 900;
    if (plot) Plotly.downloadImage(plot, { format: "png", filename: `sd3demo-${name}`, width, height: 520, scale: 2 });
  }

  window.sd3demo = Object.assign(window.sd3demo ?? {}, {
    wanted: () => wanted,
    numbers(name) {
      wanted = name;
      document.querySelector(`.numbers-${CSS.escape(name)}`)?.click();
    },
    saved(text) {
      const head = text.indexOf("\n");
      const link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob([text.slice(head + 1)], { type: "text/csv" }));
      link.download = `sd3demo-${text.slice(0, head)}.csv`;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    },
  });
  function addButtons() {
    for (const frame of document.querySelectorAll(".frame:not(:has(> .save))")) {
      const name = frame.id.replace(/^plot-/, "");
      const save = document.createElement("div");
      save.className = "save";
      for (const kind of ["csv", "png"]) {
        const button = document.createElement("button");
        Object.assign(button, { type: "button", id: `${kind}-${name}`, textContent: kind.toUpperCase() });
        button.dataset[kind] = name;
        save.append(button);
      }
      frame.append(save);
    }
  }
  new MutationObserver(addButtons).observe(document.body, { childList: true, subtree: true });
  addButtons();

  document.addEventListener("click", (event) => {
    const { csv, png } = event.target.closest?.(".save button")?.dataset ?? {};
    if (csv) window.sd3demo.numbers(csv);
    if (png) picture(png);
  });
}
