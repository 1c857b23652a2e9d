/** Turns what was thrown into text for one line of a log. */

/** The error in one line, with the innermost place in our own code, which is what a bug report needs. */
export function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const stack = mayReadStack() ? error.stack ?? "" : "";
  const place = /\bat (?:.*\()?\S*?((?:src|tests)\/[\w/.]+:\d+)/.exec(stack)?.[1];
  const text = `${error.name}: ${error.message}`.replace(/\s+/g, " ");
  return place === undefined ? text : `${text} (${place})`;
}

/**
 * Whether a descriptor is left. Deno looks for the places of a stack in its cache; where it cannot open that, it reads
 * the source again and ends the whole process (2.9.6: a panic in `stacker`, which must open a file as well).
 */
function mayReadStack(): boolean {
  try {
    Deno.openSync("/dev/null").close();
    return true;
  } catch (error) {
    // Without permission to read, and on Windows, nothing is known.
    return error instanceof Deno.errors.NotCapable || error instanceof Deno.errors.NotFound;
  }
}
