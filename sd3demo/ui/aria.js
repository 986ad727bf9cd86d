// An empty plot of gradio's is a div with a label; a label needs a role to be read out.
() => {
  const mend = () => {
    for (const empty of document.querySelectorAll(".empty[aria-label]:not([role])")) empty.setAttribute("role", "img");
  };
  mend();
  new MutationObserver(mend).observe(document.body, { subtree: true, childList: true });
}
