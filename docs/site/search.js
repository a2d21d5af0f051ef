// The site's script: the menu on small screens, tabs of languages, and the search, which reads index.js when it is
// first needed. It opens from a folder, so nothing is fetched.
"use strict";
const root = document.currentScript.dataset.root;

const menu = document.getElementById("menu"), nav = document.getElementById("nav");
menu.addEventListener("click", () => menu.setAttribute("aria-expanded", String(nav.classList.toggle("open"))));
nav.querySelector("[aria-current]")?.scrollIntoView({ block: "center" });

function remembered() {
  try { return localStorage.getItem("lang") || "go"; } catch { return "go"; }
}
function choose(lang) {
  try { localStorage.setItem("lang", lang); } catch { /* private windows and folders have no memory */ }
  for (const e of document.querySelectorAll(".tabs button")) e.setAttribute("aria-selected", String(e.dataset.lang === lang));
  for (const e of document.querySelectorAll(".tabs pre")) e.hidden = e.dataset.lang !== lang;
}
for (const b of document.querySelectorAll(".tabs button")) {
  b.addEventListener("click", () => {
    const before = b.getBoundingClientRect().top;
    choose(b.dataset.lang);
    scrollBy(0, b.getBoundingClientRect().top - before); // what was clicked stays where it is
  });
}
choose(remembered());

const box = document.getElementById("q"), list = document.getElementById("results");
let loading;
function index() {
  loading ??= new Promise((done, failed) => {
    const s = document.createElement("script");
    s.src = root + "index.js";
    s.onload = () => done(window.searchIndex.map((e) => ({ ...e, p_: e.p.toLowerCase(), h_: (e.h || "").toLowerCase(), x_: e.x.toLowerCase(), k_: (e.k || "").toLowerCase() })));
    s.onerror = failed;
    document.head.append(s);
  });
  return loading;
}

// stem lets "signals" find "signal", and "activities" find "activity".
const stem = (w) => (w.length > 5 && w.endsWith("ies") ? w.slice(0, -3) : w.length > 3 && w.endsWith("s") && !w.endsWith("ss") ? w.slice(0, -1) : w);

function score(e, words) {
  let sum = 0;
  for (const w of words) {
    let s = 0;
    const begins = (t) => t.split(/[^\p{L}\p{N}]+/u).some((x) => x.startsWith(w));
    if (begins(e.p_)) s += e.h ? 12 : 40;
    if (begins(e.h_)) s += 30;
    if (begins(e.k_)) s += 45;
    const n = e.x_.split(w).length - 1;
    if (n) s += 4 + Math.min(n, 6) + (begins(e.x_) ? 4 : 0);
    if (!s) return 0;
    sum += s;
  }
  if (/^(internals|reference)\//.test(e.u)) sum *= 0.45; // people look for how-to first
  return sum;
}

const escape = (t) => t.replace(/[&<>"]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[c]);
function excerpt(e, words) {
  const at = Math.max(0, ...[Math.min(...words.map((w) => e.x_.indexOf(w)).filter((i) => i >= 0))].filter(Number.isFinite));
  const from = Math.max(0, at - 50);
  let text = escape((from ? "…" : "") + e.x.slice(from, from + 170) + (e.x.length > from + 170 ? "…" : ""));
  for (const w of words) text = text.replace(new RegExp(w.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"), "gi"), "<mark>$&</mark>");
  return text;
}

async function search() {
  const words = box.value.toLowerCase().split(/\s+/).filter(Boolean).map(stem);
  if (!words.length) return show(null);
  const all = await index();
  const found = all.map((e) => [score(e, words), e]).filter(([s]) => s > 0).sort((a, b) => b[0] - a[0]).slice(0, 12);
  show(found.map(([, e]) => `<li role="option"><a href="${root}${escape(e.u)}"><strong>${escape(e.h ? `${e.p} › ${e.h}` : e.p)}</strong><span>${excerpt(e, words)}</span></a></li>`));
}
function show(items) {
  list.hidden = !items;
  box.setAttribute("aria-expanded", String(!!items));
  list.innerHTML = !items ? "" : items.join("") || '<li class="none">Nothing found.</li>';
}
const options = () => [...list.querySelectorAll("[role=option]")];
box.addEventListener("input", search);
box.addEventListener("focus", index);
box.addEventListener("keydown", (e) => {
  const all = options(), at = all.findIndex((o) => o.ariaSelected === "true");
  if (e.key === "ArrowDown" || e.key === "ArrowUp") {
    e.preventDefault();
    const next = all[(at + (e.key === "ArrowDown" ? 1 : at < 0 ? 0 : -1) + all.length) % all.length];
    all.forEach((o) => (o.ariaSelected = String(o === next)));
    next?.scrollIntoView({ block: "nearest" });
  } else if (e.key === "Enter") {
    (all[Math.max(at, 0)]?.querySelector("a"))?.click();
  } else if (e.key === "Escape") {
    show(null);
    box.blur();
  }
});
addEventListener("keydown", (e) => {
  if (e.key === "/" && !/^(INPUT|TEXTAREA)$/.test(document.activeElement.tagName)) {
    e.preventDefault();
    box.focus();
  }
});
addEventListener("click", (e) => {
  if (!e.target.closest(".search")) show(null);
});
const asked = new URLSearchParams(location.search).get("q"); // index.html?q=sagas
if (asked) {
  box.value = asked;
  search();
}
