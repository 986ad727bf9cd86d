// What the browser does with a trace: the film under its slider, and the map of attention over the picture.
() => {
  const sd3demo = (window.sd3demo ??= {});
  const looked = { t: null, at: "" };  // the film's t, and step, block, word and patch of the attention

  sd3demo.look = (t, at) => {  // what a link says of them
    const same = looked.t === t && looked.at === at;
    Object.assign(looked, { t, at });
    if (!same) document.querySelectorAll("#paths :is(.film img[hidden], .sight img)").forEach((img) => img.onload());
  };

  const keep = (place, value) => {
    const box = document.querySelector(`${place} :is(input, textarea)`);
    box.value = value;
    box.dispatchEvent(new Event("input", { bubbles: true }));
  };

  const percent = (share) => (100 * share).toFixed(share < 0.0995 ? 1 : 0) + "%";

  sd3demo.film = (inside) => {
    const film = inside.closest(".film");
    const [sheet, slider] = [film.querySelector("img[hidden]"), film.querySelector("input")];
    if (!sheet.naturalWidth) return;
    const times = JSON.parse(film.dataset.times);
    const far = (k) => Math.abs(times[k] - looked.t);
    if (inside.matches("img")) {
      const nearest = () => times.reduce((best, _, k) => (far(k) < far(best) ? k : best), 0);
      slider.value = looked.t === null ? slider.defaultValue : nearest();
    }
    const k = Number(slider.value);
    film.querySelectorAll("canvas").forEach((screen, row) => {
      const { width, height } = screen;
      screen.getContext("2d").drawImage(sheet, k * width, row * height, width, height, 0, 0, width, height);
    });
    film.querySelector("output").textContent = `t = ${times[k].toFixed(2)} · ${k} of ${times.length - 1}`;
  };

  sd3demo.filmed = (slider) => {
    looked.t = JSON.parse(slider.closest(".film").dataset.times)[slider.value];
    keep("#path-t", looked.t);
  };

  sd3demo.play = (button) => {
    const slider = button.closest(".film").querySelector("input");
    if (button.dataset.playing) return void (button.dataset.playing = "");
    if (slider.value === slider.max) slider.value = 0;
    button.dataset.playing = "yes";
    const next = () => {
      const goes = button.isConnected && button.dataset.playing && Number(slider.value) < Number(slider.max);
      button.textContent = goes ? "❚❚" : "▶";
      if (!goes) {
        button.dataset.playing = "";
        return void (button.isConnected && sd3demo.filmed(slider));
      }
      slider.value = Number(slider.value) + 1;
      sd3demo.film(slider);
      setTimeout(next, Math.max(2400 / Number(slider.max), 40));
    };
    next();
  };

  const numbers = new WeakMap();
  const read = (view) => {
    if (!numbers.has(view)) {
      const told = JSON.parse(view.dataset.numbers);
      const bytes = Uint8Array.from(atob(told.maps), (letter) => letter.charCodeAt(0));
      const [, blocks, words, height, width] = told.shape;
      const shares = new Uint16Array(bytes.buffer);
      const share = (step, block, word, patch) =>
        shares[((step * blocks + block) * words + word) * height * width + patch] / 65535;
      numbers.set(view, { ...told, height, width, patches: height * width, share });
      listen(view);
    }
    return numbers.get(view);
  };

  const listen = (view) => {
    const canvas = view.querySelector("canvas");
    const choose = (patch) => {
      canvas.dataset.patch = canvas.dataset.patch === String(patch) ? -1 : patch;
      draw(view);
      sd3demo.attended(view);
    };
    canvas.addEventListener("click", (event) => {
      const { height, width } = read(view);
      const box = canvas.getBoundingClientRect();
      const column = Math.floor(((event.clientX - box.left) / box.width) * width);
      const row = Math.floor(((event.clientY - box.top) / box.height) * height);
      choose(Math.min(row, height - 1) * width + Math.min(column, width - 1));
    });
    canvas.addEventListener("keydown", (event) => {
      const { width, patches } = read(view);
      const move = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -width, ArrowDown: width }[event.key];
      if (event.key === "Escape") canvas.dataset.patch = -1;
      else if (move) canvas.dataset.patch = Math.min(Math.max(Number(canvas.dataset.patch) + move, 0), patches - 1);
      else return;
      event.preventDefault();
      draw(view);
      sd3demo.attended(view);
    });
  };

  sd3demo.attend = (inside) => {
    const view = inside.closest(".attention");
    const pressed = inside.matches(".chips button");
    if (pressed) view.dataset.word = view.dataset.word === inside.dataset.word ? -1 : inside.dataset.word;
    if (inside.matches("img") && looked.at) aim(view);
    draw(view);
    if (pressed) sd3demo.attended(view);
  };

  const aim = (view) => {
    const told = read(view);
    const [step, block, word, patch] = looked.at.split(",").map(Number);
    const set = (name, k) => k >= 0 && (view.querySelector(`input[name=${name}]`).value = k);
    set("step", told.steps.indexOf(step));
    set("block", told.blocks.indexOf(block));
    if (word < told.words.length) view.dataset.word = word;
    if (patch < told.patches) view.querySelector("canvas").dataset.patch = patch;
  };

  sd3demo.attended = (inside) => {
    const view = inside.closest(".attention");
    const told = read(view);
    const dial = (name) => told[`${name}s`][view.querySelector(`input[name=${name}]`).value];
    looked.at = [dial("step"), dial("block"), view.dataset.word, view.querySelector("canvas").dataset.patch].join();
    keep("#path-at", looked.at);
  };

  const draw = (view) => {
    const told = read(view);
    const dial = (name) => Number(view.querySelector(`input[name=${name}]`).value);
    const [step, block, word] = [dial("step"), dial("block"), Number(view.dataset.word)];
    const patch = Number(view.querySelector("canvas").dataset.patch);
    const all = told.words.map((_, u) => u);
    const every = Array.from({ length: told.patches }, (_, p) => p);
    const on = (u, p) => told.share(step, block, u, p);
    const map = every.map((p) => (word < 0 ? all.reduce((sum, u) => sum + on(u, p), 0) : on(word, p)));
    const mean = (u) => every.reduce((sum, p) => sum + on(u, p), 0) / told.patches;
    const weights = all.map((u) => (patch < 0 ? mean(u) : on(u, patch)));

    spot(view.querySelector("canvas"), told, map, patch);
    const most = Math.max(...weights) || 1;
    for (const chip of view.querySelectorAll(".chips button")) {
      const weight = weights[chip.dataset.word];
      chip.querySelector("small").textContent = percent(weight);
      chip.style.setProperty("--share", `${(100 * weight) / most}%`);
      chip.setAttribute("aria-pressed", String(Number(chip.dataset.word) === word));
    }
    for (const head of view.querySelectorAll("h4")) {
      const own = all.filter((u) => told.encoders[u] === head.dataset.encoder);
      head.querySelector("small").textContent = percent(own.reduce((sum, u) => sum + weights[u], 0));
    }
    const outputs = view.querySelectorAll(".dials output");
    outputs[0].textContent = `${told.steps[step]}, t = ${told.times[step].toFixed(2)}`;
    outputs[1].textContent = `${told.blocks[block]}`;
    view.querySelector(".said").textContent = said(told, map, weights, word, patch);
  };

  const spot = (canvas, told, map, patch) => {
    const scale = Math.max(Math.floor(512 / Math.max(told.height, told.width)), 4);
    [canvas.width, canvas.height] = [told.width * scale, told.height * scale];
    const pen = canvas.getContext("2d");
    const most = Math.max(...map) || 1;
    map.forEach((share, p) => {
      pen.fillStyle = `rgb(10 8 6 / ${0.76 * (1 - share / most)})`;
      pen.fillRect((p % told.width) * scale, Math.floor(p / told.width) * scale, scale, scale);
    });
    if (patch < 0) return;
    pen.lineWidth = Math.max(scale / 12, 2);
    pen.strokeStyle = "#ffffff";
    const [x, y] = [(patch % told.width) * scale, Math.floor(patch / told.width) * scale];
    pen.strokeRect(x + pen.lineWidth / 2, y + pen.lineWidth / 2, scale - pen.lineWidth, scale - pen.lineWidth);
  };

  const said = (told, map, weights, word, patch) => {
    const name = (u) => `“${told.words[u]}” (${told.encoders[u]})`;
    const text = weights.reduce((sum, weight) => sum + weight, 0);
    if (patch >= 0) {
      const order = weights.map((_, u) => u).sort((a, b) => weights[b] - weights[a]);
      const first = order.slice(0, 3).map((u) => `${name(u)} ${percent(weights[u])}`);
      const where = `row ${Math.floor(patch / told.width) + 1}, column ${(patch % told.width) + 1}`;
      return `The patch in ${where} gives the text ${percent(text)} of its attention and the picture the rest. ` +
        `Most of it goes to ${first.join(", ")}.`;
    }
    const average = map.reduce((sum, share) => sum + share, 0) / map.length;
    const of = word < 0 ? "the whole text" : name(word);
    return `Patches give ${of} ${percent(average)} of their attention on average; the brightest gives ` +
      `${percent(Math.max(...map))}. All words together get ${percent(text)}, the picture itself the rest.`;
  };
}
