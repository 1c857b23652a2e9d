/** Messages and their mutations: seeded, so that a failure can be repeated. */
import { Dice, seedOr } from "../../base/testing/dice.ts";

export const POST = "POST /a HTTP/1.1\r\nHost: a\r\n";
export const CHUNKS = "3\r\nabc\r\n0\r\n\r\n";
export const NEXT = "GET /b HTTP/1.1\r\nHost: a\r\n\r\n";

/**
 * Gives a number from 0 to below `below` at each call: the same ones for the same seed, which is
 * `standard` unless `FAILOVER_SEED` names another.
 */
export function random(standard: number): (below: number) => number {
  const dice = new Dice(seedOr(standard));
  return (below) => dice.under(below);
}

/** Valid requests on one connection, with and without bodies. */
export const REQUESTS = [
  `${POST}Content-Length: 3\r\n\r\nabc${NEXT}`,
  `${POST}Transfer-Encoding: chunked\r\n\r\n${CHUNKS}${NEXT}`,
  `${POST}X: y\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n5;x=y\r\n0\r\n\r\n\r\n0\r\nT: u\r\n\r\n${NEXT}`,
  `GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n${POST}Content-Length: 31\r\n\r\nGET /c HTTP/1.1\r\nHost: a\r\n\r\n   ${NEXT}`,
  `POST /a HTTP/1.0\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n${CHUNKS}${NEXT}`,
  `PUT http://b/x HTTP/1.0\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\nabcde${NEXT}`,
];
/** Parts of framing, valid and invalid. */
export const REQUEST_PIECES = [
  ..."\r|\n|\r\n| |\t|\0|\x0b|\x7f|\x80|:|;|,|0|3|a|+|-|x".split("|"),
  "\r\n\r\n",
  "Content-Length: 3\r\n",
  "Content-Length: 7\r\n",
  "Content-Length: 3\t\r\n",
  "Transfer-Encoding: chunked \t\r\n",
  "Transfer-Encoding: chunked\r\n",
  "Transfer-Encoding: identity\r\n",
  "transfer-encoding: gzip, chunked\r\n",
  "Connection: close\r\n",
  "Host: b\r\n",
  "0\r\n\r\n",
  NEXT,
];

/** One of `bases` with up to three pieces inserted, overwritten or removed. */
export function mutated(
  next: (below: number) => number,
  bases: readonly string[],
  pieces: readonly string[],
): string {
  let text = bases[next(bases.length)]!;
  for (let count = 1 + next(3); count > 0; count--) {
    const at = next(text.length + 1);
    const piece = pieces[next(pieces.length)]!;
    const how = next(4);
    if (how === 0) text = text.slice(0, at) + piece + text.slice(at);
    else if (how === 1) text = text.slice(0, at) + text.slice(at + 1 + next(3));
    else if (how === 2) text = text.slice(0, at) + piece + text.slice(at + piece.length);
    else {
      // After a line end, where a whole field line is valid.
      const line = text.indexOf("\r\n", at) + 2;
      text = text.slice(0, line) + piece + text.slice(line);
    }
  }
  return text;
}

/** Responses with lines that end in CRLF, in LF, and in both. */
export const RESPONSES = [
  "HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 3\r\n\r\nabc",
  "HTTP/1.1 200 OK\nA: b\nContent-Length: 3\n\nabc",
  "HTTP/1.1 404 Not Found\nTransfer-Encoding: chunked\r\nB:c\n\r\n3\r\nabc\r\n0\r\n\r\n",
  "HTTP/1.0 200\r\nConnection: keep-alive\r\nX: y\r\n\r\n",
];
/** Parts of response heads, valid and invalid. */
export const RESPONSE_PIECES = [
  ..."\r|\n|\r\n|\n\n| |\t|\0|\x0b|\x7f|\x80|:|;|,|0|3|a|+|-|x|\r\r\n|\n\r|\n |\r\n\t".split("|"),
  "Content-Length: 3\n",
  "Content-Length: 7\r\n",
  "Transfer-Encoding: chunked\n",
  "Transfer-Encoding: identity\r\n",
  "Connection: close\n",
];
