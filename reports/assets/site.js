"use strict";
// Sort and filter the tables marked data-sortable; without this script they are plain tables.
for (const table of document.querySelectorAll("table[data-sortable]")) {
  const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];
  const shown = (row, k) => row.cells[k].textContent.trim();
  const number = (text) => /^[-+]?[\d,]*\.?\d+(e[-+]?\d+)?$/i.test(text) ? Number(text.replaceAll(",", "")) : NaN;
  const absent = (text) => text === "" || text === "not run";
  const order = (a, b) => {
    if (absent(a) || absent(b)) return 0;
    const [x, y] = [number(a), number(b)];
    if (Number.isNaN(x) !== Number.isNaN(y)) return Number.isNaN(x) ? 1 : -1;
    return Number.isNaN(x) ? a.localeCompare(b, "en", {numeric: true}) : x - y;
  };
  heads.forEach((head, k) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const rows = [...body.rows].map((row) => [shown(row, k), row]);
      rows.sort(([a], [b]) => absent(a) - absent(b) || (down ? order(b, a) : order(a, b)));
      body.append(...rows.map(([, row]) => row));
    });
  });
  const filters = document.getElementById(table.id + "-filters");
  if (!filters) continue;
  const words = filters.querySelector("input"), selects = [...filters.querySelectorAll("select")];
  const status = filters.querySelector("[role=status]");
  for (const select of selects) {
    const values = new Set([...body.rows].map((row) => shown(row, Number(select.dataset.column))));
    for (const value of [...values].sort()) select.add(new Option(value || "(none)", "=" + value));
  }
  const apply = () => {
    const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const row of body.rows) {
      const text = row.textContent.toLowerCase();
      const keep = wanted.every((word) => text.includes(word))
        && selects.every((s) => !s.value || s.value === "=" + shown(row, Number(s.dataset.column)));
      row.hidden = !keep;
      count += keep;
    }
    status.textContent = count + " of " + body.rows.length + " rows";
  };
  words.addEventListener("input", apply);
  selects.forEach((select) => select.addEventListener("change", apply));
  filters.hidden = false;
  apply();
}
