/**
 * Whether a path leads out of the folder it starts in, for any of the ways in which servers read one.
 * The operator's base path, and the credentials that go with it, are meant for what is below it.
 */

/**
 * True if `path`, which starts with a slash, may end above where it starts. Dots are taken as dots when
 * they are percent-encoded as well, and slashes that are encoded or written as backslashes as slashes,
 * `;` and what follows it as no part of a name: each of these is what some server does (RFC 3986 section
 * 5.2.4, WHATWG URL, servlets). A name that a server may see as none, or as two, does not count as a step
 * down. Paths without such dots, which is nearly all, cost two searches.
 */
export function climbs(path: string): boolean {
  if (path.indexOf("..") < 0 && path.indexOf("%2e") < 0 && path.indexOf("%2E") < 0) return false;
  const query = path.indexOf("?");
  const end = query < 0 ? path.length : query;
  let depth = 0;
  for (let at = 1; at <= end;) {
    const slash = path.indexOf("/", at);
    const stop = slash < 0 || slash > end ? end : slash;
    depth += stepOf(path.slice(at, stop));
    if (depth < 0) return true;
    at = stop + 1;
  }
  return false;
}

/** How far a part between two slashes leads at least: 1 is down, 0 stays, -1 and less is up. */
function stepOf(part: string): number {
  const names = part.replace(/%2e/gi, ".").split(/\\|%5c|%2f/i).map((name) => name.split(";")[0]!);
  const ups = names.filter((name) => name === "..").length;
  if (ups > 0) return -ups;
  return names.length === 1 && names[0] !== "" && names[0] !== "." ? 1 : 0;
}
