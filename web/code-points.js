/** Compare texts by code point, as Python and PostgreSQL ("C") do; `<` compares UTF-16 units. */
export function compareText(a, b) {
  const end = Math.min(a.length, b.length);
  for (let i = 0; i < end; i += 1) {
    if (a.charCodeAt(i) !== b.charCodeAt(i)) {
      return a.codePointAt(i) - b.codePointAt(i);
    }
  }
  return a.length - b.length;
}

/** Compare two lists of numbers, booleans and texts, the first difference deciding. */
export function compareLists(a, b) {
  for (let i = 0; i < a.length; i += 1) {
    const difference = typeof a[i] === "string" ? compareText(a[i], b[i]) : Number(a[i]) - Number(b[i]);
    if (difference !== 0) {
      return difference;
    }
  }
  return 0;
}
