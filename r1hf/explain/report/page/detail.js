"use strict";
// One rollout with its group: what was asked, thought and answered, and what each completion earned beside the others.
const detail = {};

detail.show = (set, one) => {
  const group = detail.group(set, one);
  const parts = [
    page.make("p", {class: "asked"}, page.make("span", {class: "note", text: "asked "}), page.make("bdi", {class: "model-text", text: set.prompts[set.prompt[one]]})),
    ...detail.text(set, one),
    detail.verdict(set, one),
    detail.table(set, group, one),
    page.make("p", {class: "note", text: detail.says(set, group)}),
    page.make("p", {class: "note"}, `${set.place[one]}, step ${set.step[one]} `, detail.again(set.prompts[set.prompt[one]])),
  ];
  page.byId("r-detail").replaceChildren(...parts);
};

// The chat takes the question from behind the #, and sends it only when told to.
detail.again = (question) => {
  if (!question || question.length > 4000 || question.includes("characters left out")) return null;
  return page.make("a", {
    href: `http://127.0.0.1:7860/#ask=${encodeURIComponent(question)}`, target: "_blank", rel: "noopener noreferrer",
    title: "opens the chat of r1hf serve RUN --chat on this machine", text: "ask again in the chat",
  });
};

detail.group = (set, one) => {
  let first = one;
  let last = one;
  while (set.group[first - 1] === set.group[one]) first -= 1;
  while (set.group[last + 1] === set.group[one]) last += 1;
  return Array.from({length: last - first + 1}, (_, place) => first + place);
};

detail.text = (set, one) => {
  const text = set.text[one];
  if (!text.trim()) return [page.make("p", {class: "note", text: "(nothing was written)"})];
  const span = set.think[one];
  if (!span) return [page.make("div", {class: "model-text loose", text})];
  const thought = page.make("details", {class: "thought"},
    page.make("summary", {text: `thinking, ${page.number(span[1] - span[0])} characters`}),
    page.make("div", {class: "model-text thinking", text: text.slice(span[0], span[1])}));
  const before = text.slice(0, span[0]).trim();
  const bare = /^(<think>|\|\s*special_token\s*\|)?$/.test(before);
  const after = text.slice(span[1]).replace(/^\s*<\/think>/, "").replace(/<\/?answer>/g, "").trim();
  return [
    bare ? null : page.make("div", {class: "model-text loose", text: before}),
    thought,
    page.make("div", {class: "model-text final", text: after || "(no answer)"}),
    page.make("details", null, page.make("summary", {text: "as written"}), page.make("pre", {text})),
  ].filter(Boolean);
};

detail.verdict = (set, one) => {
  const line = page.make("p", {class: "badges"}, rollouts.mark(set, one));
  const words = {1: "right", 0: "wrong"}[set.right[one]] || "not judged";
  const said = [words];
  if (set.gold[one] !== null) said.push(`read as “${set.read[one] || "nothing"}”, gold answer “${set.gold[one]}”`);
  else if (set.read[one]) said.push(`read as “${set.read[one]}”`);
  if (set.verifier[one] !== null && set.right[one] !== set.verifier[one])
    said.push(`r1hf's verifier calls it ${set.verifier[one] ? "right" : "wrong"}`);
  if (set.truncated[one] === 1) said.push("cut off at the limit");
  if (set.language[one]) said.push(`mostly ${set.language[one]}`);
  line.append(page.make("span", {text: said.join(" · ")}));
  if (set.reason[one]) line.append(page.make("span", {class: "reason", text: `The reward says: ${set.reason[one]}`}));
  return line;
};

// A reward that says everything by itself is not shown twice.
detail.table = (set, group, one) => {
  const parts = set.rewards.map((name, place) => [page.words(name), set.parts[place]])
    .filter(([, values]) => set.rewards.length > 1 || group.some((at) => values[at] !== set.reward[at]));
  const columns = [...parts, ["reward", set.reward], [set.worked ? "advantage*" : "advantage", set.advantage], [set.unit, rollouts.lengths(set)]];
  const head = page.make("tr", null, page.make("th", {scope: "col", text: "group"}), ...columns.map(([name]) => page.make("th", {scope: "col", text: name})));
  const body = group.map((at, place) => {
    const button = page.make("button", {type: "button", class: "member", "aria-current": at === one ? "true" : false}, rollouts.mark(set, at),
      page.make("span", {text: ` ${place + 1} `}), page.make("bdi", {class: "note", text: (set.read[at] || set.text[at]).slice(0, 24)}));
    button.addEventListener("click", () => detail.show(set, at));
    return page.make("tr", {class: at === one ? "own" : null}, page.make("th", {scope: "row"}, button),
      ...columns.map(([, values]) => page.make("td", {text: page.number(values[at])})));
  });
  const table = page.make("table", {class: "group"}, page.make("thead", null, head), page.make("tbody", null, ...body));
  return page.make("div", {class: "scroll", tabindex: "0", role: "region", "aria-label": "Rewards and advantages of the group"}, table);
};

detail.says = (set, group) => {
  const paid = group.map((at) => set.reward[at]).filter((value) => value !== null);
  const alike = paid.length > 1 && Math.max(...paid) - Math.min(...paid) < 1e-9;
  const lines = [];
  if (group.length < 2) lines.push("Nothing else was logged of its group.");
  else if (alike) lines.push("All of this group earned the same, so nothing is learnt from it.");
  else lines.push("An advantage above zero makes a completion more likely, one below zero less.");
  if (set.worked && group.length > 1) lines.push("* worked out from the rewards shown: the run logged none.");
  return lines.join(" ");
};
