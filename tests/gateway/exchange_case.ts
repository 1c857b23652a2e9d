/** Random exchanges, drawn from a seed: what a client sends, and what its upstream answers. */
import type { Dice } from "../../src/base/testing/dice.ts";

/** One exchange, told in the words of HTTP/1.1. */
export interface ExchangeCase {
  readonly method: string;
  readonly path: string;
  readonly lines: readonly string[];
  /** The parts of the body; undefined if there is none. */
  readonly body: readonly string[] | undefined;
  readonly trailers: readonly string[];
  /** The bytes that the upstream sends before and after it has read the request. */
  readonly interim: string;
  readonly response: string;
  /** True if the upstream ends its connection after that. */
  readonly closes: boolean;
}

const METHODS = "GET HEAD POST PUT DELETE OPTIONS PATCH PROPFIND REPORT SEARCH M-SEARCH".split(" ");
const STATUSES = [200, 200, 200, 201, 204, 205, 206, 301, 302, 304, 400, 404, 418, 500, 501];

const NAMES = "x-a X-A x-B accept Accept-Language range referer x-very-long-name content-type"
  .concat(" content-encoding idempotency-key priority origin early-data max-forwards x_under")
  .concat(" if-none-match authorization proxy-authorization x!#$%&'*+-.^_`|~ http2-settings")
  .split(" ");
/** Fields with a meaning for the proxy. */
const SPECIAL = [
  "Via: 1.0 fred, 2.0 edge",
  "Via: 1.1 failover-same",
  "X-Forwarded-For: 203.0.113.7",
  "X-Forwarded-For: 10.0.0.1, 203.0.113.8",
  "X-Forwarded-Proto: https",
  "X-Forwarded-Host: elsewhere.test",
  'Forwarded: for="[2001:db8::1]";proto=https',
  'Forwarded: for="unclosed',
  "X-Request-Id: from-the-client",
  "TE: trailers",
  "Host: other.test:8080",
  "Host: [::1]:80",
  "Expect: the-unexpected",
  "Content-Length: 7x",
  "Trailer: X-Sum",
];
const VALUE = `abc XYZ 0189 "'(),/:;<=>?@[]{}~!#$%&*+.^_|\\-\t`;
/** Characters of two bytes each: what is not ASCII passes as it is. */
const BEYOND = "éßø";
const SEGMENTS =
  "a b.c %20 %2F %2e .. . ; , + = & ? ?x=1 ?a=%26 ~ * @ : ' ( ) $ ! | ^ [ ] { } \" < > ` \\"
    .concat(" // %00 %zz # é").split(" ");

function text(dice: Dice, from: string, most: number): string {
  const length = dice.under(most + 1);
  return Array.from({ length }, () => from[dice.under(from.length)]!).join("");
}

function value(dice: Dice): string {
  const from = dice.once(8) ? VALUE + BEYOND : VALUE;
  return text(dice, from, dice.once(10) ? 200 : 20).trim();
}

function pathOf(dice: Dice, method: string): string {
  if (method === "OPTIONS" && dice.once(4)) return "*";
  const count = dice.under(5);
  const plain = dice.once(2);
  let path = "/";
  for (let i = 0; i < count; i++) {
    // Half of all paths have nothing that could be refused.
    const segment = plain ? `s${dice.under(9)}` : dice.pick(SEGMENTS);
    path += dice.once(2) ? `${segment}/` : segment;
  }
  return dice.once(15) ? `http://absolute.test${path}` : path;
}

function bodyOf(dice: Dice): string[] {
  const count = dice.under(4);
  const size = dice.once(8) ? 30_000 : 200;
  return Array.from({ length: count }, () => text(dice, "body \r\n0", dice.under(size) + 1));
}

function some(dice: Dice, most: number, line: () => string): string[] {
  return Array.from({ length: dice.under(most + 1) }, line);
}

function linesOf(dice: Dice): string[] {
  const lines = some(dice, dice.once(20) ? 60 : 6, () => `${dice.pick(NAMES)}: ${value(dice)}`);
  for (let i = dice.under(3); i > 0; i--) {
    if (!dice.once(2)) lines.splice(dice.under(lines.length + 1), 0, dice.pick(SPECIAL));
  }
  // A second one has no counterpart in HTTP/2.
  const host = lines.findIndex((line) => line.startsWith("Host: "));
  return lines.filter((line, i) => i === host || !line.startsWith("Host: "));
}

/** The exchange that these dice give; `origin` is that of the upstream. */
export function exchangeCase(dice: Dice, origin: string): ExchangeCase {
  const method = dice.pick(METHODS);
  const body = dice.once(2) ? bodyOf(dice) : undefined;
  const length = body?.reduce((sum, part) => sum + part.length, 0) ?? 0;
  const isDeclared = body !== undefined && dice.once(2);
  return {
    method,
    path: pathOf(dice, method),
    lines: [
      ...dice.once(3) ? ["Cookie: a=1"] : [],
      ...linesOf(dice),
      ...dice.once(3) ? ["Cookie: b=2; c=3"] : [],
      ...isDeclared ? [`Content-Length: ${length}`] : [],
      ...body !== undefined && dice.once(6) ? ["Expect: 100-continue"] : [],
    ],
    body,
    trailers: body === undefined || isDeclared || dice.once(2)
      ? []
      : some(dice, 3, () => `${dice.pick(NAMES)}: ${value(dice)}`),
    ...answerOf(dice, method, origin),
  };
}

function answerOf(dice: Dice, method: string, origin: string) {
  const status = dice.pick(STATUSES);
  const isBodyless = method === "HEAD" || status === 204 || status === 304;
  const parts = bodyOf(dice).filter((part) => part !== "");
  const body = parts.join("");
  const fields = [
    ...some(dice, 5, () => `${dice.pick(["X-r", "x-R2", "ETag", "vary"])}: ${value(dice)}`),
    ...some(dice, 2, () => `Set-Cookie: k${dice.under(9)}=${dice.under(99)}; Path=/`),
    ...dice.once(6) ? ["Connection: X-Named", "X-Named: of one hop"] : [],
    ...dice.once(6) ? ["Keep-Alive: timeout=60"] : [],
    ...dice.once(6) ? ["Proxy-Authenticate: Basic", "X-Request-Id: from-the-upstream"] : [],
    ...dice.once(3) ? [`Location: ${dice.pick([origin, "http://other.test", ""])}/x?y`] : [],
    ...dice.once(2) ? ["Date: Sat, 28 Nov 2026 08:00:00 GMT"] : [],
  ];
  const framing = status === 204 ? "none" : dice.pick(["length", "length", "chunked", "close"]);
  const head = (more: string[]) => `HTTP/1.1 ${status} Any\r\n${[...fields, ...more].join("\r\n")}`;
  const interim = dice.once(8)
    ? "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\nX-Hint: 1\r\n\r\n"
    : "";
  const told = (framed: string, closes = false) => ({ interim, response: framed, closes });
  if (framing === "none") return told(`${head([])}\r\n\r\n`);
  if (framing === "length" || (isBodyless && framing === "close") || status === 205) {
    const sent = isBodyless || status === 205 ? "" : body;
    const length = status === 205 ? 0 : body.length;
    return told(`${head([`Content-Length: ${length}`])}\r\n\r\n${sent}`);
  }
  if (framing === "close") return told(`${head(["Connection: close"])}\r\n\r\n${body}`, true);
  const chunks = parts.map((part) => `${part.length.toString(16)}\r\n${part}\r\n`).join("");
  const trailers = some(dice, 2, () => `X-Sum: ${dice.under(99)}\r\n`).join("");
  const sent = isBodyless ? "" : `${chunks}0\r\n${trailers}\r\n`;
  return told(`${head(["Transfer-Encoding: chunked"])}\r\n\r\n${sent}`);
}
