"use strict";
// A table of all rows, to sort, filter and download.
if (document.getElementById("rows-data")) (() => {
  const data = document.getElementById("rows-data"), {columns, rows} = JSON.parse(data.textContent);
  const table = document.getElementById("rows-table"), filter = document.getElementById("rows-filter");
  let sorted = -1, down = false;
  // A certified ε is rounded up, as on the charts; a page without charts has no script but this.
  const up = value => {
    const short = Number(value.toPrecision(4));
    return short >= value * (1 - 1e-9) ? short : short + 10 ** (Number(short.toExponential().split("e")[1]) - 3);
  };
  const text = (value, name) => value === null ? "—" : typeof value !== "number" || Number.isInteger(value) ? String(value)
    : (name === "epsilon_certified" ? up(value) : value).toPrecision(4);
  const shown = () => {
    const wanted = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    const kept = rows.filter(row => wanted.every(word => row.some(value => String(value).toLowerCase().includes(word))));
    if (sorted >= 0) kept.sort((a, b) => {
      const [x, y] = [a[sorted], b[sorted]];
      if (x === null || y === null) return (x === null) - (y === null);
      return (typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y))) * (down ? -1 : 1);
    });
    return kept;
  };
  const heads = document.createElement("tr");
  columns.forEach((name, at) => {
    const head = document.createElement("th"), button = document.createElement("button");
    head.scope = "col";
    button.type = "button";
    button.textContent = name;
    button.addEventListener("click", () => { down = sorted === at && !down; sorted = at; draw(); });
    head.append(button);
    heads.append(head);
  });
  table.tHead.append(heads);
  const draw = () => {
    const kept = shown();
    table.tBodies[0].replaceChildren(...kept.map(row => {
      const line = document.createElement("tr");
      line.append(...row.map((value, at) => {
        const cell = document.createElement("td");
        cell.textContent = text(value, columns[at]);
        if (typeof value !== "number") cell.className = "text";
        return cell;
      }));
      return line;
    }));
    [...heads.children].forEach((head, at) => head.setAttribute("aria-sort", at !== sorted ? "none" : down ? "descending" : "ascending"));
    document.getElementById("rows-count").textContent = `${kept.length} of ${rows.length} rows`;
  };
  const cell = value => {
    const plain = value === null ? "" : String(value), safe = typeof value === "string" && /^\s*[=+\-@]/.test(plain) ? "'" + plain : plain;
    return /[",\n]/.test(safe) ? '"' + safe.replaceAll('"', '""') + '"' : safe;
  };
  document.getElementById("rows-save").addEventListener("click", () => {
    const lines = [columns, ...shown()].map(row => row.map(cell).join(","));
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([lines.join("\n") + "\n"], {type: "text/csv"}));
    link.download = data.dataset.file;
    link.click();
  });
  filter.addEventListener("input", draw);
  draw();
})();
