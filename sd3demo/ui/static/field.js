// A click on the plot of the exact field moves its point: the coordinates go to a hidden text.
() => {
  document.addEventListener("click", (event) => {
    const plot = event.target.closest?.("#plot-field .js-plotly-plot");
    const area = plot?.querySelector(".nsewdrag");
    const box = document.querySelector("#field-at :is(input, textarea)");
    if (!area || !box) return;
    const { left, top, width, height } = area.getBoundingClientRect();
    const [across, down] = [event.clientX - left, event.clientY - top];
    if (across < 0 || down < 0 || across > width || down > height) return;
    const { xaxis, yaxis } = plot._fullLayout;
    const within = (value) => Math.min(Math.max(value, -3), 3).toFixed(3);
    box.value = `${within(xaxis.p2d(across))},${within(yaxis.p2d(down))}`;
    box.dispatchEvent(new Event("input", { bubbles: true }));
  });
}
