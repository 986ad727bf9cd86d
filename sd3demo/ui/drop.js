// A PNG dropped anywhere on the page goes where receipts are read.
() => {
  const carriesFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  document.addEventListener("dragover", (event) => carriesFiles(event) && event.preventDefault());
  document.addEventListener("drop", (event) => {
    if (!carriesFiles(event) || event.target.closest("[data-testid='upload-button'], .upload-container")) return;
    event.preventDefault();
    const box = document.querySelector("#receipt input[type=file]");
    if (!box) return;
    document.querySelector("[data-tab-id=generate]")?.click();
    box.files = event.dataTransfer.files;
    box.dispatchEvent(new Event("change", { bubbles: true }));
  });
}
