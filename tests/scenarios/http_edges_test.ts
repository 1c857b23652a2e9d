/** Special cases of HTTP with the real program: upstreams with lax syntax, and paths that lead outside. */
import { assertEquals, assertMatch } from "@std/assert";
import { rawUpstream, readUntil, sendText } from "../gateway/gateway_fixture.ts";
import { Child } from "../harness/child.ts";
import { Folder } from "../harness/folder.ts";
import { scenario } from "../harness/scenario.ts";
import { startWebProxy } from "../harness/web_proxy.ts";
import { unusedPort } from "../../src/base/testing/ports.ts";

scenario(
  "an upstream whose lines end in a bare LF passes its checks and serves clients",
  async ({ relay }) => {
    await using up = rawUpstream(async (conn) => {
      for (let head = await readUntil(conn); head !== ""; head = await readUntil(conn)) {
        await sendText(
          conn,
          "HTTP/1.1 200 OK\nContent-Type: text/plain\nContent-Length: 5\n\nplain",
        );
      }
    });
    const primary = { url: `http://127.0.0.1:${up.port}` };
    await using proxy = await startWebProxy({ primary, flags: { relay } });
    for (let i = 0; i < 5; i++) {
      const { status, text, headers } = await proxy.get("/");
      assertEquals([status, text, headers.get("content-type")], [200, "plain", "text/plain"]);
    }
    assertEquals(proxy.events("upstream.down"), []);
  },
);

scenario("the credentials in a URL stay below its path", async ({ relay }) => {
  const asked: string[] = [];
  await using up = rawUpstream(async (conn) => {
    for (let head = await readUntil(conn); head !== ""; head = await readUntil(conn)) {
      asked.push(head);
      await sendText(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    }
  });
  const primary = { url: `http://me:secret@127.0.0.1:${up.port}/bucket` };
  await using proxy = await startWebProxy({ primary, flags: { relay } });
  const paths = ["/../other", "/a/..%2f../other", "/%2e%2e/other", "/..;x/other"];
  for (const path of paths) assertEquals((await proxy.get(path)).status, 400, path);
  assertEquals((await proxy.get("/a/../b")).status, 200);
  const heads = asked.map((head) => head.split(" ")[1]!);
  assertEquals(heads.filter((path) => !path.startsWith("/bucket")), []);
  assertEquals(heads.filter((path) => path.includes("other")), []);
});

scenario(
  "a loop of proxies is ended by the first proxy that gets the request twice",
  async ({ relay }) => {
    // Its upstream is known only when both listen.
    const next = Promise.withResolvers<string>();
    await using circle = rawUpstream(async (conn) => {
      for (let head = await readUntil(conn); head !== ""; head = await readUntil(conn)) {
        // Checks are answered, or there would be no active upstream.
        if (!/\r\nvia: /i.test(head)) {
          await sendText(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        } else await sendText(conn, await throughTo(await next.promise, head));
      }
    });
    const primary = { url: `http://127.0.0.1:${circle.port}` };
    await using back = await startWebProxy({ primary, flags: { relay } });
    await using front = await startWebProxy({
      primary: { url: `http://${back.address}` },
      flags: { relay, "check-path": "/__failover/health" },
    });
    next.resolve(front.address);
    const { status } = await front.get("/");
    assertEquals(status, 508);
    assertMatch((await front.event("config.warned", { warning: /came back/ })).warning, /itself/);
    assertEquals(back.events("config.warned", { warning: /came back/ }), []);
  },
);

/** Sends a head to `address` and returns what comes back, up to the end of the response's one-line body. */
async function throughTo(address: string, head: string): Promise<string> {
  const [hostname, port] = address.split(":") as [string, string];
  const conn = await Deno.connect({ hostname, port: Number(port) });
  try {
    await sendText(conn, head);
    return await readUntil(conn, "sent it\n");
  } finally {
    conn.close();
  }
}

scenario(
  "the response of a CGI script of busybox, with the lines of a script, is forwarded",
  async ({ relay }) => {
    await using folder = await Folder.make();
    const script = "printf 'Content-Type: text/plain\\nX-Script: yes\\n\\nfrom a script'";
    await folder.script("cgi-bin/hello", script);
    const port = unusedPort();
    await using _httpd = new Child("busybox", {
      args: ["httpd", "-f", "-p", `127.0.0.1:${port}`, "-h", folder.path],
    });
    const primary = { url: `http://127.0.0.1:${port}` };
    const flags = { relay, "check-path": "/cgi-bin/hello" };
    await using proxy = await startWebProxy({ primary, flags });
    const { status, text, headers } = await proxy.get("/cgi-bin/hello");
    assertEquals([status, text, headers.get("x-script")], [200, "from a script", "yes"]);
  },
  ["busybox"],
);
