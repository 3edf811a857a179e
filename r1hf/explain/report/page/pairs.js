"use strict";
// Two checkpoints on the same questions: what became right, and what became wrong.
const pairs = {data: null, kind: "up", shown: 20};
const KINDS = [["up", "became right"], ["down", "became wrong"], ["right", "right as before"], ["wrong", "wrong as before"]];

pairs.start = (data) => {
  if (!data) return;
  pairs.data = data;
  const [first, second] = [page.byId("p-first"), page.byId("p-second")];
  for (const choice of [first, second]) {
    data.models.forEach((name) => choice.append(page.make("option", {value: name, text: name})));
    choice.addEventListener("change", pairs.draw);
  }
  first.value = data.models[0];
  second.value = data.models.includes("r1_zero") ? "r1_zero" : data.models[1];
  page.byId("p-browser").hidden = false;
  pairs.draw();
};

pairs.kindOf = (before, after) => {
  if (after > before) return "up";
  if (after < before) return "down";
  return after >= 0.5 ? "right" : "wrong";
};

pairs.draw = () => {
  const {shares} = pairs.data;
  const [first, second] = [page.byId("p-first").value, page.byId("p-second").value];
  const kinds = shares[first].map((before, at) => pairs.kindOf(before, shares[second][at]));
  const counts = Object.fromEntries(KINDS.map(([kind]) => [kind, kinds.filter((one) => one === kind).length]));
  page.byId("p-kinds").replaceChildren(...KINDS.map(([kind, label]) => {
    const button = page.make("button", {type: "button", class: `kind-${kind}`, "aria-pressed": String(kind === pairs.kind)},
      page.make("strong", {text: page.number(counts[kind])}), page.make("span", {text: ` ${label}`}));
    button.addEventListener("click", () => { pairs.kind = kind; pairs.shown = 20; pairs.draw(); });
    return button;
  }));
  page.byId("p-says").textContent = pairs.says(first, second);
  const of = kinds.map((kind, at) => (kind === pairs.kind ? at : -1)).filter((at) => at >= 0);
  const items = of.slice(0, pairs.shown).map((at) => pairs.item(at, first, second));
  const more = page.make("button", {type: "button", class: "more", text: `${page.number(Math.min(20, of.length - pairs.shown))} more`});
  more.addEventListener("click", () => { pairs.shown += 20; pairs.draw(); });
  page.byId("p-list").replaceChildren(...items, ...(of.length > pairs.shown ? [more] : []));
};

pairs.says = (first, second) => {
  if (first === second) return "Choose two different models.";
  const known = pairs.data.differences[`${first} ${second}`];
  const turned = pairs.data.differences[`${second} ${first}`];
  const [change, low, high] = known || [-turned[0], -turned[2], -turned[1]];
  const points = (value) => `${value > 0 ? "+" : ""}${(100 * value).toFixed(1)}`;
  const shown = pairs.data.questions.length;
  const some = shown < pairs.data.total ? ` Below are ${page.number(shown)} of them, evenly chosen.` : "";
  const verdict = low > 0 || high < 0 ? "" : " The interval holds zero: no difference is shown.";
  return `${second} against ${first}: ${points(change)} points of pass@1 (95% interval ${points(low)} to ${points(high)}) on ${page.number(pairs.data.total)} questions.${verdict}${some}`;
};

pairs.item = (at, first, second) => {
  const [question, gold] = pairs.data.questions[at];
  const side = (name, right) => {
    const share = pairs.data.shares[name][at];
    const wanted = right ? pairs.data.right : pairs.data.wrong;
    const other = right ? pairs.data.wrong : pairs.data.right;
    const [text, why] = wanted[name][at] || other[name][at] || ["", ""];
    const good = Boolean(wanted[name][at]) === right;
    return page.make("div", {class: "side"},
      page.make("p", {class: "badges"}, page.make("span", {class: good ? "yes" : "no", text: good ? "✓" : "✗"}),
        page.make("strong", {text: ` ${name}`}), page.make("span", {text: ` ${page.percent(share)} of its samples right${why ? `; this one: ${why}` : ""}`})),
      page.make("div", {class: "model-text loose", text: text || "(nothing)"}));
  };
  const up = pairs.kind === "up" || pairs.kind === "right";
  return page.make("details", {class: "pair-item"},
    page.make("summary", null, page.make("bdi", {text: question}), page.make("span", {class: "note", text: ` ${gold}`})),
    page.make("div", {class: "sides"}, side(first, pairs.kind === "down" || pairs.kind === "right"), side(second, up)));
};
