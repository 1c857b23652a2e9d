import { assertEquals } from "@std/assert";
import type { Address } from "../base/address.ts";
import { proxyHeader } from "./proxy_header.ts";

const tcp = (host: string, port: number): Address => ({ kind: "tcp", host, port });
const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
const hex = (bytes: Uint8Array) => [...bytes].map((b) => b.toString(16).padStart(2, "0")).join("");
const SIGNATURE = "0d0a0d0a000d0a515549540a";

Deno.test("v1 prints an IPv4 client as one line", () => {
  assertEquals(
    text(proxyHeader("v1", tcp("192.168.0.1", 56324), tcp("192.168.0.11", 443))),
    "PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n",
  );
});

Deno.test("v1 prints an IPv4 client of a dual-stack listener as IPv4", () => {
  assertEquals(
    text(proxyHeader("v1", tcp("::ffff:10.1.2.3", 1), tcp("::ffff:10.0.0.1", 2))),
    "PROXY TCP4 10.1.2.3 10.0.0.1 1 2\r\n",
  );
});

Deno.test("v1 prints IPv6 addresses in full, without their zone", () => {
  assertEquals(
    text(proxyHeader("v1", tcp("fe80::1:2%eth0", 65535), tcp("2001:db8::", 80))),
    "PROXY TCP6 fe80::1:2 2001:db8:: 65535 80\r\n",
  );
});

Deno.test("v1 prints addresses of two families in one", () => {
  assertEquals(
    text(proxyHeader("v1", tcp("10.1.2.3", 1), tcp("::1", 2))),
    "PROXY TCP6 ::ffff:a01:203 ::1 1 2\r\n",
  );
});

Deno.test("v1 calls a client of a unix socket unknown", () => {
  const unix: Address = { kind: "unix", path: "/run/x" };
  assertEquals(text(proxyHeader("v1", { kind: "unix", path: "" }, unix)), "PROXY UNKNOWN\r\n");
});

Deno.test("v2 prints an IPv4 client in 28 bytes", () => {
  assertEquals(
    hex(proxyHeader("v2", tcp("192.168.0.1", 0x1234), tcp("192.168.0.11", 443))),
    `${SIGNATURE}2111000c` + "c0a80001" + "c0a8000b" + "1234" + "01bb",
  );
});

Deno.test("v2 prints an IPv6 client in 52 bytes", () => {
  assertEquals(
    hex(proxyHeader("v2", tcp("2001:db8::1", 1), tcp("::1", 2))),
    `${SIGNATURE}21210024` + "20010db8000000000000000000000001" +
      "00000000000000000000000000000001" + "0001" + "0002",
  );
});

Deno.test("v2 names the socket file that a unix client connected to", () => {
  const unix: Address = { kind: "unix", path: "/run/x" };
  const header = proxyHeader("v2", { kind: "unix", path: "" }, unix);
  assertEquals(hex(header.subarray(0, 16)), `${SIGNATURE}213100d8`);
  assertEquals(header.length, 16 + 216);
  assertEquals(header.subarray(16, 16 + 108), new Uint8Array(108));
  assertEquals(text(header.subarray(16 + 108)).replace(/\0+$/, ""), "/run/x");
});
