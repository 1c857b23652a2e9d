/**
 * Finds the lines on which the keys of a YAML text stand, which the YAML parser doesn't tell. It knows
 * block mappings, as files are written by hand; inside `{…}` it answers with the line of the outer key.
 */

const KEY_LINE = /^( *)(?:"([^"]*)"|'([^']*)'|([^\s#"'[{&*!|>-][^#:]*?)) *:(?:\s|$)/;

/** A function from the path of a key to its line, from 1; undefined for a path it never saw. */
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
    // A later one can only be text inside a block scalar: the parser refuses keys given twice.
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
