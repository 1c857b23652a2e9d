import { assert, assertEquals } from "@std/assert";
import { ConfigError } from "../base/config_error.ts";
import { anyTarget, reportUrl, serverTarget, statusRange, type UrlTarget } from "./http_kinds.ts";
import { list, type Written } from "./kinds.ts";

function server(written: Written): UrlTarget {
  const target = serverTarget.read(written);
  assert(!(target instanceof ConfigError), target instanceof ConfigError ? target.expected : "");
  return target;
}

Deno.test("an upstream's URL determines where to connect", () => {
  assertEquals(server("http://x").address, { kind: "tcp", host: "x", port: 80 });
  assertEquals(server("https://x/base").address, { kind: "tcp", host: "x", port: 443 });
  assertEquals(server("http://[::1]:81").address, { kind: "tcp", host: "::1", port: 81 });
});

Deno.test("an upstream is named without its password, which its URL keeps", () => {
  const target = server("https://me:secret@x/");
  assertEquals(target.name, "https://***@x/");
  assertEquals(target.url.password, "secret");
});

Deno.test("an upstream may have its own host and headers, whose values are never printed", () => {
  const target = server({ url: "http://x", host: "y:81", headers: { "X-Key": "secret" } });
  assertEquals([target.host, target.headers], ["y:81", [["X-Key", "secret"]]]);
  assertEquals(serverTarget.print(target), "http://x host=y:81 X-Key=***");
});

Deno.test("a backup may be a folder or a page", () => {
  const read = (text: string) => anyTarget.read(text) as { kind: string; path: string };
  assertEquals([read("file:///srv/my%20app").kind, read("file:///srv/my%20app").path], [
    "folder",
    "/srv/my app",
  ]);
  assertEquals([read("page:./sorry.html").kind, read("page:./sorry.html").path], [
    "page",
    "./sorry.html",
  ]);
});

Deno.test("a value that is not an upstream is an error", () => {
  const wrong: Written[] = [
    "app.example",
    "ftp://x",
    "http://",
    "http://x:0",
    "http://x?q=1",
    "http://x#top",
    "http://x y",
    "file://host/folder",
    "file:relative",
    "file:///%ff%fe",
    "page:",
    null,
    [],
    {},
    { url: "http://x", port: "80" },
    { url: ["http://x"] },
    { url: "page:x", host: "y" },
    { url: "http://x", host: "a b" },
    { url: "http://x", headers: "X-Key: 1" },
    { url: "http://x", headers: { "X Key": "1" } },
    { url: "http://x", headers: { "X-Key": "1\r\nHost: evil" } },
    { url: "http://x", headers: { "X-Key": ["1"] } },
    { url: "http://x", headers: { "X-Key": "1", "x-key": "2" } },
    "http://us%er:p@x",
    "http://user:100%@x",
    "http://user:%ff@x",
  ];
  for (const written of wrong) {
    assert(anyTarget.read(written) instanceof ConfigError, `accepted ${JSON.stringify(written)}`);
  }
});

Deno.test("a primary can be neither folder nor page", () => {
  assert(serverTarget.read("file:///srv") instanceof ConfigError);
  assert(serverTarget.read("page:x.html") instanceof ConfigError);
});

Deno.test("status codes are one or a range", () => {
  assertEquals(statusRange.read("204"), { from: 204, to: 204 });
  assertEquals(statusRange.read("200-399"), { from: 200, to: 399 });
  for (const text of ["20", "600", "399-200", "2xx", "200-"]) {
    assert(statusRange.read(text) instanceof ConfigError, text);
  }
});

Deno.test("a webhook URL is http or https", () => {
  assert(reportUrl.read("https://hooks.example/x") instanceof URL);
  for (const text of ["mailto:me@example", "hooks.example"]) {
    assert(reportUrl.read(text) instanceof ConfigError, text);
  }
});

Deno.test("a header that the proxy itself sets cannot be configured, and the error names it", () => {
  const errorOf = (name: string) =>
    serverTarget.read({ url: "http://x", headers: { [name]: "1" } });
  for (
    const name of [
      "Connection",
      "content-length",
      "Expect",
      "HTTP2-Settings",
      "Keep-Alive",
      "Proxy-Connection",
      "TE",
      "Trailer",
      "Transfer-Encoding",
      "UPGRADE",
    ]
  ) {
    const error = errorOf(name);
    assert(error instanceof ConfigError, name);
    assertEquals(error.found, `header "${name}"`);
  }
  const host = errorOf("Host");
  assert(host instanceof ConfigError && host.expected === "it as host: beside url:");
});

Deno.test("user and password of a URL may hold any character, as bytes of UTF-8", () => {
  assertEquals(server("http://us%25er:p%C3%A4ss@x").url.password, "p%C3%A4ss");
});

Deno.test("two upstreams that differ only in their passwords are different upstreams", () => {
  const backups = list(anyTarget, "URL").read(["http://a:1@x", "http://b:2@x"]);
  assert(!(backups instanceof ConfigError) && backups.length === 2);
});
