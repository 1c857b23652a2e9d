import { assertEquals } from "@std/assert";
import { endpointOf, ipSockaddr, isSameHost, unixSockaddr } from "./sockaddr.ts";

Deno.test("an IPv4 address becomes a sockaddr_in", () => {
  assertEquals(
    [...ipSockaddr("127.0.0.1", 8080)!],
    [2, 0, 0x1f, 0x90, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0],
  );
});

Deno.test("an IPv6 address becomes a sockaddr_in6, with its scope", () => {
  const bytes = ipSockaddr("fe80::1:2%3", 1)!;
  assertEquals([...bytes.subarray(0, 8)], [10, 0, 0, 1, 0, 0, 0, 0]);
  assertEquals([...bytes.subarray(8, 24)], [0xfe, 0x80, ...Array(11).fill(0), 1, 0, 2]);
  assertEquals([...bytes.subarray(24)], [3, 0, 0, 0]);
});

Deno.test("an address of each form reads back in its shortest form", () => {
  const forms = [
    ["1.2.3.4", "1.2.3.4"],
    ["2001:DB8::1", "2001:db8::1"],
    ["::ffff:10.1.2.3", "10.1.2.3"],
  ];
  for (const [given, shortest] of forms) {
    assertEquals(endpointOf(ipSockaddr(given!, 443)!), { kind: "ip", ip: shortest!, port: 443 });
  }
});

Deno.test("text that is not an address is not parsed as one", () => {
  for (const text of ["localhost", "::1%eth0"]) assertEquals(ipSockaddr(text, 1), undefined, text);
});

Deno.test("a unix path reads back, and a nameless peer has an empty one", () => {
  assertEquals(endpointOf(unixSockaddr("/run/ä.sock")), { kind: "unix", path: "/run/ä.sock" });
  assertEquals(endpointOf(new Uint8Array([1, 0])), { kind: "unix", path: "" });
  assertEquals(endpointOf(new Uint8Array(0)), { kind: "unix", path: "" });
});

Deno.test("a link-local address reads back with the number of its interface", () => {
  const endpoint = { kind: "ip", ip: "fe80::1%7", port: 443 } as const;
  assertEquals(endpointOf(ipSockaddr("fe80::1%7", 443)!), endpoint);
});

Deno.test("addresses of one host differ only in their ports", () => {
  const address = (ip: string, port: number) => ipSockaddr(ip, port)!;
  for (const ip of ["192.0.2.1", "2001:db8::1", "fe80::1%3"]) {
    assertEquals([ip, isSameHost(address(ip, 1), address(ip, 0xffff))], [ip, true]);
  }
  const others = [
    ["192.0.2.1", "192.0.2.2"],
    ["2001:db8::1", "2001:db8::2"],
    ["fe80::1%3", "fe80::1%4"],
    ["0.0.0.0", "::"],
  ] as const;
  for (const [a, b] of others) assertEquals(isSameHost(address(a, 1), address(b, 1)), false);
  const unix = unixSockaddr("/run/a");
  assertEquals([isSameHost(unix, unix), isSameHost(new Uint8Array(0), new Uint8Array(0))], [
    false,
    false,
  ]);
});
