/** `--relay` in HTTP mode with the real program: which engine is chosen, by its permissions. */
import { assert, assertEquals } from "@std/assert";
import { unusedPort } from "../../src/base/testing/ports.ts";
import { nodeUpstream } from "../gateway/gateway_fixture.ts";
import { Child } from "../harness/child.ts";
import { Folder } from "../harness/folder.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";
import { EXECUTABLE } from "../harness/proxy.ts";
import { scenario, testWithPrograms } from "../harness/scenario.ts";
import { connectTo } from "../harness/client.ts";
import { request, WebConnection } from "../harness/web_client.ts";
import { startWebProxy, WebProxy } from "../harness/web_proxy.ts";
import { WebUpstream } from "../harness/web_upstream.ts";

/** The engine that auto chooses here with the documented permissions. */
const BEST = Deno.build.os === "linux" ? "linux" : "deno";

Deno.test("the documented permissions are enough for the fastest engine, which then serves", async () => {
  await using primary = await WebUpstream.start("primary");
  await using proxy = await startWebProxy({ primary });
  assertEquals((await proxy.event("sockets.chosen")).sockets, BEST);
  assertEquals((await proxy.get("/")).text, "primary");
});

scenario(
  "an HTTP service runs on the engine of --relay, also on a unix socket",
  async ({ relay }) => {
    await using folder = await Folder.make();
    await using primary = await WebUpstream.start("primary");
    const listen = `unix:${folder.at("front.sock")}`;
    const args = [`--primary=${primary.url}`, `--listen=${listen}`, `--relay=${relay}`];
    await using proxy = new WebProxy([...args, "--json-logs"], {}, listen);
    const sockets = relay === "splice" ? "linux" : "deno";
    await proxy.event("sockets.chosen", { sockets, reason: "it was asked for" });
    await proxy.event("promotion.finished");
    const connection = new WebConnection(await connectTo(listen));
    for (let i = 0; i < 2; i++) {
      await connection.send({ target: "/" });
      assertEquals((await withTestDeadline("an answer", connection.reply())).text, "primary");
    }
    connection.close();
    assertEquals(await proxy.stop(), 0);
  },
);

scenario(
  "behind a proxy on a unix socket, that proxy's headers about its client are kept",
  async ({ relay }) => {
    await using folder = await Folder.make();
    await using primary = await nodeUpstream((request, response) => {
      response.end(JSON.stringify(request.headers));
    });
    const listen = `unix:${folder.at("front.sock")}`;
    const args = [`--primary=http://127.0.0.1:${primary.port}`, `--listen=${listen}`];
    await using proxy = new WebProxy([...args, `--relay=${relay}`, "--json-logs"], {}, listen);
    await proxy.event("promotion.finished");
    const lines = [
      "X-Forwarded-For: 192.0.2.9",
      "X-Forwarded-Proto: https",
      "Forwarded: for=192.0.2.9",
    ];
    const seen = JSON.parse((await proxy.get("/", lines)).text);
    assertEquals(seen["x-forwarded-for"], "192.0.2.9");
    assertEquals(seen["x-forwarded-proto"], "https");
    assertEquals(seen.forwarded, "for=192.0.2.9, for=unknown;host=site.example;proto=http");
    const bare = JSON.parse((await proxy.get("/")).text);
    assertEquals([bare["x-forwarded-for"], bare["x-forwarded-proto"]], [undefined, "http"]);
  },
);

/** The proxy without the permission to call the kernel. */
function withoutFfi(args: readonly string[], onErr: (line: string) => void): Child {
  const allowed = EXECUTABLE.filter((each) => each !== "--allow-ffi");
  assert(allowed.length < EXECUTABLE.length, "the permission has another name");
  return new Child(Deno.execPath(), { args: [...allowed, ...args], onErr });
}

const onLinux = (name: string, run: () => Promise<void>) => {
  if (Deno.build.os === "linux") testWithPrograms(name, [], run);
};

onLinux("without --allow-ffi auto falls back, reports that once, and serves", async () => {
  await using primary = await WebUpstream.start("primary");
  const listen = `127.0.0.1:${unusedPort()}`;
  const log: string[] = [];
  const chosen = Promise.withResolvers<void>();
  const args = ["--json-logs", `--primary=${primary.url}`, `--listen=${listen}`];
  await using proxy = withoutFfi(args, (line) => {
    log.push(line);
    if (line.includes('"promotion.finished"')) chosen.resolve();
  });
  const all = () => log.join("\n");
  await withTestDeadline("an upstream", Promise.race([chosen.promise, proxy.ended]), all);
  assert(!proxy.hasEnded, all());
  assertEquals((await request(listen, { target: "/" }, all)).text, "primary");
  const reported = log.map((line) => JSON.parse(line)).filter(({ event }) =>
    event === "sockets.chosen"
  );
  assertEquals(reported.map(({ sockets, reason }) => [sockets, reason]), [
    ["deno", "those of Linux cannot be used: calling libc is not permitted (--allow-ffi)"],
  ]);
});

onLinux(
  "without --allow-ffi splice ends with exit code 2 and one line with the reason",
  async () => {
    const log: string[] = [];
    const listen = `--listen=127.0.0.1:${unusedPort()}`;
    const args = ["--primary=http://a.example", "--relay=splice", "--log-level=error", listen];
    await using proxy = withoutFfi(args, (line) => log.push(line));
    const { code } = await withTestDeadline("its end", proxy.ended, () => log.join("\n"));
    assertEquals([code, log], [2, [
      "failover: Cannot use the relay engine splice: " +
      "calling libc is not permitted (--allow-ffi) (from flag --relay)",
    ]]);
  },
);
