/** Text from outside that goes into a line of the log, or into an environment. Pure. */

/** Replaces control characters by spaces: they could forge a second line or move the cursor of a terminal. */
export function oneLine(text: string): string {
  // deno-lint-ignore no-control-regex
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]+/g, " ");
}
