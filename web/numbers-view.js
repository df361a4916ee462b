/** Shows the counts of a match, side by side. */
import { element, updateList } from "./dom.js";
import { readable } from "./words.js";

// What a fan compares, in this order; a feed that does not count them shows none.
const COUNTED = ["shot", "corner", "foul", "offside", "pass"];
const NAMES = { shot: "Shots", corner: "Corners", foul: "Fouls", offside: "Offsides", pass: "Passes" };

export class NumbersView {
  constructor() {
    this.list = element("ul", { class: "numbers" });
    this.root = element(
      "section",
      { class: "panel numbers-panel", "aria-labelledby": "numbers-title", hidden: true },
      element("h2", { id: "numbers-title", text: "In numbers" }),
      this.list,
    );
  }

  /** Show the counts of an image. */
  show({ counts, incidents }, teams) {
    const goals = { home: 0, away: 0 };
    for (const incident of incidents) {
      // A shot that went in is told as a goal, and as no shot.
      if (incident.type === "goal" && incident.action !== "cancel" && incident.side) {
        goals[incident.side] += 1;
      }
    }
    const lines = [];
    for (const type of COUNTED.filter((name) => Object.hasOwn(counts, name))) {
      const [home, away] = counts[type];
      const extra = type === "shot" ? goals : { home: 0, away: 0 };
      lines.push({ key: type, name: NAMES[type] ?? readable(type), home: home + extra.home, away: away + extra.away, teams });
    }
    updateList(this.list, lines.filter((line) => line.home + line.away > 0), numbers);
    this.root.hidden = this.list.children.length === 0;
  }
}

function numbers({ name, home, away, teams }) {
  const share = element("span", { class: "share", "aria-hidden": "true" });
  share.style.setProperty("--home-share", `${(100 * home) / (home + away)}%`);
  return element(
    "li",
    {},
    element("p", { class: "unseen", text: `${name}: ${teams.home} ${home}, ${teams.away} ${away}` }),
    element("b", { class: "home", "aria-hidden": "true", text: String(home) }),
    element("span", { class: "name", "aria-hidden": "true", text: name }),
    element("b", { class: "away", "aria-hidden": "true", text: String(away) }),
    share,
  );
}
