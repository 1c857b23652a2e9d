import { assertEquals } from "@std/assert";
import { configOf } from "../config/testing/config.ts";
import { unusableEngines } from "./engines.ts";
import { tlsUnsupportedReason } from "../linux/tls_unsupported_reason.ts";
import { unsupportedReason } from "./threads.ts";

const TCP = ["--port", "1", "--hosts", "a:1"];
const HTTPS = ["--primary", "https://a.example", "--backup", "http://b.example"];

Deno.test("an engine that is not demanded is never an error", async () => {
  for (const relay of ["auto", "stream"]) {
    assertEquals(await unusableEngines(configOf([...TCP, "--relay", relay])), []);
    assertEquals(await unusableEngines(configOf([...HTTPS, "--relay", relay])), []);
  }
});

Deno.test("an engine that is demanded must be able to run here", async () => {
  const lines = await unusableEngines(configOf([...TCP, "--relay", "splice"]));
  const reason = unsupportedReason();
  const line = `Cannot use the relay engine splice: ${reason} (from flag --relay)`;
  assertEquals(lines, reason === undefined ? [] : [line]);
});

Deno.test("a service that speaks TLS can have the sockets of Linux where OpenSSL is", async () => {
  const lines = await unusableEngines(configOf([...HTTPS, "--relay", "splice"]));
  const reason = unsupportedReason() ?? tlsUnsupportedReason();
  const line = `Cannot use the relay engine splice: ${reason} (from flag --relay)`;
  assertEquals(lines, reason === undefined ? [] : [line]);
});

Deno.test("options that Deno's TLS cannot do are refused before anything starts", async () => {
  const args = [...HTTPS, "--tls-cert=c", "--tls-key=k", "--client-ca=a", "--relay=stream"];
  assertEquals(await unusableEngines(configOf(args)), [
    "Cannot use client_ca: the sockets of Deno cannot do that, and they are used: it was asked for " +
    "(from flag --client-ca)",
  ]);
});
