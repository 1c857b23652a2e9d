import { assert, assertEquals } from "@std/assert";
import { Networks, parseNetwork } from "./cidr.ts";
import { ConfigError } from "./config_error.ts";

function networks(...texts: string[]): Networks {
  return new Networks(texts.map((text) => {
    const network = parseNetwork(text);
    assert(!(network instanceof ConfigError), text);
    return network;
  }));
}

Deno.test("an IPv4 network contains its addresses, also mapped into IPv6, and no others", () => {
  const set = networks("192.0.2.0/25", "198.51.100.7");
  const has = ["192.0.2.0", "192.0.2.127", "::ffff:192.0.2.1", "::ffff:c000:201", "198.51.100.7"];
  for (const address of has) assert(set.has(address), address);
  const lacks = ["192.0.2.128", "198.51.100.8", "::c000:201", "unix", "", "192.0.2.1x"];
  for (const address of lacks) assert(!set.has(address), address);
});

Deno.test("an IPv6 network contains its addresses, with any scope, and no IPv4 addresses", () => {
  const set = networks("2001:db8::/33", "fe80::/10");
  for (const address of ["2001:db8::1", "2001:db8:7fff::", "fe80::1%eth0"]) {
    assert(set.has(address), address);
  }
  for (const address of ["2001:db8:8000::", "fec0::1", "32.1.13.184"]) {
    assert(!set.has(address), address);
  }
});

Deno.test("a prefix of length 0 contains every address of its family; that of IPv6 those of both", () => {
  assertEquals([networks("0.0.0.0/0").has("8.8.8.8"), networks("0.0.0.0/0").has("::1")], [
    true,
    false,
  ]);
  assertEquals([networks("::/0").has("8.8.8.8"), networks("::/0").has("::1")], [true, true]);
  assert(!networks().has("127.0.0.1"));
});

Deno.test("text that is not a network is an error of one line", () => {
  for (const text of ["", "10.0.0.0/33", "::/129", "10.0.0.1/8", "a/8", "10.0.0.0/", "1.2.3/8"]) {
    assert(parseNetwork(text) instanceof ConfigError, text);
  }
});
