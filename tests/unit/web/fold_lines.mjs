// Folds what stands on each line of stdin (a list of records) and answers with the image, one line each.
import { advance, emptyImage, runningScores, wholeImage } from "../../../web/fold.js";

function answer(line) {
  const { match, start, records } = JSON.parse(line);
  const image = records.reduce(advance, start ? wholeImage(start) : emptyImage(match));
  process.stdout.write(`${JSON.stringify({ image, running: [...runningScores(image)] })}\n`);
}

// Split by hand: readline also ends a line at U+2028, which JSON allows inside a text.
let waiting = "";
process.stdin.setEncoding("utf8").on("data", (chunk) => {
  const lines = (waiting + chunk).split("\n");
  waiting = lines.pop();
  lines.forEach(answer);
});
