/**
 * The password file of PostgreSQL's clients: lines `host:port:database:user:password`, of which the first that matches
 * counts. Pure. https://www.postgresql.org/docs/current/libpq-pgpass.html
 */

/** Which password is looked for. */
export interface PassfileKey {
  readonly host: string;
  readonly port: string;
  readonly database: string;
  readonly user: string;
}

/** The password for `key` in the text of such a file; undefined if no line matches. */
export function passwordFor(text: string, key: PassfileKey): string | undefined {
  const wanted = [key.host, key.port, key.database, key.user];
  for (const line of text.split(/\r?\n/)) {
    if (line.startsWith("#")) continue;
    const fields = fieldsOf(line);
    if (fields.length < 5) continue;
    const matches = wanted.every((value, at) => {
      const { raw, text } = fields[at]!;
      return raw === "*" || text === value;
    });
    if (matches) return fields[4]!.text;
  }
  return undefined;
}

interface Field {
  /** As it is written, with its backslashes. */
  readonly raw: string;
  readonly text: string;
}

/** The first four fields, and as the fifth all that follows. A backslash makes the next character plain. */
function fieldsOf(line: string): Field[] {
  const found: Field[] = [];
  let [raw, text] = ["", ""];
  for (let at = 0; at < line.length; at++) {
    const character = line[at]!;
    if (character === ":" && found.length < 4) {
      found.push({ raw, text });
      [raw, text] = ["", ""];
      continue;
    }
    raw += character;
    if (character === "\\" && at + 1 < line.length) {
      at++;
      raw += line[at]!;
      text += line[at]!;
    } else {
      text += character;
    }
  }
  found.push({ raw, text });
  return found;
}
