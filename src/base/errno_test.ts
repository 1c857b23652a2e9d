import { assertEquals } from "@std/assert";
import {
  concernsOneConnection,
  connectFaultOfCode,
  connectShortage,
  errorCode,
  isShortageCode,
} from "./errno.ts";

Deno.test("an error code is read from an error of the system, and from nothing else", () => {
  assertEquals(errorCode(Object.assign(new Error("x"), { code: "EMFILE" })), "EMFILE");
  for (const other of [new Error("x"), Object.assign(new Error("x"), { code: 5 }), "EMFILE"]) {
    assertEquals(errorCode(other), undefined);
  }
});

Deno.test("each error code of a failed connect has its fault", () => {
  const meanings = ["ENOENT", "EPIPE", "ETIMEDOUT", "ENETUNREACH", "EAGAIN", "EMFILE"];
  assertEquals(meanings.map(connectFaultOfCode), [
    "connectRefused",
    "connectReset",
    "connectTimeout",
    "connectUnreachable",
    "connectTimeout",
    "localShortage",
  ]);
  assertEquals([connectFaultOfCode("EINVAL"), connectFaultOfCode(undefined)], [
    undefined,
    undefined,
  ]);
});

Deno.test("a connect without a local port names the shortage, which the system's message does not", () => {
  assertEquals(connectFaultOfCode("EADDRNOTAVAIL"), "localShortage");
  assertEquals(
    connectShortage("EADDRNOTAVAIL", "address not available"),
    "no local port is left for connections to upstreams",
  );
  assertEquals(connectShortage("EMFILE", "too many open files"), "too many open files");
});

Deno.test("which error codes mean a shortage depends on the call", () => {
  for (const what of ["file", "socket", "program"] as const) {
    for (const code of ["EMFILE", "ENFILE", "ENOMEM"]) {
      assertEquals(isShortageCode(what, code), true);
    }
    assertEquals(isShortageCode(what, "ENOENT"), false);
  }
  assertEquals([isShortageCode("socket", "ENOBUFS"), isShortageCode("file", "ENOBUFS")], [
    true,
    false,
  ]);
  assertEquals([isShortageCode("program", "EAGAIN"), isShortageCode("socket", "EAGAIN")], [
    true,
    false,
  ]);
});

Deno.test("an accept that failed for one connection is distinguished from a shortage", () => {
  assertEquals(["ECONNABORTED", "EMFILE", undefined].map(concernsOneConnection), [
    true,
    false,
    false,
  ]);
});
