/** The names of users, so that the log can say who gave an order. */

/** The user's name in the text of `/etc/passwd` (passwd(5)); undefined if it has none there. */
export function userName(passwd: string, uid: number): string | undefined {
  for (const line of passwd.split("\n")) {
    const [name, , id] = line.split(":");
    if (id === String(uid) && name) return name;
  }
}

/** `ann (uid 1000, pid 42)`. A name that cannot be found is left out: it may come from a directory service. */
export function describeUser(
  { uid, pid }: { readonly uid: number; readonly pid: number },
  readFile: (path: string) => string = Deno.readTextFileSync,
): string {
  let name: string | undefined;
  try {
    name = userName(readFile("/etc/passwd"), uid);
  } catch {
    // The file does not exist, or this process may not read it.
  }
  return name === undefined ? `uid ${uid}, pid ${pid}` : `${name} (uid ${uid}, pid ${pid})`;
}
