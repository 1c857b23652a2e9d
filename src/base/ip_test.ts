import { assertEquals } from "@std/assert";
import { isIPv4, isIPv6 } from "node:net";
import { Dice, seedOr } from "./testing/dice.ts";
import { formatIp, ipv4Of, ipv6Of, isIp, parseIp } from "./ip.ts";

Deno.test("an address is printed in its shortest form", () => {
  const forms = [
    ["1.2.3.4", "1.2.3.4"],
    ["::", "::"],
    ["::1", "::1"],
    ["2001:DB8:0:0:1:0:0:1", "2001:db8::1:0:0:1"],
    ["1:0:3:4:5:6:7:8", "1:0:3:4:5:6:7:8"],
    ["1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"],
    ["::ffff:10.1.2.3", "::ffff:a01:203"],
  ];
  for (const [given, shortest] of forms) assertEquals(formatIp(parseIp(given!)!), shortest);
});

Deno.test("an IPv6 address is printed as the URL parser prints it", () => {
  let seed = 1;
  const next = () => (seed = (seed * 48_271) % 2_147_483_647);
  for (let round = 0; round < 2_000; round++) {
    // Few different groups, so that runs of zeros of all lengths and places occur.
    const groups = Array.from({ length: 8 }, () => [0, 0, 0, 1, 0xabc, 0xffff][next() % 6]!);
    const text = groups.map((group) => group.toString(16)).join(":");
    const expected = new URL(`http://[${text}]`).hostname.slice(1, -1);
    assertEquals(formatIp(parseIp(text)!), expected);
    assertEquals(parseIp(expected), parseIp(text));
  }
});

Deno.test("text that is not an address is not parsed as one", () => {
  const wrong = ["localhost", "1.2.3", "1.2.3.256", "1::2::3", "1:2:3", "12345::", "::1%eth0", ""];
  for (const text of wrong) assertEquals(parseIp(text), undefined, text);
});

Deno.test("a number with a leading zero is refused, because some programs read it as octal", () => {
  for (const text of ["010.0.0.1", "1.2.3.04", "00.0.0.0", "::ffff:1.2.3.010"]) {
    assertEquals(parseIp(text), undefined, text);
  }
  assertEquals(parseIp("0.10.200.0"), [0, 10, 200, 0]);
});

Deno.test("the same texts are addresses as for Node", () => {
  const pieces = ["1", "0", "255", "256", "ffff", "a", "::", ":", ".", "1.2.3.4", "08", "10000"];
  const dice = new Dice(seedOr(7));
  let found = 0;
  for (let round = 0; round < 50_000; round++) {
    const text = Array.from(
      { length: 1 + dice.under(9) },
      () => pieces[dice.under(pieces.length)],
    ).join("");
    const isAddress = parseIp(text) !== undefined;
    if (isAddress) found++;
    assertEquals(isAddress, isIPv4(text) || isIPv6(text), text);
  }
  assertEquals(found > 500, true);
});

Deno.test("an IPv4-mapped IPv6 address converts to IPv4 and back", () => {
  const mapped = parseIp("::ffff:1.2.3.4")!;
  assertEquals(ipv4Of(mapped), [1, 2, 3, 4]);
  assertEquals(ipv6Of([1, 2, 3, 4]), mapped);
  assertEquals(ipv4Of([1, 2, 3, 4]), [1, 2, 3, 4]);
  assertEquals(ipv4Of(parseIp("::fffe:1.2.3.4")!), undefined);
  assertEquals(ipv4Of(parseIp("1::ffff:1.2.3.4")!), undefined);
});

Deno.test("addresses need no look-up, names do", () => {
  for (const host of ["1.2.3.4", "::1", "fe80::1%eth0"]) assertEquals(isIp(host), true, host);
  for (const host of ["localhost", "1.2.3", "a.b.c.d"]) assertEquals(isIp(host), false, host);
});
