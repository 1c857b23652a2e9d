/**
 * Whether a path leads out of the folder it starts in, for any of the ways in which servers read one.
 * The operator's base path, and the credentials that go with it, are meant for what is below it.
 */

const PERCENT = 37;
const DOT = 46;
const SLASH = 47;
const SEMICOLON = 59;
const QUERY = 63;
const BACKSLASH = 92;

/** Instead of a count of dots: the name has another character. */
const NAMED = -1;

/**
 * True if `path`, which starts with a slash, may end above where it starts. Dots are taken as dots when
 * they are percent-encoded as well, and slashes that are encoded or written as backslashes as slashes,
 * `;` and what follows it as no part of a name: each of these is what some server does (RFC 3986 section
 * 5.2.4, WHATWG URL, servlets). A name that a server may see as none, or as two, does not count as a step
 * down. Paths without such dots, which is nearly all, cost three searches; the others one walk.
 */
export function isPathTraversal(path: string): boolean {
  if (path.indexOf("..") < 0 && path.indexOf("%2e") < 0 && path.indexOf("%2E") < 0) return false;
  let depth = 0;
  // Of the part between two real slashes: how many of its names lead up, and whether it is one name only.
  let ups = 0;
  let isOne = true;
  // Of the name: its dots, and whether it is over though no slash came yet.
  let dots = 0;
  let isOver = false;
  for (let at = 1, code = SLASH; code !== QUERY; at++) {
    code = at < path.length ? path.charCodeAt(at) : QUERY;
    const isReal = code === SLASH || code === QUERY;
    if (code === PERCENT) {
      const meant = decoded(path, at + 1);
      if (meant !== PERCENT) at += 2;
      code = meant;
    }
    if (code === SLASH || code === BACKSLASH || code === QUERY) {
      if (dots === 2) ups++;
      if (isReal) {
        depth += ups > 0 ? -ups : isOne && (dots === NAMED || dots > 2) ? 1 : 0;
        if (depth < 0) return true;
        ups = 0;
      }
      isOne = isReal;
      dots = 0;
      isOver = false;
    } else if (code === SEMICOLON) isOver = true;
    else if (!isOver) dots = code === DOT && dots !== NAMED ? dots + 1 : NAMED;
  }
  return false;
}

/** Which of the characters that matter here the two hex digits at `at` mean; `PERCENT` if none. */
function decoded(path: string, at: number): number {
  const low = path.charCodeAt(at + 1) | 0x20;
  switch (path.charCodeAt(at)) {
    case 50: // 2
      return low === 101 ? DOT : low === 102 ? SLASH : PERCENT;
    case 51: // 3
      return low === 98 ? SEMICOLON : PERCENT;
    case 53: // 5
      return low === 99 ? BACKSLASH : PERCENT;
    default:
      return PERCENT;
  }
}
