import { assertEquals } from "@std/assert";
import { changedHttps } from "./changed_files.ts";

const ONE = { certPath: "c", keyPath: "k", cert: "C", key: "K" };
const HTTPS = { certificates: [ONE], ticketKeys: new Uint8Array() };

Deno.test("certificate, key and the authority of clients are told apart", () => {
  assertEquals(changedHttps(undefined, undefined), []);
  assertEquals(changedHttps(HTTPS, { ...HTTPS, ticketKeys: new Uint8Array(4) }), []);
  assertEquals(changedHttps(HTTPS, { ...HTTPS, certificates: [{ ...ONE, cert: "D" }] }), [
    "tlsCert",
  ]);
  assertEquals(changedHttps(HTTPS, { ...HTTPS, certificates: [{ ...ONE, key: "L" }] }), ["tlsKey"]);
  assertEquals(changedHttps(HTTPS, { ...HTTPS, clientCa: "A" }), ["clientCa"]);
  assertEquals(changedHttps(HTTPS, { ...HTTPS, certificates: [ONE, ONE] }), ["tlsCert", "tlsKey"]);
});
