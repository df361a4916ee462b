/** Shows the lines of a timeline. */
import { element, unseen, updateList } from "./dom.js";
import { icon } from "./icons.js";

export class TimelineView {
  constructor() {
    this.list = element("ol", { class: "timeline", reversed: true });
    this.empty = element("p", { class: "empty", text: "Nothing yet: goals, cards and substitutions will stand here." });
    this.root = element(
      "section",
      { class: "panel timeline-panel", "aria-labelledby": "timeline-title" },
      element("h2", { id: "timeline-title", text: "Timeline" }),
      this.empty,
      this.list,
    );
  }

  /** Show lines as timelineOf() makes them; those that came while watching are marked for a moment. */
  show(lines, { isFirst }) {
    const added = updateList(this.list, lines, (line) => (line.kind === "mark" ? mark(line) : incident(line)));
    if (!isFirst) {
      added.forEach((item) => item.classList.add("is-new"));
    }
    this.empty.hidden = lines.length > 0;
  }
}

function mark(line) {
  return element(
    "li",
    { class: "mark" },
    element("span", { class: "mark-title", text: line.title }),
    line.score ? element("span", { class: "mark-score", text: line.score }) : null,
  );
}

function incident(line) {
  const item = element(
    "li",
    { class: `incident ${line.side ?? "neither"}${line.isStruck ? " is-struck" : ""}` },
    element("span", { class: "minute", text: line.minute }),
    icon(line.type),
    element("div", { class: "what" }, ...what(line)),
    line.score ? element("span", { class: "score-then" }, unseen("Score "), line.score) : null,
  );
  item.dataset.type = line.type;
  return item;
}

function what(line) {
  const title = element("span", { class: "title", text: line.title });
  const who = line.who ? element("span", { class: "who", text: line.who }) : null;
  const team = line.team ? element("span", { class: "team", text: line.team }) : null;
  const { correction } = line;
  return [
    // <del> tells most screen readers nothing, so words do.
    element("p", { class: "headline" }, ...(line.isStruck ? [unseen("Does not count: "), struck(title)] : [title])),
    who || team ? element("p", { class: "about" }, line.isStruck && who ? struck(who) : who, who && team ? " " : null, team) : null,
    line.detail ? element("p", { class: "detail", text: line.detail }) : null,
    correction ? element("p", { class: `correction is-${correction.kind}`, text: correction.text }) : null,
  ];
}

function struck(told) {
  return element("del", {}, told);
}
