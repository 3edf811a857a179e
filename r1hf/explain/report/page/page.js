"use strict";
// Everything that a model wrote reaches the page through textContent: it is shown, never read as HTML.
const page = {};

page.byId = (id) => document.getElementById(id);

page.make = (name, attributes, ...children) => {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) {
    if (key === "text") element.textContent = value;
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
};

// A block of the page's data: base64, gzip, JSON; null where the page has none of its kind.
page.data = async (id) => {
  const holder = page.byId(id);
  if (!holder) return null;
  const text = atob(holder.textContent.trim());
  const bytes = new Uint8Array(text.length);
  for (let at = 0; at < text.length; at += 1) bytes[at] = text.charCodeAt(at);
  holder.remove();
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).json();
};

page.number = (value) => {
  if (value === null || value === undefined) return "–";
  if (Number.isInteger(value)) return value.toLocaleString("en");
  return Math.abs(value) >= 100 ? value.toFixed(1) : String(Number(value.toPrecision(3)));
};

page.percent = (share) => (share === null || share === undefined ? "–" : `${(100 * share).toFixed(1)}%`);

page.colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

page.words = (name) => name.replaceAll("_", " ").replace(/ reward( model)?$/, "");
