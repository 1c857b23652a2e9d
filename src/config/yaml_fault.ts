/** What the parser of YAML says about a file that it cannot read, in words for the person who wrote the file. Pure. */

/** How the parser begins its messages, which says again that something cannot be read. */
const BEGINNING = /^(Cannot [^:<]+: |Cannot resolve |Found |Unexpected |unexpected )+/;
/** How it ends them. */
const PLACE = / at line (\d+), column (\d+)$/;

/** Its reasons that name what it expected as a parser, and what they mean. */
const PLAIN: readonly (readonly [RegExp, string])[] = [
  [
    /^end of the stream or a document separator/,
    'expected "key: value" there or in the line above',
  ],
  [/^end of the (stream|document) within a (single|double) quoted/, "a quote above is not closed"],
  [/^end of the stream within a flow/, "a bracket above is not closed"],
  [/^missing comma between flow/, "a comma or a closing bracket is missing there or above"],
  [/^bad indentation/, "wrong indentation"],
  [/^duplicated key/, "this key is in the file already"],
  [/^more than 1 document/, 'a second document begins ("---"), and only one is read'],
  [/^unidentified alias/, "there is no anchor (&) for this alias (*)"],
  [/^alias name must/, 'a text that begins with "*" needs quotes'],
];

/** The place, such as ` line 3, column 1` or nothing, and the reason. Never quotes the file, which may hold secrets. */
export function yamlFault(
  { message }: Error,
): { readonly place: string; readonly reason: string } {
  // The lines below the first quote the file.
  const line = message.split("\n")[0]!.replace(/:$/, "");
  const [, row, column] = PLACE.exec(line) ?? [];
  const said = line.replace(PLACE, "").replace(BEGINNING, "");
  const plain = PLAIN.find(([pattern]) => pattern.test(said))?.[1];
  return {
    place: row === undefined ? "" : ` line ${row}, column ${column}`,
    reason: plain ?? said,
  };
}
