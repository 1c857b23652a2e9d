/** Field lines for tests. */
import { Fields, type MessageSide, parseFields } from "../fields.ts";

/** The field lines of `text`, with the empty line at their end; one byte for each character. */
export function fieldsOf(text: string, side: MessageSide = "request"): Fields {
  const bytes = Uint8Array.from(text, (character) => character.charCodeAt(0));
  const fields = parseFields(bytes, 0, bytes.length, 100, side, [], side === "response");
  if (!(fields instanceof Fields)) throw fields ?? new Error("The last line is missing");
  return fields;
}
