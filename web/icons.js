/** Icons of the types of incident, drawn as elements: no font, no image to load. */

const SVG = "http://www.w3.org/2000/svg";

// Drawn on a grid of 24.
const SHAPES = {
  goal: [
    ["circle", { cx: 12, cy: 12, r: 9 }],
    ["path", { d: "M12 7.6l4.2 3-1.6 4.9H9.4l-1.6-4.9zM12 3v4.6M16.2 10.6l4.5-1.5M14.6 15.5l2.7 3.8M9.4 15.5l-2.7 3.8M7.8 10.6L3.3 9.1" }],
  ],
  penalty_missed: [
    ["circle", { cx: 12, cy: 12, r: 9 }],
    ["path", { d: "M8.5 8.5l7 7M15.5 8.5l-7 7" }],
  ],
  card: [["rect", { x: 6.5, y: 3.5, width: 11, height: 17, rx: 1.8, class: "filled" }]],
  second_yellow_card: [
    ["rect", { x: 4, y: 3, width: 10, height: 15, rx: 1.6, class: "filled first" }],
    ["rect", { x: 9.5, y: 6, width: 10, height: 15, rx: 1.6, class: "filled" }],
  ],
  substitution: [["path", { d: "M8 19V6M4.5 9.5L8 6l3.5 3.5M16 5v13M12.5 14.5L16 18l3.5-3.5" }]],
  var: [
    ["rect", { x: 3, y: 5, width: 18, height: 12, rx: 1.8 }],
    ["path", { d: "M8.5 21h7M10 8.6l4.6 2.4-4.6 2.4z" }],
  ],
  whistle: [
    ["circle", { cx: 9, cy: 14, r: 5.5 }],
    ["path", { d: "M9 8.5h12v4h-6.7M9 5V3M13 5l1-1.7M5 5L4 3.3" }],
  ],
};
const SHAPE_OF = {
  own_goal: "goal",
  yellow_card: "card",
  red_card: "card",
  period_start: "whistle",
  period_end: "whistle",
};

/** The icon of a type of incident; decoration, its title says the same. */
export function icon(type) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  svg.setAttribute("class", `icon icon-${type}`);
  for (const [tag, attributes] of SHAPES[type] ?? SHAPES[SHAPE_OF[type]] ?? SHAPES.whistle) {
    const shape = document.createElementNS(SVG, tag);
    Object.entries(attributes).forEach(([name, value]) => shape.setAttribute(name, value));
    svg.append(shape);
  }
  return svg;
}
