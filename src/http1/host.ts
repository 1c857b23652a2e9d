/** The value of `Host` and the authority of a target: `uri-host [ ":" port ]` (RFC 9110 section 7.2). */

const COLON = 58;
const OPEN = 91;
const CLOSE = 93;
const PORT_DIGITS_MAX = 5;

const NAME = /[A-Za-z0-9\-._~%!$&'()*+;=]/;
const IN_BRACKETS = /[0-9A-Fa-f:.]/;

/** For each byte: 1 if it may stand in a name, 2 if in an address in brackets, 3 if in both. */
const KINDS = Uint8Array.from({ length: 256 }, (_, code) => {
  const char = String.fromCharCode(code);
  return code > 127 ? 0 : (NAME.test(char) ? 1 : 0) + (IN_BRACKETS.test(char) ? 2 : 0);
});

/** True for a host that is not empty, with no user part and no list. */
export function isHost(bytes: Uint8Array, start: number, end: number): boolean {
  const isBracketed = bytes[start] === OPEN && start < end;
  const kind = isBracketed ? 2 : 1;
  const first = isBracketed ? start + 1 : start;
  let at = first;
  while (at < end && (KINDS[bytes[at]!]! & kind) !== 0) at++;
  if (at === first) return false;
  if (isBracketed && (at === end || bytes[at++] !== CLOSE)) return false;
  if (at === end) return true;
  if (bytes[at++] !== COLON || end - at > PORT_DIGITS_MAX) return false;
  while (at < end && bytes[at]! >= 48 && bytes[at]! <= 57) at++;
  return at === end;
}
