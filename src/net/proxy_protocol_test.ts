import { assert, assertEquals } from "@std/assert";
import { Dice, seedOr } from "../base/testing/dice.ts";
import { type ParsedProxyHeader, parseProxyHeader, type ProxyVersions } from "./proxy_protocol.ts";

const SIGNATURE = [0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a];

function v2(command: number, family: number, rest: readonly number[]): Uint8Array {
  return Uint8Array.from([
    ...SIGNATURE,
    command,
    family,
    rest.length >> 8,
    rest.length & 255,
    ...rest,
  ]);
}

/** Feeds a header in the parts that the parser asks for, each cut to `step` bytes, and says what is left. */
function fed(bytes: Uint8Array, versions: ProxyVersions = "any", step = Infinity) {
  for (let length = 0;;) {
    const parsed = parseProxyHeader(bytes, length, versions);
    if (parsed.is !== "incomplete") return { parsed, left: bytes.length - length };
    assert(parsed.missing > 0);
    const count = Math.min(parsed.missing, step, bytes.length - length);
    if (count === 0) return { parsed, left: 0 };
    length += count;
  }
}

const text = (line: string) => new TextEncoder().encode(line);
const tcp = (host: string, port: number) => ({ kind: "tcp", host, port }) as const;
const complete = (client: ReturnType<typeof tcp>, local: ReturnType<typeof tcp>) =>
  ({ is: "complete", addresses: { client, local } }) as const;
const UNSPECIFIED: ParsedProxyHeader = { is: "complete", addresses: undefined };

const PORTS = [0x12, 0x34, 0, 80];
const V4 = [192, 0, 2, 1, 198, 51, 100, 2, ...PORTS];
const V6 = [0x20, 1, 0xd, 0xb8, ...Array(11).fill(0), 1, ...Array(15).fill(0), 1, ...PORTS];
const TLV = [0x04, 0, 2, 9, 9, 0x20, 0, 0];

const GOOD: readonly (readonly [Uint8Array, ParsedProxyHeader])[] = [
  [
    text("PROXY TCP4 192.0.2.1 198.51.100.2 4660 80\r\n"),
    complete(tcp("192.0.2.1", 4660), tcp("198.51.100.2", 80)),
  ],
  [
    text("PROXY TCP6 2001:DB8::1 ::1 65535 0\r\n"),
    complete(tcp("2001:db8::1", 65535), tcp("::1", 0)),
  ],
  [text("PROXY UNKNOWN\r\n"), UNSPECIFIED],
  [text(`PROXY UNKNOWN ${"f".repeat(91)}\r\n`), UNSPECIFIED],
  [v2(0x21, 0x11, V4), complete(tcp("192.0.2.1", 4660), tcp("198.51.100.2", 80))],
  [v2(0x21, 0x11, [...V4, ...TLV]), complete(tcp("192.0.2.1", 4660), tcp("198.51.100.2", 80))],
  [v2(0x21, 0x21, [...V6, ...TLV]), complete(tcp("2001:db8::1", 4660), tcp("::1", 80))],
  [v2(0x21, 0x31, Array(216).fill(1)), UNSPECIFIED],
  [v2(0x20, 0x00, []), UNSPECIFIED],
  [v2(0x20, 0x11, V4), UNSPECIFIED],
  [v2(0x21, 0x00, [1, 2, 3]), UNSPECIFIED],
];

const BAD: readonly Uint8Array[] = [
  ...[
    "GET / HTTP/1.1\r\n",
    "PROXY  TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
    "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 \r\n",
    "PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n",
    "PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n",
    "PROXY TCP4 192.0.2.1 192.0.2.2 1 65536\r\n",
    "PROXY TCP4 192.0.2.01 192.0.2.2 1 2\r\n",
    "PROXY TCP4 192.0.2.256 192.0.2.2 1 2\r\n",
    "PROXY TCP4 ::1 ::1 1 2\r\n",
    "PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n",
    "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n",
    "PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n",
    "PROXY UNKNOWNX\r\n",
    "proxy UNKNOWN\r\n",
    "PROXY TCP4\r\nmore\r\n",
    `PROXY UNKNOWN ${"f".repeat(120)}\r\n`,
  ].map(text),
  v2(0x11, 0x11, V4),
  v2(0x22, 0x11, V4),
  v2(0x21, 0x12, V4),
  v2(0x21, 0x13, V4),
  v2(0x21, 0x41, V4),
  v2(0x21, 0x11, V4.slice(1)),
  v2(0x21, 0x21, V4),
  v2(0x21, 0x11, [...V4, 4, 0]),
  v2(0x21, 0x11, [...V4, 4, 0, 2, 1]),
  v2(0x21, 0x11, Array(5_000).fill(0)),
];

Deno.test("a header is parsed in parts of any size, and no byte after it is requested", () => {
  for (const [bytes, expected] of GOOD) {
    const followed = Uint8Array.from([...bytes, ...text("GET / HTTP/1.1\r\n\r\n")]);
    for (const step of [1, 2, 7, Infinity]) {
      const { parsed, left } = fed(followed, "any", step);
      assertEquals([parsed, left], [expected, followed.length - bytes.length]);
    }
  }
});

Deno.test("anything that is not exactly a header is refused", () => {
  for (const bytes of BAD) {
    for (const step of [1, Infinity]) {
      assertEquals(fed(bytes, "any", step).parsed, { is: "malformed" }, String(bytes));
    }
  }
});

Deno.test("only the configured version is accepted", () => {
  const [line] = GOOD[0]!;
  const [binary] = GOOD[4]!;
  assertEquals([fed(line, "v1").parsed.is, fed(binary, "v2").parsed.is], ["complete", "complete"]);
  assertEquals([fed(line, "v2").parsed.is, fed(binary, "v1").parsed.is], [
    "malformed",
    "malformed",
  ]);
});

Deno.test("whatever the input, the parser neither throws nor requests too many bytes", () => {
  const dice = new Dice(seedOr(1));
  for (let round = 0; round < 5_000; round++) {
    const [bytes] = GOOD[dice.under(GOOD.length)]!;
    const changed = bytes.slice();
    for (let i = dice.under(4); i >= 0; i--) {
      changed[dice.under(changed.length)] = dice.under(256);
    }
    const { parsed } = fed(
      changed.slice(0, 1 + dice.under(changed.length)),
      "any",
      1 + dice.under(40),
    );
    assert(["complete", "incomplete", "malformed"].includes(parsed.is));
    if (parsed.is === "incomplete") assert(parsed.missing <= 4_096);
  }
});
