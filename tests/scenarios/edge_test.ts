/** What a proxy at the edge of the internet needs, with the real process. */
import { assertEquals, assertMatch } from "@std/assert";
import { tlsTest } from "../gateway/certificate.ts";
import { nodeUpstream, urlOf } from "../gateway/gateway_fixture.ts";
import { Folder } from "../harness/folder.ts";
import { scenario } from "../harness/scenario.ts";
import { startWebProxy } from "../harness/web_proxy.ts";

/** An upstream that answers with the headers of each request, and with its own request id. */
function echoesHeaders() {
  return nodeUpstream((request, response) => {
    response.setHeader("X-Request-Id", "of the upstream");
    response.end(JSON.stringify(request.headers));
  });
}

scenario(
  "--request-id gives each request an id, for upstream, client and log",
  async ({ relay }) => {
    await using folder = await Folder.make();
    await using upstream = await echoesHeaders();
    const log = { "access-log": folder.at("access.log"), "access-log-format": "json" };
    const flags = { relay, "request-id": true, ...log } as const;
    await using proxy = await startWebProxy({ primary: urlOf(upstream), flags });
    const taken = await proxy.get("/", ["X-Request-ID: my-id", "traceparent: 00-ab-cd-01"]);
    const made = await proxy.get("/", ["X-Request-ID: not fit"]);
    await upstream[Symbol.asyncDispose]();
    const failed = await proxy.request({ target: "/", method: "POST", body: "x" });
    assertEquals(taken.headers.get("x-request-id"), "my-id");
    const seen = JSON.parse(taken.text);
    assertEquals([seen["x-request-id"], seen.traceparent], ["my-id", "00-ab-cd-01"]);
    const id = made.headers.get("x-request-id")!;
    assertMatch(id, /^[0-9a-f]{24}$/);
    assertEquals(JSON.parse(made.text)["x-request-id"], id);
    assertMatch(failed.headers.get("x-request-id")!, /^[0-9a-f]{24}$/);
    const lines = (text: string) => text.split("\n").slice(0, -1);
    await folder.reads("access.log", (text) => lines(text).length >= 3);
    const logged = lines(await folder.read("access.log")).map((line) =>
      JSON.parse(line).request_id
    );
    assertEquals(logged, ["my-id", id, failed.headers.get("x-request-id")]);
  },
);

scenario(
  "without --request-id the id of a client is forwarded like any other header",
  async ({ relay }) => {
    await using upstream = await echoesHeaders();
    await using proxy = await startWebProxy({ primary: urlOf(upstream), flags: { relay } });
    const { text, headers } = await proxy.get("/", ["X-Request-ID: not fit"]);
    assertEquals(JSON.parse(text)["x-request-id"], "not fit");
    assertEquals(headers.get("x-request-id"), "of the upstream");
  },
);

const SAID = [
  "X-Forwarded-For: 198.51.100.9, 192.0.2.7",
  "X-Forwarded-Proto: https",
  "X-Forwarded-Host: site.test",
  "Forwarded: for=198.51.100.9",
];

scenario(
  "--trusted-proxies keeps their client headers, and those of others are replaced",
  async ({ relay }) => {
    await using folder = await Folder.make();
    await using upstream = await echoesHeaders();
    const log = { "access-log": folder.at("access.log"), "access-log-format": "json" };
    for (const trusted of ["127.0.0.0/8,192.0.2.7", "10.0.0.0/8,::1"]) {
      const flags = { relay, "trusted-proxies": trusted, ...log };
      await using proxy = await startWebProxy({ primary: urlOf(upstream), flags });
      const seen = JSON.parse((await proxy.get("/", SAID)).text);
      const names = ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "forwarded"];
      const isTrusted = trusted.startsWith("127");
      assertEquals(
        names.map((name) => seen[name]),
        isTrusted
          ? [
            "198.51.100.9, 192.0.2.7, 127.0.0.1",
            "https",
            "site.test",
            "for=198.51.100.9, for=127.0.0.1;host=site.example;proto=http",
          ]
          : ["127.0.0.1", "http", "site.example", "for=127.0.0.1;host=site.example;proto=http"],
      );
      await proxy.stop();
      const line = JSON.parse((await folder.read("access.log")).trim().split("\n").at(-1)!);
      assertEquals([line.client, line.peer], [
        isTrusted ? "198.51.100.9" : "127.0.0.1",
        "127.0.0.1",
      ]);
    }
  },
);

tlsTest("over HTTP/2 requests get an id, too, and trusted proxies are trusted", async (tls) => {
  await using upstream = await echoesHeaders();
  const flags = {
    "tls-cert": tls.certPath,
    "tls-key": tls.keyPath,
    relay: tls.relay,
    "request-id": true,
    "trusted-proxies": "127.0.0.1",
  } as const;
  await using proxy = await startWebProxy({ primary: urlOf(upstream), flags });
  using client = Deno.createHttpClient({ caCerts: [tls.cert], http1: false });
  const url = `https://localhost:${proxy.address.split(":")[1]}/`;
  const headers = { "x-request-id": "my-id", "x-forwarded-for": "198.51.100.9" };
  const response = await fetch(url, { client, headers });
  const seen = await response.json();
  assertEquals(response.headers.get("x-request-id"), "my-id");
  assertEquals([seen["x-request-id"], seen["x-forwarded-for"]], [
    "my-id",
    "198.51.100.9, 127.0.0.1",
  ]);
});
