// Folds what stands on each line of stdin (a list of records) and answers with the image, one line each.
import { createInterface } from "node:readline";

import { advance, emptyImage, runningScores, wholeImage } from "../../../web/fold.js";

for await (const line of createInterface({ input: process.stdin })) {
  const { match, start, records } = JSON.parse(line);
  const image = records.reduce(advance, start ? wholeImage(start) : emptyImage(match));
  process.stdout.write(`${JSON.stringify({ image, running: [...runningScores(image)] })}\n`);
}
