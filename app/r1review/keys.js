/* The keys of the review page. A letter presses the button of its name; in a text field it is a letter. */
(() => {
  const KEYS = {
    a: "rv-do-accept", e: "rv-do-edit", r: "rv-do-reject", u: "rv-do-undo",
    j: "rv-do-next", k: "rv-do-back", ArrowRight: "rv-do-next", ArrowLeft: "rv-do-back",
  };
  const press = (id) => {
    const button = document.getElementById(id);
    if (button && button.offsetParent !== null) button.click();
  };
  const writes = (target) => target.closest && target.closest("input, textarea, select, [contenteditable=true]");

  document.addEventListener("keydown", (event) => {
    if (event.isComposing || event.repeat) return;
    const editing = document.querySelector("#rv-edit-text textarea");
    if (event.key === "Escape" && editing) return press("rv-cancel");
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && editing) {
      event.preventDefault();
      return press("rv-save");
    }
    if (event.ctrlKey || event.metaKey || event.altKey || event.shiftKey || writes(event.target)) return;
    const id = KEYS[event.key];
    if (id && !editing) {
      event.preventDefault();
      press(id);
    }
  });

  // The edit is written where the eyes are, and the next row begins at its top.
  let open = false, shown = "";
  new MutationObserver(() => {
    const field = document.querySelector("#rv-edit-text textarea");
    const now = Boolean(field && field.offsetParent !== null);
    if (now && !open) {
      field.focus();
      field.setSelectionRange(field.value.length, field.value.length);
    }
    if (!now && open && document.activeElement) document.activeElement.blur();
    open = now;
    const head = document.querySelector(".rv-head");
    const key = head ? head.dataset.key : "";
    if (key !== shown && shown) window.scrollTo({ top: 0 });
    shown = key;
  }).observe(document.documentElement, { subtree: true, childList: true });
})();
