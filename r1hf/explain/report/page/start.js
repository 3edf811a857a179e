"use strict";
// While a run trains the page is written again and again: it reloads, unless somebody is reading a rollout or typing.
page.refresh = (seconds) => {
  const key = `r1hf ${location.pathname}`;
  const kept = sessionStorage.getItem(key);
  if (kept !== null && !location.hash) scrollTo(0, Number(kept));
  setInterval(() => {
    if (page.byId("rollouts")?.contains(document.activeElement) || document.hidden) return;
    sessionStorage.setItem(key, String(scrollY));
    location.reload();
  }, 1000 * seconds);
};

page.start = async () => {
  try {
    const [plots, sets, compared] = await Promise.all(["plots", "rollout-data", "pair-data"].map(page.data));
    if (plots) charts.start(plots);
    rollouts.start(sets);
    pairs.start(compared);
  } catch (error) {
    page.byId("broken").hidden = false;
    throw error;
  } finally {
    document.documentElement.dataset.ready = String(Math.round(performance.now()));
  }
  const seconds = Number(document.body.dataset.refresh || 0);
  if (seconds) page.refresh(seconds);
};

page.start();
