import { assertEquals } from "@std/assert";
import { connectFault, FAULTS } from "./fault.ts";

function codedError(code: string): Error {
  return Object.assign(new Error(`os error ${code}`), { code });
}

Deno.test("a shortage of this machine is the proxy's own fault, never the upstream's", () => {
  for (const code of ["EMFILE", "ENFILE", "ENOMEM", "ENOBUFS", "EADDRNOTAVAIL"]) {
    const { fault } = connectFault(codedError(code), false);
    assertEquals([code, fault, FAULTS[fault].side], [code, "localShortage", "proxy"]);
  }
});

Deno.test("an error that the network reports is the upstream's fault", () => {
  assertEquals(connectFault(codedError("EHOSTUNREACH"), false).fault, "connectUnreachable");
  assertEquals(connectFault(codedError("EINVAL"), false).fault, "connectFailed");
});
