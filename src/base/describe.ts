/** Turns what was thrown into text for one line of a log. Pure. */

/** The error in one line, with the innermost place in our own code, which is what a bug report needs. */
export function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const place = /\bat (?:.*\()?\S*?((?:src|tests)\/[\w/.]+:\d+)/.exec(error.stack ?? "")?.[1];
  const text = `${error.name}: ${error.message}`.replace(/\s+/g, " ");
  return place === undefined ? text : `${text} (${place})`;
}
