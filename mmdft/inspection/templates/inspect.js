"use strict";
// Filters the examples, moves between them, and tells a token's details. Without this script all
// examples are shown and the form stays hidden.
(() => {
  const form = document.getElementById("filters");
  const search = document.getElementById("search");
  const source = document.getElementById("source");
  const count = document.getElementById("count");
  const none = document.getElementById("none");
  const tip = document.getElementById("tip");
  const examples = [...document.querySelectorAll("[data-example]")];
  const packs = [...document.querySelectorAll("[data-pack]")];
  const plain = (text) => text.toLowerCase().replace(/\s+/g, " ");
  const texts = new Map();
  let current = -1;

  const textOf = (example) => {
    if (!texts.has(example)) texts.set(example, plain(example.textContent));
    return texts.get(example);
  };

  function apply() {
    const wanted = plain(search.value).trim();
    let shown = 0;
    for (const example of examples) {
      example.hidden =
        (source.value !== "" && example.dataset.source !== source.value) ||
        (wanted !== "" && !textOf(example).includes(wanted));
      shown += example.hidden ? 0 : 1;
    }
    for (const pack of packs) pack.hidden = !pack.querySelector("[data-example]:not([hidden])");
    none.hidden = shown > 0;
    count.value = `${shown} of ${examples.length} shown`;
    hideTip();
  }

  function go(place) {
    examples[current]?.removeAttribute("aria-current");
    current = place;
    const example = examples[current];
    example.setAttribute("aria-current", "true");
    example.focus({ preventScroll: true });
    example.scrollIntoView({ block: "start" });
    history.replaceState(null, "", `#${example.id}`);
    hideTip();
  }

  function move(step) {
    for (let place = current + step; place >= 0 && place < examples.length; place += step) {
      if (!examples[place].hidden) return go(place);
    }
  }

  function recall() {
    const place = examples.findIndex((example) => `#${example.id}` === location.hash);
    if (place >= 0) go(place);
  }

  function rows(token) {
    const [id, position, rotary, p] = token.dataset.d.split(" ");
    const three = rotary.split(",");
    const found = [["id", id], ["position", position]];
    if (rotary !== "-") {
      const [t, h, w] = three.length === 3 ? three : [rotary, rotary, rotary];
      found.push(["rotary", `t ${t}, h ${h}, w ${w}`]);
    }
    found.push(["role", token.dataset.role ?? token.parentElement.dataset.role]);
    if (p !== undefined) found.push(["p = DFT weight", p]);
    return found;
  }

  const element = (name, text) => {
    const made = document.createElement(name);
    made.textContent = text;
    return made;
  };

  function showTip(token) {
    hideTip();
    token.classList.add("chosen");
    const list = document.createElement("dl");
    for (const [name, value] of rows(token)) list.append(element("dt", name), element("dd", value));
    const text = token.textContent;
    const title = token.dataset.role ? text : text ? JSON.stringify(text) : "rest of a character";
    tip.replaceChildren(element("b", title), list);
    tip.hidden = false;
    const [at] = token.getClientRects();
    const box = tip.getBoundingClientRect();
    const below = at.bottom + 8 + box.height < innerHeight;
    tip.style.left = `${Math.max(8, Math.min(at.left, innerWidth - box.width - 8))}px`;
    tip.style.top = `${below ? at.bottom + 8 : Math.max(8, at.top - box.height - 8)}px`;
    // On a narrow screen the tip stays at the foot; a token there comes up from behind it.
    const foot = tip.getBoundingClientRect();
    if (foot.top < at.bottom && at.top < foot.bottom) scrollBy(0, at.bottom - foot.top + 12);
  }

  function hideTip() {
    document.querySelector(".chosen")?.classList.remove("chosen");
    tip.hidden = true;
  }

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape") {
      hideTip();
      if (event.target === search) {
        search.value = "";
        search.blur();
        apply();
      }
      return;
    }
    if (event.target.closest?.("input, select")) return;
    if (event.key === "j" || event.key === "ArrowRight") move(1);
    else if (event.key === "k" || event.key === "ArrowLeft") move(-1);
    else if (event.key === "/") search.focus();
    else return;
    event.preventDefault();
  });
  document.addEventListener("pointerover", (event) => {
    if (event.pointerType !== "mouse") return;
    const token = event.target.closest(".tokens [data-d]");
    if (token) showTip(token);
    else hideTip();
  });
  document.addEventListener("click", (event) => {
    const token = event.target.closest(".tokens [data-d]");
    if (token) showTip(token);
    else hideTip();
  });
  document.addEventListener("scroll", () => { if (matchMedia("(hover: hover)").matches) hideTip(); });
  document.getElementById("next").addEventListener("click", () => move(1));
  document.getElementById("previous").addEventListener("click", () => move(-1));
  search.addEventListener("input", apply);
  source.addEventListener("change", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  window.addEventListener("hashchange", recall);

  form.hidden = false;
  apply();
  recall();
})();
