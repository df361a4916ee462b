/** The lines of a match's timeline, newest first, as plain data. Pure. */
import { displayMinute, runningScores, scoringSide, scores } from "./fold.js";
import { stands } from "./incidents.js";
import { correctionOf, detailText, markText, minuteOf, scoreText, titleOf, whoText } from "./words.js";

const MARKS = new Set(["period_start", "period_end"]);

/** Lines of an image; each has a `key` that stays, whatever is corrected. */
export function timelineOf(image, former, teams) {
  const running = runningScores(image);
  const lines = [];
  const marks = new Set();
  let score = { home: 0, away: 0 };
  let previous = null;
  for (const incident of image.incidents) {
    score = running.get(incident.id) ?? score;
    const line = MARKS.has(incident.type)
      ? markLine(incident, score, previous, marks)
      : incidentLine(incident, former, teams, score);
    if (line) {
      lines.push(line);
      previous = line;
    }
  }
  return lines.reverse();
}

/** One incident as a line, or null when all that is known is that it does not count. */
export function incidentLine(incident, former, teams, score) {
  if (incident.described < 0) {
    return null;
  }
  const correction = correctionOf(incident, former.before(incident), teams);
  return {
    key: `incident ${incident.id}`,
    kind: "incident",
    type: incident.type,
    side: scoringSide(incident),
    team: teams[scoringSide(incident)] ?? "",
    minute: minuteOf(incident),
    title: titleOf(incident),
    who: whoText(incident, teams),
    detail: correction?.kind === "changed" && incident.type !== "goal" ? "" : detailText(incident),
    isStruck: !stands(incident),
    correction,
    score: scores(incident) ? scoreText(score) : "",
  };
}

/** A beginning or end of a period; both teams may mark it, and a start right after an end says nothing new. */
function markLine(mark, score, previous, seen) {
  const key = `${mark.type} ${mark.period}`;
  const isRepeat = seen.has(key) || (mark.type === "period_start" && previous?.type === "period_end");
  if (!stands(mark) || isRepeat) {
    return null;
  }
  seen.add(key);
  return {
    key,
    kind: "mark",
    type: mark.type,
    minute: mark.clock ? displayMinute(mark.period, mark.clock) : "",
    title: markText(mark),
    score: mark.type === "period_end" ? scoreText(score) : "",
  };
}
