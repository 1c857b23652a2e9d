/**
 * Finds the line of each key in a YAML text, which the YAML parser does not report. It understands block
 * mappings, the usual form of files written by hand; for keys inside `{…}` it returns the line of the
 * outer key.
 */

const KEY_LINE = /^( *)(?:"([^"]*)"|'([^']*)'|([^\s#"'[{&*!|>-][^#:]*?)) *:(?:\s|$)/;

/**
 * Returns a function from the path of a key to its line, counted from 1, or undefined for an unknown
 * path.
 */
export function keyLines(text: string): (path: readonly string[]) => number | undefined {
  const lineOf = new Map<string, number>();
  const open: { readonly indent: number; readonly path: readonly string[] }[] = [];
  for (const [index, line] of text.split("\n").entries()) {
    const parts = KEY_LINE.exec(line);
    if (parts === null) continue;
    const indent = parts[1]!.length;
    while (open.length > 0 && open.at(-1)!.indent >= indent) open.pop();
    const path = [...open.at(-1)?.path ?? [], parts[2] ?? parts[3] ?? parts[4]!];
    open.push({ indent, path });
    const id = JSON.stringify(path);
    // A second one can only be text in a block scalar, because the parser refuses duplicate keys.
    if (!lineOf.has(id)) lineOf.set(id, index + 1);
  }
  return (path) => {
    for (let depth = path.length; depth > 0; depth--) {
      const line = lineOf.get(JSON.stringify(path.slice(0, depth)));
      if (line !== undefined) return line;
    }
    return undefined;
  };
}
