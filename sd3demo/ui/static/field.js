// A click on the plot of the exact field moves its point: the coordinates are asked for by a hidden button.
() => {
  let point = "";
  window.sd3demo = Object.assign(window.sd3demo ?? {}, { point: () => point });
  document.addEventListener("click", (event) => {
    const plot = event.target.closest?.("#plot-field .js-plotly-plot");
    const area = plot?.querySelector(".nsewdrag");
    if (!area) return;
    const { left, top, width, height } = area.getBoundingClientRect();
    const [across, down] = [event.clientX - left, event.clientY - top];
    if (across < 0 || down < 0 || across > width || down > height) return;
    const { xaxis, yaxis } = plot._fullLayout;
    const within = (value) => Math.min(Math.max(value, -3), 3).toFixed(2);
    point = `${within(xaxis.p2d(across))},${within(yaxis.p2d(down))}`;
    document.querySelector("#field-move")?.click();
  });
}
