"use strict";
// Tree maps: a box for each file and folder, as large as its bytes. A click on a folder opens it.

const HEAD = 17; // of a folder, with its name: points
const DEEPEST = 8; // levels that are drawn at a time

for (const map of document.querySelectorAll(".treemap")) {
  draw(map, [JSON.parse(map.querySelector("script").textContent)]);
}

addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("details")) details.open = true;
});

/** Show the last folder of a path, which starts at the root. */
function draw(map, path) {
  const crumbs = path.map((node, depth) => {
    const crumb = element("button", "crumb", depth ? node.name : "all");
    crumb.type = "button";
    if (depth === path.length - 1) crumb.setAttribute("aria-current", "location");
    else crumb.onclick = () => draw(map, path.slice(0, depth + 1));
    return crumb;
  });
  map.querySelector("nav").replaceChildren(...crumbs);
  const area = map.querySelector(".area");
  const whole = { left: 0, top: 0, width: area.clientWidth, height: area.clientHeight };
  area.replaceChildren(...boxes(path.at(-1).children ?? [], whole, 1));

  function boxes(nodes, room, depth, opens = null) {
    return squarify(nodes, room).flatMap(([node, box]) => {
      const opened = opens ?? node;
      const inside = { left: box.left + 2, top: box.top + HEAD, width: box.width - 4, height: box.height - HEAD - 2 };
      const hasRoom = depth < DEEPEST && inside.width > 24 && inside.height > 16;
      const below = node.children && hasRoom ? boxes(node.children, inside, depth + 1, opened) : [];
      const open = opened.children ? () => draw(map, [...path, opened]) : null;
      return [place(node, box, whole, open, depth, below.length ? "folder" : largest(node).change), ...below];
    });
  }
}

function place(node, box, whole, open, depth, change) {
  const isButton = open !== null && depth === 1;
  const words = `${node.name}\n${node.bytes.toLocaleString("en")} bytes${node.change ? `, ${node.change}` : ""}`;
  const shown = element(isButton ? "button" : "div", "box", box.width > 30 && box.height > 14 ? node.name : "");
  shown.dataset.change = change;
  shown.title = words;
  if (isButton) {
    shown.type = "button";
    shown.setAttribute("aria-label", words);
  }
  if (open) {
    shown.onclick = open;
    shown.style.cursor = "zoom-in";
  }
  // In per cent, so that it fits when the window becomes another.
  for (const [side, of] of [["left", "width"], ["top", "height"], ["width", "width"], ["height", "height"]]) {
    shown.style[side] = `${(100 * box[side]) / whole[of]}%`;
  }
  return shown;
}

/** The largest leaf: what a folder looks like whose files have no room. */
function largest(node) {
  return node.children ? largest(node.children[0]) : node;
}

/** Boxes as square as can be: Bruls, Huizing, van Wijk, Squarified Treemaps (2000). Nodes come largest first. */
function squarify(nodes, room) {
  const found = [];
  const scale = (room.width * room.height) / Math.max(1, sum(nodes));
  let row = [];
  for (const node of nodes) {
    if (row.length && worst([...row, node], room, scale) > worst(row, room, scale)) {
      room = lay(row, room, scale, found);
      row = [];
    }
    row.push(node);
  }
  lay(row, room, scale, found);
  return found;
}

/** Put a row along the shorter side; what is left of the room. */
function lay(row, room, scale, found) {
  const isColumn = room.width >= room.height;
  const thick = (sum(row) * scale) / Math.max(1e-9, isColumn ? room.height : room.width);
  let { left, top } = room;
  for (const node of row) {
    const long = thick ? (node.bytes * scale) / thick : 0;
    found.push([node, isColumn ? { left, top, width: thick, height: long } : { left, top, width: long, height: thick }]);
    if (isColumn) top += long;
    else left += long;
  }
  return isColumn
    ? { left: room.left + thick, top: room.top, width: room.width - thick, height: room.height }
    : { left: room.left, top: room.top + thick, width: room.width, height: room.height - thick };
}

/** The worst ratio of sides in a row. */
function worst(row, room, scale) {
  const side = Math.min(room.width, room.height) ** 2;
  const area = (sum(row) * scale) ** 2;
  const [most, least] = [row[0].bytes * scale, row.at(-1).bytes * scale];
  return Math.max((side * most) / area, area / (side * least));
}

function sum(nodes) {
  return nodes.reduce((total, node) => total + node.bytes, 0);
}

function element(name, kind, text) {
  const made = document.createElement(name);
  made.className = kind;
  made.textContent = text;
  return made;
}
