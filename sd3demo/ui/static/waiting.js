// The place in the line: gradio tells it beside a status in passing, and here it becomes its words.
() => {
  const told = /queue: (\d+)\/(\d+)/;
  const say = () => {
    for (const text of document.querySelectorAll("[data-testid=status-tracker] .progress-text")) {
      const place = told.exec(text.textContent);
      const words = text.closest(".block")?.querySelector(".progress p > span");
      if (!place || !words) continue;
      const before = Number(place[1]);  // those that wait before this one, and the run that is on
      const said = `In the queue: ${before === 1 ? "one run" : `${before} runs`} before it`;
      if (words.textContent !== said) words.textContent = said;
    }
  };
  new MutationObserver(say).observe(document.body, { subtree: true, childList: true, characterData: true });
}
