/** The `Date` of our own responses (RFC 9110 section 6.6.1), formatted once a second. */

let second = NaN;
let text = "";

/** `wallMs`, milliseconds since 1970, as an HTTP date: `Sun, 06 Nov 1994 08:49:37 GMT`. */
export function httpDate(wallMs: number): string {
  const now = Math.floor(wallMs / 1_000);
  if (now !== second) {
    second = now;
    text = new Date(now * 1_000).toUTCString();
  }
  return text;
}
