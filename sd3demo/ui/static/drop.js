// A file dropped anywhere goes where receipts are read: to the check where that is open, else to the form.
() => {
  const carriesFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  const patience = 3000;  // milliseconds until a tab that was never open is there

  async function found(selector) {
    for (const until = Date.now() + patience; Date.now() < until; ) {
      const box = document.querySelector(selector);
      if (box) return box;
      await new Promise((resolve) => setTimeout(resolve, 30));
    }
  }

  document.addEventListener("dragover", (event) => carriesFiles(event) && event.preventDefault());
  document.addEventListener("drop", async (event) => {
    if (!carriesFiles(event) || event.target.closest("[data-testid='upload-button'], .upload-container")) return;
    event.preventDefault();
    const files = event.dataTransfer.files;  // the event forgets them once this waits
    const checks = document.querySelector("[role=tab][aria-selected=true]")?.dataset.tabId === "verify";
    if (!checks) window.sd3demo.select("generate");
    const box = await found(checks ? "#verify-file input[type=file]" : "#receipt input[type=file]");
    if (!box) return;
    box.files = files;
    box.dispatchEvent(new Event("change", { bubbles: true }));
  });
}
