// What gradio and tables leave out. An empty plot is a div with a label, and a label needs a role to be read out;
// a table that scrolls has to be reached by keys.
() => {
  const mend = () => {
    for (const empty of document.querySelectorAll(".empty[aria-label]:not([role])")) empty.setAttribute("role", "img");
    for (const table of document.querySelectorAll(".listing:not([tabindex])")) {
      table.tabIndex = 0;
      table.setAttribute("role", "region");
      table.setAttribute("aria-label", table.querySelector("caption")?.textContent ?? "Table");
    }
  };
  mend();
  new MutationObserver(mend).observe(document.body, { subtree: true, childList: true });
}
