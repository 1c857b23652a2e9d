import { assertEquals } from "@std/assert";
import { isOurName } from "./host_names.ts";

Deno.test("a listener answers to addresses, to localhost and to its own names", () => {
  const names = ["Proxy.Internal"];
  const ours = [
    ...["localhost", "LOCALHOST:1", "app.localhost", "localhost.", "127.0.0.1:9000", "10.1.2.3"],
    ...["[::1]:9000", "[fe80::1]", "proxy.internal:9911", "proxy.internal."],
  ];
  assertEquals(ours.filter((host) => !isOurName(host, names)), []);
});

Deno.test("a listener does not answer to a name that somebody else may own", () => {
  const theirs = [
    ...["evil.example:9000", "127.0.0.1.evil.example", "localhost.evil.example", "", "proxy"],
    ...["1.2.3.4.5", "[::1].evil.example", "a@localhost", "xproxy.internal", "[evil.example]"],
  ];
  assertEquals(theirs.filter((host) => isOurName(host, ["proxy.internal"])), []);
  assertEquals(isOurName(undefined, []), false);
});
