/** What a fan is told when an image became another: found by comparing the two. Pure. */
import { scoringSide } from "./fold.js";
import { stands } from "./incidents.js";
import { correctionOf, detailText, markText, minuteOf, readable, scoreText, spokenScore, titleOf, whoText } from "./words.js";

const GOALS = new Set(["goal", "own_goal"]);
const MARKS = new Set(["period_start", "period_end"]);

/**
 * The news between two images of a match, in the order of the match clock.
 *
 * Each has `kind` (goal, back, changed, confirmed, other), `isUrgent` for what
 * changes the score, `headline` and `spoken`, and `scores` [before, after]
 * where they differ.
 */
export function newsBetween(before, after, former, teams) {
  const known = new Map(before.incidents.map((incident) => [incident.id, incident]));
  const still = new Set(after.incidents.map((incident) => incident.id));
  const found = [];
  for (const incident of after.incidents) {
    const was = known.get(incident.id);
    if (was !== incident && incident.described >= 0) {
      found.push(newsOf(was, incident, former, teams));
    }
  }
  for (const was of before.incidents.filter((i) => stands(i) && GOALS.has(i.type) && !still.has(i.id))) {
    found.push(news(was, "back", "Goal taken back – recorded as something else", teams));
  }
  const changed = ["shoot_out", "score"].find((name) => scoreText(before[name]) !== scoreText(after[name]));
  return found.filter(Boolean).map((item) => {
    if (!item.isUrgent || !changed) {
      return { ...item, isUrgent: false };
    }
    const scores = [scoreText(before[changed]), scoreText(after[changed])];
    return { ...item, scores, spoken: `${item.spoken} ${spokenScore(after[changed], teams)}.` };
  });
}

function newsOf(was, incident, former, teams) {
  const isNew = !was || was.described < 0;
  if (MARKS.has(incident.type)) {
    const tells = stands(incident) && (isNew || !stands(was) || was.outcome !== incident.outcome);
    return tells ? news(incident, "other", markText(incident), teams) : null;
  }
  const correction = correctionOf(incident, former.before(incident), teams);
  if (correction?.kind === "back") {
    // One that never counted on this screen is a line of the timeline, and no news.
    return !isNew && stands(was) ? news(incident, "back", correction.text, teams) : null;
  }
  if (isNew) {
    return news(incident, GOALS.has(incident.type) ? "goal" : "other", headlineOf(incident, teams), teams);
  }
  if (!stands(was)) {
    return news(incident, "goal", `${titleOf(incident)} given after all`, teams);
  }
  if (incident.type === "var") {
    const isDecided = incident.outcome && incident.outcome !== was.outcome;
    return isDecided ? news(incident, "other", `VAR: ${readable(incident.outcome).toLowerCase()}`, teams) : null;
  }
  if (correction && (incident.action !== was.action || incident.described !== was.described)) {
    return news(incident, correction.kind, correction.text, teams);
  }
  return null;
}

function headlineOf(incident, teams) {
  if (GOALS.has(incident.type)) {
    const team = teams[scoringSide(incident)];
    return team ? `${titleOf(incident)}${incident.type === "own_goal" ? "," : ""} for ${team}` : titleOf(incident);
  }
  return titleOf(incident);
}

function news(incident, kind, headline, teams) {
  const [who, minute] = [whoText(incident, teams), minuteOf(incident)];
  const detail = incident.type === "var" ? detailText(incident) : "";
  const isMark = MARKS.has(incident.type);
  return {
    id: incident.id,
    kind,
    type: incident.type,
    isUrgent: GOALS.has(incident.type),
    headline,
    who: isMark ? "" : who,
    detail,
    minute,
    spoken: `${[headline, isMark ? "" : who, minute].filter(Boolean).join(", ")}.`,
  };
}
