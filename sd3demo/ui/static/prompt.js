// Under the prompt: a known word that is clicked takes the place of the unknown one, and commands can be copied.
() => {
  document.addEventListener("click", (event) => {
    const command = event.target.closest?.("#prompt-note button[data-copy]");
    if (command) {
      navigator.clipboard?.writeText(command.previousElementSibling.textContent);
      command.textContent = "Copied";
      return;
    }
    const choice = event.target.closest?.("#prompt-note button[data-word]");
    const prompt = document.querySelector("#set-prompt textarea");
    if (!choice || !prompt) return;
    const { word, instead } = choice.dataset;
    const at = prompt.value.search(new RegExp(`(?<![\\p{L}\\p{N}])${word}(?![\\p{L}\\p{N}])`, "u"));
    if (at < 0) return;
    prompt.value = prompt.value.slice(0, at) + instead + prompt.value.slice(at + word.length);
    prompt.dispatchEvent(new Event("input", { bubbles: true }));
    prompt.focus();
  });
}
