/* What Gradio leaves to the page: copying without the marks of defang.py, names and keys of the folds, Escape. */
(() => {
  const MARK = "\u2060";
  const clean = (text) =>
    text
      .replace(/\u2217\u2060/g, "*")
      .replace(/\u2060/g, "")
      .replace(/(?:assistant: )?<div class="r1-foot[^>]*>[\s\S]*?<\/div>\n*/g, "")
      .trim();

  if (navigator.clipboard) {
    const write = navigator.clipboard.writeText.bind(navigator.clipboard);
    navigator.clipboard.writeText = (text) => write(clean(String(text)));
  }
  document.addEventListener("copy", (event) => {
    const text = String(document.getSelection());
    if (text.includes(MARK) && event.clipboardData) {
      event.clipboardData.setData("text/plain", clean(text));
      event.preventDefault();
    }
  });

  // A fold opens and closes at once. Gradio lets it slide: sixty pictures a second, each with a new layout of the page.
  const animate = Element.prototype.animate;
  Element.prototype.animate = function (frames, options) {
    const within = this.closest("#r1-chat") && options && typeof options === "object";
    return animate.call(this, frames, within ? { ...options, duration: 0, delay: 0 } : options);
  };

  const foldOf = (target) => target.closest && target.closest(".thought-group .title[role=button]");
  const set = (element, name, value) => {
    if (element.getAttribute(name) !== value) element.setAttribute(name, value);
  };
  const mend = () => {
    for (const fold of document.querySelectorAll(".thought-group .title[role=button]")) {
      set(fold, "aria-expanded", String(fold.classList.contains("expanded")));
      for (const arrow of fold.querySelectorAll("button")) {
        set(arrow, "tabindex", "-1"); // it does what the fold does, and has no name
        set(arrow, "aria-hidden", "true");
      }
    }
    for (const message of document.querySelectorAll('[data-testid=bot][aria-label*="r1-foot"]')) {
      message.removeAttribute("aria-label"); // it would read out the markup
    }
    for (const sidebar of document.querySelectorAll(".sidebar")) {
      const content = sidebar.querySelector(".sidebar-content");
      if (content) content.inert = !sidebar.classList.contains("open");
      const toggle = sidebar.querySelector(".toggle-button");
      if (toggle) set(toggle, "aria-expanded", String(sidebar.classList.contains("open")));
    }
  };
  // #ask=…, as a report links to it: the question is put into the box, and sent by whoever reads it. Behind the #, so no
  // server's log has it.
  const questionOf = () => new URLSearchParams(location.hash.slice(1)).get("ask");
  let asked = questionOf();
  window.addEventListener("hashchange", () => {
    asked = questionOf();
    putQuestion();
  });
  const putQuestion = () => {
    const box = document.querySelector("#r1-box textarea");
    if (!asked || !box || !document.querySelector("#r1-status .r1-dot")) return;
    box.value = asked.slice(0, 8000);
    asked = null;
    box.dispatchEvent(new Event("input", { bubbles: true }));
    history.replaceState(null, "", location.pathname + location.search);
  };
  let planned = false;
  const mendSoon = () => {
    if (planned) return;
    planned = true;
    requestAnimationFrame(() => {
      planned = false;
      mend();
      putQuestion();
    });
  };
  new MutationObserver(mendSoon).observe(document.documentElement, {
    subtree: true,
    childList: true,
    attributes: true,
    attributeFilter: ["class"],
  });

  // Enter that ends the writing of a Chinese word sends nothing.
  window.addEventListener(
    "keydown",
    (event) => {
      if (event.key === "Enter" && (event.isComposing || event.keyCode === 229)) event.stopImmediatePropagation();
    },
    true,
  );

  document.addEventListener("keydown", (event) => {
    if (event.key === " " && foldOf(event.target)) {
      event.preventDefault();
      foldOf(event.target).click();
    }
    if (event.key === "Escape" && !event.isComposing) {
      const shown = (button) => button && button.offsetParent !== null;
      const stop = ["r1-stop", "r1-stages-stop", "r1-vote-stop"].map((id) => document.getElementById(id)).find(shown);
      if (stop) stop.click();
    }
  });

  window.r1Download = (name, text) => {
    if (!text) return;
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  };
})();
