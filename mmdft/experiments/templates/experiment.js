"use strict";
// Filters the samples. Without this script all of them are shown and the form stays hidden.
(() => {
  const form = document.getElementById("filters");
  if (!form) return;
  const count = document.getElementById("shown");
  const samples = [...document.querySelectorAll("[data-sample]")];
  const names = ["split", "missed", "disagree"];

  const values = () => new FormData(form);

  function matches(sample, chosen) {
    const { split, missed, disagree } = sample.dataset;
    const by = chosen.get("missed");
    return (
      (!chosen.get("split") || chosen.get("split") === split) &&
      (!by || (by === "any" ? missed !== "" : missed.split(" ").includes(by))) &&
      (!chosen.get("disagree") || disagree === "yes")
    );
  }

  function apply() {
    const chosen = values();
    let shown = 0;
    for (const sample of samples) {
      sample.hidden = !matches(sample, chosen);
      shown += sample.hidden ? 0 : 1;
    }
    count.value = `${shown} of ${samples.length} shown`;
  }

  // The choice is kept in the address, so that a view can be reloaded and passed on.
  function remember() {
    const chosen = [...values()].filter(([, value]) => value);
    const view = chosen.length ? `#${new URLSearchParams(chosen)}` : "#samples";
    history.replaceState(null, "", view);
  }

  function recall() {
    const view = new URLSearchParams(location.hash.slice(1));
    if (!names.some((name) => view.has(name))) return;
    for (const name of ["split", "missed"]) form.elements[name].value = view.get(name) ?? "";
    form.elements.disagree.checked = view.has("disagree");
    apply();
    document.getElementById("samples").scrollIntoView();
  }

  form.addEventListener("change", () => { apply(); remember(); });
  form.addEventListener("submit", (event) => event.preventDefault());
  // The fields are reset after the event.
  form.addEventListener("reset", () => setTimeout(() => { apply(); remember(); }));
  window.addEventListener("hashchange", recall);

  form.hidden = false;
  apply();
  recall();
})();
