"use strict";
// The browser of rollouts: columns in memory, one pass to filter, and only the rows in view are elements.
const rollouts = {sets: [], set: null, kept: [], at: -1};
const ROW = 46;

rollouts.start = (sets) => {
  if (!sets || !sets.length) return;
  rollouts.sets = sets;
  const choice = page.byId("r-set");
  sets.forEach((set, place) => choice.append(page.make("option", {value: place, text: set.name})));
  choice.parentElement.hidden = sets.length < 2;
  choice.addEventListener("change", () => rollouts.use(Number(choice.value)));
  for (const field of document.querySelectorAll("#r-filters [data-filter]"))
    field.addEventListener("input", () => rollouts.filter());
  page.byId("r-clear").addEventListener("click", rollouts.clear);
  const list = page.byId("r-list");
  list.addEventListener("scroll", rollouts.rows, {passive: true});
  list.addEventListener("keydown", rollouts.key);
  list.addEventListener("click", (event) => {
    const row = event.target.closest("[role=option]");
    if (row) rollouts.pick(Number(row.dataset.at));
  });
  new ResizeObserver(rollouts.rows).observe(list);
  addEventListener("hashchange", rollouts.follow);
  page.byId("r-browser").hidden = false;
  document.querySelector(".more-filters").open = innerWidth > 760;
  rollouts.use(0);
  rollouts.follow();
};

rollouts.use = (place) => {
  const set = rollouts.sets[place];
  rollouts.set = set;
  page.byId("r-set").value = place;
  const shown = set.text.length;
  const some = shown < set.total || !set.whole;
  page.byId("r-note").textContent = (some
    ? `${page.number(shown)} of ${page.number(set.total)} rollouts${set.whole ? "" : " that were read"}: whole groups, spread evenly over the steps. `
    : `All ${page.number(shown)} rollouts. `) + (set.cut.some(Boolean) ? `Longer texts are cut in the middle to ${page.number(set.limit)} characters.` : "");
  const languages = page.byId("r-language");
  const found = [...new Set(set.language)].filter(Boolean).sort();
  languages.replaceChildren(page.make("option", {value: "", text: "any"}), ...found.map((code) => page.make("option", {value: code, text: code})));
  languages.append(page.make("option", {value: "none", text: "no words"}));
  page.byId("r-unit").textContent = set.unit;
  rollouts.filter();
};

rollouts.clear = () => {
  for (const field of document.querySelectorAll("#r-filters [data-filter]")) field.value = "";
  rollouts.filter();
};

rollouts.lengths = (set) => {
  set.length ||= set.unit === "tokens" ? set.tokens : set.text.map((text, at) => text.length + set.cut[at]);
  return set.length;
};

rollouts.haystack = (set) => {
  set.lower ||= set.text.map((text, at) => `${set.prompts[set.prompt[at]]}\n${text}`.toLowerCase());
  return set.lower;
};

rollouts.wanted = () => {
  const value = (id) => page.byId(id).value.trim();
  const bound = (id, otherwise) => (value(id) === "" ? otherwise : Number(value(id)));
  return {
    step: [bound("r-step-low", -Infinity), bound("r-step-high", Infinity)],
    reward: [bound("r-reward-low", -Infinity), bound("r-reward-high", Infinity)],
    length: [bound("r-length-low", -Infinity), bound("r-length-high", Infinity)],
    verdict: value("r-verdict"), language: value("r-language"), sort: value("r-sort"),
    text: value("r-text").toLowerCase(),
  };
};

rollouts.filter = () => {
  const set = rollouts.set;
  const wanted = rollouts.wanted();
  const length = rollouts.lengths(set);
  const lower = wanted.text ? rollouts.haystack(set) : null;
  const within = (value, [low, high]) => (value === null ? low === -Infinity && high === Infinity : value >= low && value <= high);
  const kept = [];
  for (let at = 0; at < set.text.length; at += 1) {
    if (!within(set.step[at], wanted.step) || !within(set.reward[at], wanted.reward) || !within(length[at], wanted.length)) continue;
    if (wanted.verdict && !rollouts.judged(set, at, wanted.verdict)) continue;
    if (wanted.language && (set.language[at] || "none") !== wanted.language) continue;
    if (lower && !lower[at].includes(wanted.text)) continue;
    kept.push(at);
  }
  rollouts.kept = rollouts.sorted(kept, wanted.sort, length);
  const list = page.byId("r-list");
  list.firstElementChild.style.height = `${kept.length * ROW}px`;
  list.scrollTop = 0;
  page.byId("r-count").textContent = `${page.number(kept.length)} fit`;
  rollouts.at = -1;
  if (kept.length) rollouts.pick(0, true);
  else {
    page.byId("r-detail").replaceChildren(page.make("p", {class: "note", text: "No rollout fits. Take a condition away."}));
    rollouts.rows();
  }
};

rollouts.judged = (set, at, verdict) => {
  if (verdict === "cut") return set.truncated[at] === 1;
  if (verdict === "none") return set.right[at] === null;
  return set.right[at] === (verdict === "right" ? 1 : 0);
};

rollouts.sorted = (kept, order, length) => {
  if (!order) return kept;
  const [name, direction] = order.split(" ");
  const values = {reward: rollouts.set.reward, advantage: rollouts.set.advantage, step: rollouts.set.step, length}[name];
  const sign = direction === "down" ? -1 : 1;
  return kept.sort((one, two) => sign * ((values[one] ?? Infinity * sign) - (values[two] ?? Infinity * sign)) || one - two);
};

rollouts.rows = () => {
  const list = page.byId("r-list");
  const canvas = list.firstElementChild;
  const first = Math.max(0, Math.floor(list.scrollTop / ROW) - 4);
  const last = Math.min(rollouts.kept.length, Math.ceil((list.scrollTop + list.clientHeight) / ROW) + 4);
  const made = [];
  for (let at = first; at < last; at += 1) made.push(rollouts.row(at));
  canvas.replaceChildren(...made);
  list.setAttribute("aria-activedescendant", rollouts.at >= first && rollouts.at < last ? `r-${rollouts.at}` : "");
};

rollouts.row = (at) => {
  const set = rollouts.set;
  const one = rollouts.kept[at];
  const row = page.make("div", {
    role: "option", id: `r-${at}`, class: "row", "data-at": at, "aria-selected": at === rollouts.at ? "true" : "false",
    "aria-setsize": rollouts.kept.length, "aria-posinset": at + 1,
  });
  row.style.top = `${at * ROW}px`;
  const length = set.unit === "tokens" ? set.tokens[one] : set.text[one].length + set.cut[one];
  const size = length === null ? "" : `, ${page.number(length)} ${set.unit === "tokens" ? "tokens" : "characters"}`;
  row.append(
    page.make("span", {class: "row-head"}, rollouts.mark(set, one),
      page.make("span", {text: ` reward ${page.number(set.reward[one])}`}),
      page.make("span", {class: "note", text: `step ${set.step[one]}${size}`})),
    page.make("span", {class: "row-text", text: set.text[one].slice(0, 160)}),
  );
  return row;
};

rollouts.mark = (set, one) => {
  const right = set.right[one];
  const [css, sign, label] = right === 1 ? ["yes", "✓", "right"] : right === 0 ? ["no", "✗", "wrong"] : ["unknown", "○", "not judged"];
  return page.make("span", {class: css, text: sign, role: "img", "aria-label": label});
};

rollouts.pick = (at, quiet) => {
  const list = page.byId("r-list");
  rollouts.at = Math.max(0, Math.min(rollouts.kept.length - 1, at));
  const top = rollouts.at * ROW;
  if (top < list.scrollTop) list.scrollTop = top;
  else if (top + ROW > list.scrollTop + list.clientHeight) list.scrollTop = top + ROW - list.clientHeight;
  rollouts.rows();
  detail.show(rollouts.set, rollouts.kept[rollouts.at], quiet);
};

rollouts.key = (event) => {
  const many = Math.max(1, Math.floor(page.byId("r-list").clientHeight / ROW) - 1);
  const moves = {ArrowDown: 1, ArrowUp: -1, j: 1, k: -1, PageDown: many, PageUp: -many, Home: -Infinity, End: Infinity};
  if (event.key === "Enter") page.byId("r-detail").focus();
  else if (event.key in moves) rollouts.pick(Math.min(rollouts.kept.length - 1, Math.max(0, rollouts.at + moves[event.key])));
  else return;
  event.preventDefault();
};

// #rollout/STAGE/PLACE, as the health panel links to it.
rollouts.follow = () => {
  const found = /^#rollout\/(.+)\/(\d+)$/.exec(decodeURIComponent(location.hash));
  const place = found ? rollouts.sets.findIndex((set) => set.name === found[1]) : -1;
  if (place < 0) return;
  for (const field of document.querySelectorAll("#r-filters [data-filter]")) field.value = "";
  rollouts.use(place);
  rollouts.pick(Number(found[2]));
  page.byId("rollouts").scrollIntoView();
};
