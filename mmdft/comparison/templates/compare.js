"use strict";
// Unpacks the items, filters them, and shows one at a time. The list has rows for what is in view
// only: there may be ten thousand items. All text goes in as text, never as markup.
(async () => {
  const $ = (id) => document.getElementById(id);
  const state = $("state"), list = $("list"), rows = $("rows"), pane = $("item");
  const fields = ["search", "benchmark", "show", "category", "rules"].map($);
  const [search, benchmark, show, category, rules] = fields;
  const ROW = 40;
  const WORDS = { c: "right", w: "wrong", n: "no answer", u: "not scored" };
  const MARKS = { c: "✓", w: "✗", n: "–", u: "?" };

  if (typeof DecompressionStream === "undefined") {
    state.textContent = "This browser cannot unpack the items; a newer one can.";
    return;
  }
  const text = atob($("data").textContent);
  const packed = new Uint8Array(text.length);
  for (let at = 0; at < text.length; at += 1) packed[at] = text.charCodeAt(at);
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  const { runs, baseline, images, benchmarks, items } = await new Response(stream).json();
  $("data").remove();
  const others = runs.map((_, place) => place).filter((place) => place !== baseline);

  const element = (name, options = {}, ...children) => {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(options)) {
      if (key in made) made[key] = value;
      else made.setAttribute(key, value);
    }
    made.append(...children);
    return made;
  };
  const option = (value, text) => element("option", { value, textContent: text });

  // --- what is true of an item ---

  const ruleOf = (item) => Math.max(0, benchmarks[item.b].rules.indexOf(rules.value));
  const letters = (item, run) => item.a[run].map((answer) => answer.v[ruleOf(item)]);
  const some = (item, test) => item.a.some((answers) => answers.some(test));

  // The share of right answers among those that could be scored; null where there are none.
  function share(item, run) {
    const scored = letters(item, run).filter((letter) => letter !== "u");
    return scored.length ? scored.filter((letter) => letter === "c").length / scored.length : null;
  }

  function change(item, run) {
    const a = share(item, baseline), b = share(item, run);
    return a === null || b === null ? 0 : Math.sign(b - a);
  }

  const every = (item, value) => runs.every((_, run) => share(item, run) === value);
  const SHOW = [
    ["", "All items", () => true],
    ["flipped", "Flipped", (item) => others.some((run) => change(item, run) !== 0)],
    ...others.flatMap((run) => [
      [`won ${run}`, `${runs[run]}: won`, (item) => change(item, run) > 0],
      [`lost ${run}`, `${runs[run]}: lost`, (item) => change(item, run) < 0],
    ]),
    ["right", "All runs right", (item) => every(item, 1)],
    ["wrong", "No run right", (item) => every(item, 0)],
    ["none", "No answer", (item) => some(item, (answer) => answer.v[ruleOf(item)] === "n")],
    ["unscored", "Not scored", (item) => some(item, (answer) => answer.v[ruleOf(item)] === "u")],
    ["cut", "Cut off", (item) => some(item, (answer) => answer.t)],
  ];

  const plain = (text) => text.toLowerCase().replace(/\s+/g, " ");
  function textOf(item) {
    item.text ??= plain(
      [item.id, item.q, item.g ?? "", ...item.c, ...item.a.flat().map((answer) => answer.r)].join("\n"),
    );
    return item.text;
  }

  // --- filters ---

  let shown = items;
  let current = null;

  function fillCategories() {
    const chosen = category.value;
    const places = benchmark.value === "" ? [] : [Number(benchmark.value)];
    if (benchmarks.length === 1) places.splice(0, 1, 0);
    category.replaceChildren(option("", "All categories"));
    for (const place of places) {
      benchmarks[place].keys.forEach((key, at) => {
        const found = new Set();
        for (const item of items) if (item.b === place) found.add(item.k[at]);
        if (found.size < 2) return;
        const group = element("optgroup", { label: key });
        const order = [...found].sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
        for (const value of order) group.append(option(JSON.stringify([at, value]), value || "(none)"));
        category.append(group);
      });
    }
    category.value = chosen;
    if (category.selectedIndex < 0) category.value = "";
    category.parentElement.hidden = category.options.length < 2;
  }

  function apply() {
    const wanted = plain(search.value).trim();
    const place = benchmark.value === "" ? null : Number(benchmark.value);
    const [key, value] = category.value === "" ? [] : JSON.parse(category.value);
    const test = SHOW.find(([name]) => name === show.value)[2];
    shown = items.filter(
      (item) =>
        (place === null || item.b === place) &&
        (key === undefined || item.k[key] === value) &&
        test(item) &&
        (wanted === "" || textOf(item).includes(wanted)),
    );
    const number = (n) => n.toLocaleString("en");
    $("count").value = `${number(shown.length)} of ${number(items.length)}`;
    rows.style.height = `${shown.length * ROW}px`;
    if (!shown.includes(current)) current = shown[0] ?? null;
    drawItem();
    reveal();
    drawRows();
    remember();
  }

  // --- the list ---

  function drawRows() {
    const first = Math.max(0, Math.floor(list.scrollTop / ROW) - 3);
    const last = Math.min(shown.length, Math.ceil((list.scrollTop + list.clientHeight) / ROW) + 3);
    const made = [];
    for (let place = first; place < last; place += 1) {
      const item = shown[place];
      const row = element("div", {
        id: `r${place}`, className: "row", role: "option",
        "aria-selected": String(item === current), "aria-posinset": place + 1, "aria-setsize": shown.length,
      });
      row.style.top = `${place * ROW}px`;
      row.dataset.place = place;
      const marks = element("span", { className: "marks" }, ...runs.map((_, run) => mark(item, run)));
      const start = benchmarks[item.b].prefix;
      const question = element("span", { className: "start", textContent: item.q.slice(start, start + 90) });
      row.append(marks, element("b", { textContent: item.id }), question);
      made.push(row);
    }
    rows.replaceChildren(...made);
    const at = shown.indexOf(current);
    if (at >= first && at < last) list.setAttribute("aria-activedescendant", `r${at}`);
    else list.removeAttribute("aria-activedescendant");
  }

  // One mark for a run; of repeated answers the share that is right.
  function mark(item, run) {
    const found = letters(item, run);
    const letter = found.length === 1 ? found[0] : found.includes("c") ? "c" : found[0] ?? "u";
    const text = found.length > 1 ? `${found.filter((each) => each === "c").length}/${found.length}` : MARKS[letter];
    const title = `${runs[run]}: ${found.map((each) => WORDS[each]).join(", ") || "not asked"}`;
    return element("span", { className: `mark ${letter}`, title, textContent: text });
  }

  function reveal() {
    const at = shown.indexOf(current);
    if (at < 0) return;
    const top = at * ROW;
    if (top < list.scrollTop) list.scrollTop = top;
    else if (top + ROW > list.scrollTop + list.clientHeight) list.scrollTop = top + ROW - list.clientHeight;
  }

  function go(place) {
    if (place < 0 || place >= shown.length) return;
    current = shown[place];
    reveal();
    drawRows();
    drawItem();
    remember();
  }

  // --- the item ---

  function drawItem() {
    if (current === null) {
      pane.replaceChildren(element("p", { className: "note", textContent: "No item matches. Clear the search, or choose other filters." }));
      return;
    }
    const item = current, { label, keys, prefix } = benchmarks[item.b];
    const head = element("header", {}, element("h3", { textContent: item.id }));
    const facts = [label, ...keys.map((key, at) => `${key}: ${item.k[at] || "(none)"}`)];
    head.append(element("p", { className: "where" }, ...facts.map((text) => element("span", { textContent: text }))));
    const question = element("div", { className: "question", dir: "auto" });
    if (prefix) question.append(element("span", { className: "prefix", textContent: item.q.slice(0, prefix) }));
    question.append(item.q.slice(prefix));
    const gold = element("p", { className: "gold" }, element("small", { textContent: "gold " }));
    gold.append(element("b", { textContent: item.g ?? "withheld" }));
    const asked = element("div", { className: "asked" }, ...item.i.map((place, at) => picture(place, at, item)));
    asked.append(element("div", {}, question, gold));
    const answers = element("div", { className: "answers" });
    runs.forEach((name, run) => answers.append(column(item, name, run)));
    pane.replaceChildren(head, asked, answers);
  }

  function picture(place, at, item) {
    const source = images[place];
    const missing = () => element("p", { className: "note missing", textContent: "The image is not there." });
    if (source === null) return missing();
    const image = element("img", { src: source, alt: `Image ${at + 1} of item ${item.id}` });
    image.addEventListener("error", () => image.replaceWith(missing()));
    return image;
  }

  function column(item, name, run) {
    const made = element("section", { className: "answer" });
    made.append(element("h4", {}, mark(item, run), ` ${name}`));
    if (run === baseline) made.querySelector("h4").append(element("small", { textContent: " baseline" }));
    if (!item.a[run].length) made.append(element("p", { className: "note", textContent: "No answer was recorded." }));
    item.a[run].forEach((answer, sample) => {
      if (item.a[run].length > 1) made.append(element("h5", { textContent: `Sample ${sample + 1}` }));
      made.append(verdicts(item, answer), response(item, answer));
      const facts = [];
      if (answer.n) facts.push(`${answer.n.toLocaleString("en")} token${answer.n === 1 ? "" : "s"}`);
      if (answer.t) facts.push("cut off at the limit");
      if (facts.length) made.append(element("p", { className: "note", textContent: facts.join(", ") }));
    });
    return made;
  }

  function verdicts(item, answer) {
    const made = element("dl", { className: "verdicts" });
    benchmarks[item.b].rules.forEach((rule, at) => {
      const letter = answer.v[at];
      const [text, stage] = answer.x[answer.e[at]];
      const read = text === null ? [] : [element("code", { textContent: text }), element("small", { textContent: ` ${stage}` })];
      if (answer.d[at]) read.push(element("small", { className: "detail", textContent: ` ${answer.d[at]}` }));
      const row = element("div", { className: at === ruleOf(item) ? "chosen" : "" });
      row.append(
        element("dt", { textContent: rule }),
        element("dd", {}, element("span", { className: `verdict ${letter}`, textContent: `${MARKS[letter]} ${WORDS[letter]}` }), " ", ...read),
      );
      made.append(row);
    });
    return made;
  }

  function response(item, answer) {
    const made = element("div", { className: "response", dir: "auto" });
    const [, , start, end] = answer.x[answer.e[ruleOf(item)]];
    if (start === undefined) made.append(answer.r);
    else made.append(answer.r.slice(0, start), element("mark", { textContent: answer.r.slice(start, end) }), answer.r.slice(end));
    if (!answer.r) made.append(element("i", { textContent: "empty" }));
    return made;
  }

  // --- the address keeps the view, to be reloaded and passed on ---

  function remember() {
    const view = new URLSearchParams();
    if (current !== null) {
      view.set("in", benchmarks[current.b].label);
      view.set("item", current.id);
    }
    if (benchmark.value !== "") view.set("benchmark", benchmarks[Number(benchmark.value)].label);
    for (const field of [show, category, rules, search]) if (field.value !== "") view.set(field.id, field.value);
    history.replaceState(null, "", `#${view}`);
  }

  function recall() {
    const view = new URLSearchParams(location.hash.slice(1));
    const place = benchmarks.findIndex(({ label }) => label === view.get("benchmark"));
    benchmark.value = place < 0 ? "" : String(place);
    fillCategories();
    for (const field of [show, category, rules, search]) {
      field.value = view.get(field.id) ?? "";
      if (field.selectedIndex === -1) field.selectedIndex = 0;
    }
    current = items.find((item) => item.id === view.get("item") && benchmarks[item.b].label === view.get("in")) ?? null;
    const linked = current !== null;
    apply();
    if (linked) $("items").scrollIntoView();
  }

  // --- events ---

  list.addEventListener("scroll", drawRows);
  list.addEventListener("click", (event) => {
    const row = event.target.closest(".row");
    if (row) go(Number(row.dataset.place));
  });
  search.addEventListener("input", apply);
  benchmark.addEventListener("change", () => { fillCategories(); apply(); });
  for (const field of [show, category, rules]) field.addEventListener("change", apply);
  $("filters").addEventListener("submit", (event) => event.preventDefault());
  $("next").addEventListener("click", () => go(shown.indexOf(current) + 1));
  $("previous").addEventListener("click", () => go(shown.indexOf(current) - 1));
  window.addEventListener("hashchange", recall);
  window.addEventListener("resize", drawRows);
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape" && event.target === search) {
      search.value = "";
      search.blur();
      apply();
      return;
    }
    if (event.target.closest?.("input, select")) return;
    const inList = event.target === list;
    const at = shown.indexOf(current);
    if (event.key === "j" || event.key === "ArrowRight" || (inList && event.key === "ArrowDown")) go(at + 1);
    else if (event.key === "k" || event.key === "ArrowLeft" || (inList && event.key === "ArrowUp")) go(at - 1);
    else if (inList && event.key === "Home") go(0);
    else if (inList && event.key === "End") go(shown.length - 1);
    else if (event.key === "/") search.focus();
    else return;
    event.preventDefault();
  });

  benchmarks.forEach(({ label }, place) => benchmark.append(option(String(place), label)));
  benchmark.parentElement.hidden = benchmarks.length < 2;
  for (const [value, text] of SHOW) show.append(option(value, text));
  rules.append(option("", "Headline rules"));
  for (const name of new Set(benchmarks.flatMap((each) => each.rules))) rules.append(option(name, name));
  rules.parentElement.hidden = rules.options.length < 3;
  state.hidden = true;
  $("viewer").hidden = false;
  recall();
  document.documentElement.dataset.ready = "yes";
})();
