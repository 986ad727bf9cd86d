// Particles on their way from noise to data, moved along the paths that the server sent, several flows side by side.
() => {
  const sd3demo = (window.sd3demo ??= {});
  const SWEEP = 4200, REST = 1400, TURNS = 3;  // milliseconds from t = 1 to 0 and at 0; how often it plays by itself
  const GREEN = "#1d957d", GREY = "#8a8379", BLUE = "#3a86c8";
  const chosen = { count: "50", t: 1, plays: false, left: 0 };  // stays as the visitor set it when a flow is replaced
  const read = new WeakMap();

  const numbers = (text) => new Int16Array(Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer);

  function told(view) {
    const text = view.dataset.told;  // gradio may keep the element and change what it is told
    if (read.get(view)?.text !== text) {
      const held = JSON.parse(text);
      const sides = held.sides.filter((side) => Object.keys(side).length)
        .map((side) => Object.fromEntries(Object.entries(side).map(([count, text]) => [count, numbers(text)])));
      read.set(view, { ...held, text, data: numbers(held.data), sides });
    }
    return read.get(view);
  }

  // The place of particle p at t, between the stops of its path; x and y in parts of the edge.
  function place(path, particles, t, p) {
    const moves = path.length / (2 * particles) - 1;
    const along = (1 - t) * moves;
    const k = Math.min(Math.floor(along), moves - 1), part = along - k;
    const [from, to] = [2 * (k * particles + p), 2 * ((k + 1) * particles + p)];
    return [0, 1].map((axis) => (path[from + axis] * (1 - part) + path[to + axis] * part) / 32767);
  }

  function draw(view) {
    const held = told(view);
    const dark = document.body.classList.contains("dark");
    view.querySelectorAll("canvas").forEach((canvas, index) => {
      const pen = canvas.getContext("2d"), side = canvas.width;
      const path = held.sides[index][chosen.count];
      const at = ([x, y]) => [(1 + x) * side / 2, (1 - y) * side / 2];
      const dot = ([x, y], radius) => { pen.beginPath(); pen.arc(x, y, radius, 0, 7); pen.fill(); };
      pen.clearRect(0, 0, side, side);
      pen.fillStyle = GREY;
      pen.globalAlpha = dark ? 0.5 : 0.4;
      for (let k = 0; k < held.data.length; k += 2) {
        const [x, y] = at([held.data[k] / 32767, held.data[k + 1] / 32767]);
        pen.fillRect(x - 2.5, y - 2.5, 5, 5);
      }
      pen.strokeStyle = GREEN;
      pen.lineWidth = 1.6;
      pen.globalAlpha = 0.55;
      const moves = path.length / (2 * held.particles) - 1;
      for (let p = 0; p < held.trails; p += 1) {
        pen.beginPath();
        pen.moveTo(...at(place(path, held.particles, 1, p)));
        for (let k = 1; k < moves && 1 - k / moves > chosen.t; k += 1) pen.lineTo(...at(place(path, held.particles, 1 - k / moves, p)));
        pen.lineTo(...at(place(path, held.particles, chosen.t, p)));
        pen.stroke();
      }
      pen.globalAlpha = 0.9;
      pen.fillStyle = BLUE;
      for (let p = 0; p < held.trails; p += 1) dot(at(place(path, held.particles, 1, p)), 2.4);
      pen.fillStyle = GREEN;
      for (let p = 0; p < held.particles; p += 1) dot(at(place(path, held.particles, chosen.t, p)), 4.4);
      pen.globalAlpha = 1;
    });
    view.querySelector("output").textContent = `t = ${chosen.t.toFixed(2)}`;
    view.querySelector("input").value = 1000 * (1 - chosen.t);
    const button = view.querySelector(".reel button");
    button.textContent = chosen.plays ? "❚❚" : "▶";
    button.setAttribute("aria-label", chosen.plays ? "Pause" : "Play");
    for (const each of view.querySelectorAll("[data-count]")) each.setAttribute("aria-pressed", String(each.dataset.count === chosen.count));
  }

  let last = 0, rests = 0, drawn = null, moves = false;

  function step(now) {
    moves = chosen.plays && drawn?.isConnected;
    if (!moves) return;
    if (drawn.offsetParent === null) return void setTimeout(requestAnimationFrame, 500, step);  // another tab is open
    const passed = Math.min(now - last, 100);
    last = now;
    if (chosen.t > 0) chosen.t = Math.max(chosen.t - passed / SWEEP, 0);
    else if ((rests += passed) > REST) {
      rests = 0;
      chosen.left -= 1;
      if (chosen.left > 0) chosen.t = 1;
      else chosen.plays = false;
    }
    draw(drawn);
    requestAnimationFrame(step);
  }

  function play(view, turns) {
    Object.assign(chosen, { plays: turns > 0, left: turns });
    drawn = view;
    draw(view);
    if (moves || !turns) return;
    moves = true;
    last = performance.now();
    requestAnimationFrame(step);
  }

  sd3demo.particles = (image) => {
    const view = image.closest(".particles");
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    if ("live" in view.dataset) chosen.t = 0;  // of a training: where the particles end so far
    else if (!still) chosen.t = 1;
    else chosen.t = 0;
    play(view, still || "live" in view.dataset ? 0 : TURNS);
  };

  sd3demo.playParticles = (button) => {
    if (!chosen.plays && chosen.t <= 0) chosen.t = 1;
    play(button.closest(".particles"), chosen.plays ? 0 : TURNS);
  };

  sd3demo.particleTime = (slider) => {
    chosen.t = 1 - slider.value / 1000;
    play(slider.closest(".particles"), 0);
  };

  sd3demo.particleSteps = (button) => {
    chosen.count = button.dataset.count;
    draw(button.closest(".particles"));
  };

  document.addEventListener("click", (event) => {  // the picture of the particles, all flows side by side
    if (!event.target.closest?.('.save button[data-png="trajectories"]')) return;
    const shown = [...document.querySelectorAll(".particles canvas")];
    if (!shown.length) return;
    const sheet = Object.assign(document.createElement("canvas"), { width: shown.length * shown[0].width, height: shown[0].height });
    shown.forEach((canvas, index) => sheet.getContext("2d").drawImage(canvas, index * canvas.width, 0));
    Object.assign(document.createElement("a"), { href: sheet.toDataURL(), download: "sd3demo-trajectories.png" }).click();
  });
}
