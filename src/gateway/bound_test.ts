import { assertEquals } from "@std/assert";
import { Fault } from "../base/fault.ts";
import { parseResponseHead, type ResponseHead } from "../http1/head.ts";
import { isBoundLogin } from "./bound.ts";

function head(...lines: readonly string[]): ResponseHead {
  const bytes = new TextEncoder().encode(["HTTP/1.1 401 X", ...lines, "", ""].join("\r\n"));
  const limits = { headBytesMax: 4096, fieldsMax: 16 };
  const parsed = parseResponseHead(bytes, 0, bytes.length, limits);
  if (parsed === undefined || parsed instanceof Fault) throw parsed ?? new Error("no head");
  return parsed;
}

Deno.test("only NTLM and Negotiate authenticate a connection, whichever side names them", () => {
  const none = head();
  const asked = (...values: readonly string[]) =>
    isBoundLogin(none, head(...values.map((value) => `WWW-Authenticate: ${value}`)));
  assertEquals([asked("NTLM"), asked("negotiate abc="), asked("Basic realm=x", "NTLM")], [
    true,
    true,
    true,
  ]);
  assertEquals([asked('Basic realm="x", Negotiate'), asked("Basic realm=ntlmx"), asked()], [
    true,
    false,
    false,
  ]);
  const said = (value: string) => isBoundLogin(head(`Authorization: ${value}`), none);
  assertEquals([said("NTLM TlRM"), said("Negotiate YII"), said("Bearer NTLM")], [
    true,
    true,
    false,
  ]);
});
