/** What things are called on the page. Pure. */
import { displayMinute, scoringSide } from "./fold.js";
import { stands } from "./incidents.js";

const TITLES = {
  goal: "Goal",
  own_goal: "Own goal",
  penalty_missed: "Penalty missed",
  yellow_card: "Yellow card",
  second_yellow_card: "Second yellow card",
  red_card: "Red card",
  substitution: "Substitution",
  var: "VAR check",
};
const STARTS = ["", "Kick-off", "Second half", "Extra time", "Extra time, second half", "Penalty shoot-out"];
const ENDS = ["", "Half-time", "End of normal time", "Half-time in extra time", "End of extra time", "Shoot-out over"];
const PERIODS = ["", "First half", "Second half", "Extra time, first half", "Extra time, second half", "Penalties"];
const TO = "–";

export const NAMELESS = { home: "Home", away: "Away" };

/** `goal_disallowed` as people read it: "Goal disallowed". */
export function readable(word) {
  const text = word.replaceAll("_", " ");
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** The names of both teams, also where the feed has not told them. */
export function teamsOf(fixture) {
  return { home: fixture?.home || NAMELESS.home, away: fixture?.away || NAMELESS.away };
}

export function titleOf(incident) {
  return TITLES[incident.type] ?? readable(incident.type);
}

export function scoreText(score) {
  return `${score.home}${TO}${score.away}`;
}

/** "Barcelona 2, Girona 1", for those who listen. */
export function spokenScore(score, teams) {
  return `${teams.home} ${score.home}, ${teams.away} ${score.away}`;
}

export function minuteOf(incident) {
  return incident.period ? displayMinute(incident.period, incident.clock) : "";
}

/** Name of the mark that begins or ends a period. */
export function markText(mark) {
  if (mark.type === "period_start") {
    return STARTS[mark.period] || "Play begins";
  }
  return mark.outcome === "full_time" ? "Full time" : ENDS[mark.period] || "Break";
}

/** Where the match stands: "Second half", "Half-time", "Full time", "Kick-off 20:45". */
export function statusText({ status, period, fixture }) {
  if (status === "live") {
    return PERIODS[period] || "Live";
  }
  if (status === "break") {
    return ENDS[period] || "Break";
  }
  if (status === "finished") {
    return "Full time";
  }
  return status === "cancelled" ? "Called off" : kickOffText(fixture?.kick_off);
}

function kickOffText(instant) {
  const kickOff = instant ? new Date(instant) : null;
  if (!kickOff || Number.isNaN(kickOff.getTime())) {
    return "Not started";
  }
  const time = kickOff.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  const isToday = kickOff.toDateString() === new Date().toDateString();
  const day = isToday ? "" : `${kickOff.toLocaleDateString([], { day: "numeric", month: "short" })}, `;
  return `Kick-off ${day}${time}`;
}

/** Who it is about: "Messi", "Cristhian on, Ivan off", "Eric (Girona)" when it counts for the other side. */
export function whoText(incident, teams) {
  const { type, player, other_player: other } = incident;
  if (type === "substitution") {
    return other && player ? `${other} on, ${player} off` : other || player;
  }
  if (type === "own_goal" && incident.side) {
    return player ? `${player} (${teams[incident.side]})` : teams[incident.side];
  }
  return player;
}

/** What else is known: the assist, the verdict of a review, the reason of a card. */
export function detailText(incident) {
  const { type, other_player: other, outcome, reason, action } = incident;
  if (type === "goal") {
    return other ? `Assist: ${other}` : "";
  }
  if (type === "var") {
    return [outcome && readable(outcome), reason && readable(reason)].filter(Boolean).join(` ${TO} `);
  }
  if (type === "penalty_missed") {
    return outcome ? readable(outcome) : "";
  }
  return action === "add" && reason ? readable(reason) : "";
}

/**
 * How an incident was corrected, or null.
 *
 * `former` is what it was before (see Former), null when nobody told us.
 * Kinds: "back" (does not count), "changed", "confirmed".
 */
export function correctionOf(incident, former, teams) {
  const reason = incident.reason ? ` ${TO} ${incident.reason}` : "";
  if (!stands(incident)) {
    return { kind: "back", text: `${titleOf(incident)} taken back${reason}` };
  }
  if (incident.action === "confirm") {
    return { kind: "confirmed", text: incident.reason || `${titleOf(incident)} confirmed` };
  }
  // A review goes on by being modified; that corrects nothing.
  if (incident.type === "var" || incident.action !== "modify") {
    return null;
  }
  const was = former ? wasText(incident, former, teams) : "";
  return { kind: "changed", text: was ? `Corrected: was ${was}` : `Corrected${reason}` };
}

function wasText(incident, former, teams) {
  const differs = [];
  if (former.type !== incident.type) {
    differs.push(titleOf(former).toLowerCase());
  }
  if (former.player && former.player !== incident.player) {
    differs.push(differs.length > 0 ? `by ${former.player}` : former.player);
  } else if (former.other_player && former.other_player !== incident.other_player) {
    differs.push(`${incident.type === "goal" ? "assist " : ""}${former.other_player}`);
  }
  const [told, counts] = [scoringSide(former), scoringSide(incident)];
  if (told && told !== counts) {
    differs.push(`for ${teams[told]}`);
  }
  return differs.join(" ");
}
