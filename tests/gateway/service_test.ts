/** A whole HTTP service from its command line: every option must have its effect. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { realClock } from "../../src/base/clock.ts";
import { httpOf } from "../../src/config/testing/config.ts";
import type { Event } from "../../src/events/events.ts";
import { Programs } from "../../src/hooks/program.ts";
import { httpStarter } from "../../src/app/http_service.ts";
import type { Service } from "../../src/app/service.ts";
import { startThreads } from "../../src/app/threads.ts";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tlsTest } from "./certificate.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";
import { onBothProtocols, type OnSockets } from "./both_sockets.ts";
import { close, nodeUpstream, refusingPort } from "./gateway_fixture.ts";
import { storyClient } from "./clients.ts";
import type { Exchange, Protocol } from "./story_client.ts";
import { serviceContext } from "./service_context.ts";

/** A running service on a port that the system chooses. */
class Front implements AsyncDisposable {
  readonly events: Event[] = [];
  #news = Promise.withResolvers<void>();
  readonly #programs = new Programs(realClock);
  #service: Service | undefined;
  #threads: AsyncDisposable | undefined;
  port = 0;
  readonly #protocol: Protocol;

  private constructor(protocol: Protocol) {
    this.#protocol = protocol;
  }

  static async start(
    args: readonly string[],
    files: Record<string, string> = {},
    protocol: Protocol = "HTTP/1.1",
  ): Promise<Front> {
    const front = new Front(protocol);
    const quick = ["--check-interval=100ms", "--listen=127.0.0.1:0", "--failback-damping=off"];
    const config = httpOf([...quick, ...args], { files });
    const threads = front.#threads = await startThreads(
      [config],
      1,
      (event) => front.#readUntil(event),
    );
    const service = await (await httpStarter(config)).start(serviceContext({
      publish: (event) => front.#readUntil(event),
      programs: front.#programs,
      threads,
      connectionsMax: config.maxConnections,
      drainMs: 30_000,
      publicEndpoints: (view) =>
        Promise.resolve({ fetch: () => new Response(`window of ${view.name}`) }),
    }));
    if (typeof service === "string") {
      await threads[Symbol.asyncDispose]();
      await front.#programs[Symbol.asyncDispose]();
      throw new Error(service);
    }
    front.#service = service;
    const opened = front.events.find((event) => event.type === "port.opened");
    front.port = Number(opened?.address.split(":")[1]);
    return front;
  }

  #readUntil(event: Event): void {
    this.events.push(event);
    this.#news.resolve();
    this.#news = Promise.withResolvers();
  }

  async event(type: Event["type"]): Promise<void> {
    const happened = async () => {
      while (!this.events.some((event) => event.type === type)) await this.#news.promise;
    };
    await withTestDeadline(type, happened(), () => JSON.stringify(this.events, null, 1));
  }

  async ask(path: string, lines: readonly string[] = [], body?: string) {
    const length = body === undefined ? [] : [`Content-Length: ${body.length}`];
    const method = body === undefined ? "GET" : "POST";
    using asked = await this.begin(method, path, [...lines, ...length], body !== undefined);
    const { exchange } = asked;
    // The service may answer before it has read everything, and read nothing after that.
    const sending = body === undefined ? undefined : exchange.send(body).then(() => exchange.end());
    const answer = await withTestDeadline(`an answer to ${path}`, exchange.answer());
    await sending?.catch(() => {});
    return answer;
  }

  /** Begins an exchange on a connection of its own, which the caller closes. */
  async begin(
    method: string,
    path: string,
    lines: readonly string[] = [],
    hasBody = false,
  ): Promise<Disposable & { readonly exchange: Exchange }> {
    const conn = await Deno.connect({ hostname: "127.0.0.1", port: this.port });
    const client = storyClient(conn, this.#protocol);
    const exchange = await client.begin(method, path, lines, { hasBody });
    return { exchange, [Symbol.dispose]: () => close(conn) };
  }

  async stop(drainMs = 0): Promise<number> {
    return await this.#service!.stop(drainMs, new AbortController().signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    await this.#threads?.[Symbol.asyncDispose]();
    await this.#programs[Symbol.asyncDispose]();
  }
}

/** Starts a service of a story; `relay` and `protocol` are those of the story. */
function starter({ relay, protocol }: OnSockets): typeof Front.start {
  return async (args, files) => {
    const h2c = protocol === "HTTP/2" ? ["--h2c"] : [];
    const front = await Front.start([...args, `--relay=${relay}`, ...h2c], files, protocol);
    const chosen = front.events.filter((event) => event.type === "sockets.chosen");
    const sockets = relay === "splice" ? "linux" : "deno";
    assertEquals(chosen.map((event) => event.sockets), [sockets]);
    return front;
  };
}

/** Answers with the request; `checks` collects the paths of requests without `X-Real`, which are checks. */
async function echoesRequest(checks: string[] = [], status: () => number = () => 200) {
  return await nodeUpstream((request, response) => {
    const { host, authorization, "x-real": real, "x-key": key } = request.headers;
    if (real === undefined) {
      checks.push(request.url!);
      return void response.writeHead(status(), { location: "/elsewhere" }).end();
    }
    request.resume();
    response.end(JSON.stringify({ url: request.url, host, authorization, key }));
  });
}

const REAL = ["X-Real: 1"];

onBothProtocols(
  "a URL gives base path, host and credentials; the file adds host and headers",
  async (on) => {
    const start = starter(on);
    await using up = await echoesRequest();
    {
      await using front = await start([`--primary=http://me:p%40ss@127.0.0.1:${up.port}/app/`]);
      const { body, get } = await front.ask("/x//y", REAL);
      const said = JSON.parse(body);
      assertEquals([said.url, said.host], ["/app/x//y", `127.0.0.1:${up.port}`]);
      assertEquals(said.authorization, `Basic ${btoa("me:p@ss")}`);
      assertEquals(get("failover"), "upstream=primary; attempt=1");
      assert(!JSON.stringify(front.events).includes("ss@"), "the password was published");
      assertStringIncludes((await front.ask("/__failover/state")).body, "window of http");
    }
    const yaml = `primary:\n  url: http://127.0.0.1:${up.port}\n  host: bucket.test\n` +
      `  headers:\n    X-Key: "42"\n`;
    await using front = await start(["--config=c.yaml", "--preserve-host"], { "c.yaml": yaml });
    const said = JSON.parse((await front.ask("/", ["X-Key: mine", ...REAL])).body);
    assertEquals([said.host, said.key], ["bucket.test", "42"]);
  },
);

onBothProtocols(
  "--preserve-host and --no-failover-header have their documented effect",
  async (on) => {
    const start = starter(on);
    await using up = await echoesRequest();
    const flags = ["--preserve-host", "--no-failover-header"];
    await using front = await start([`--primary=http://127.0.0.1:${up.port}`, ...flags]);
    const { body, get } = await front.ask("/", REAL);
    assertEquals([JSON.parse(body).host, get("failover")], ["front.test", undefined]);
  },
);

onBothProtocols("--allow-trace forwards TRACE, which is refused without it", async (on) => {
  const start = starter(on);
  await using up = await echoesRequest();
  const primary = `--primary=http://127.0.0.1:${up.port}`;
  for (const [flags, status] of [[[], 405], [["--allow-trace"], 200]] as const) {
    await using front = await start([primary, ...flags]);
    using asked = await front.begin("TRACE", "/", REAL);
    const answer = await withTestDeadline("an answer", asked.exchange.answer());
    assertEquals(answer.status, status);
  }
});

onBothProtocols("each service has its own name in Via", async (on) => {
  const start = starter(on);
  await using up = await echoesRequest();
  const names = new Set<string>();
  for (let i = 0; i < 2; i++) {
    await using front = await start([`--primary=http://127.0.0.1:${up.port}`]);
    const via = (await front.ask("/", REAL)).get("via")!;
    assertMatch(via, /^1\.1 failover-[0-9a-f]{8}$/);
    names.add(via);
    assertEquals((await front.ask("/", [`Via: ${via}`, ...REAL])).status, 508);
  }
  assertEquals(names.size, 2);
});

onBothProtocols(
  "--max-body limits a request, --check-path and --check-status determine the checks",
  async (on) => {
    const start = starter(on);
    const checks: string[] = [];
    await using up = await echoesRequest(checks, () => 302);
    const flags = ["--max-body=10B", "--check-path=/up?x", "--check-status=302"];
    await using front = await start([`--primary=http://127.0.0.1:${up.port}`, ...flags]);
    assertEquals((await front.ask("/", REAL, "x".repeat(11))).status, 413);
    assertEquals((await front.ask("/", REAL, "x".repeat(10))).status, 200);
    assertEquals([...new Set(checks)], ["/up?x"]);
  },
);

onBothProtocols("a folder and a page serve clients when no server is left", async (on) => {
  const start = starter(on);
  const folder = await Deno.makeTempDir({ prefix: "failover-test-" });
  await Deno.writeTextFile(`${folder}/index.html`, "<p>static");
  await Deno.writeTextFile(`${folder}/sorry.html`, "<p>sorry");
  for (
    const [backup, status, body] of [
      [`file://${folder}`, 200, "<p>static"],
      [`page:${folder}/sorry.html`, 503, "<p>sorry"],
    ]
  ) {
    await using front = await start([
      `--primary=http://127.0.0.1:${refusingPort()}`,
      `--backup=${backup}`,
    ]);
    await front.event("promotion.finished");
    const answer = await front.ask("/");
    assertEquals([answer.status, answer.body], [status, body]);
    assertEquals(answer.get("failover"), "upstream=backup; attempt=1");
  }
  await Deno.remove(folder, { recursive: true });
});

onBothProtocols(
  "without an upstream, clients are held for --hold and then get --error-page",
  async (on) => {
    const start = starter(on);
    const page = await Deno.makeTempFile({ prefix: "failover-test-", suffix: ".html" });
    await Deno.writeTextFile(page, "<p>gone for lunch");
    const flags = ["--hold=50ms", `--error-page=${page}`];
    {
      const primary = `--primary=http://127.0.0.1:${refusingPort()}`;
      await using front = await start([primary, ...flags]);
      const answer = await front.ask("/");
      assertEquals([answer.status, answer.body], [503, "<p>gone for lunch"]);
      assertStringIncludes(answer.get("content-type")!, "text/html");
      assertEquals((await front.ask("/__failover/health")).status, 200);
    }
    await Deno.remove(page);
  },
);

onBothProtocols(
  "an upstream that still answers is used although all checks fail",
  async (on) => {
    const start = starter(on);
    await using up = await echoesRequest([], () => 500);
    await using front = await start([`--primary=http://127.0.0.1:${up.port}`]);
    await front.event("service.failedOpen");
    assertEquals((await front.ask("/", REAL)).status, 200);
  },
);

onBothProtocols("--response-idle-timeout ends a response that has stopped", async (on) => {
  const start = starter(on);
  await using up = await nodeUpstream((request, response) => {
    if (request.headers["x-real"] === undefined) return void response.end();
    response.writeHead(200, { "content-length": 100 }).write("part");
  });
  await using front = await start([
    `--primary=http://127.0.0.1:${up.port}`,
    "--response-idle-timeout=300ms",
  ]);
  using asked = await front.begin("GET", "/", REAL);
  const answer = await withTestDeadline("the response to be cut", asked.exchange.answer());
  assertEquals([answer.body, answer.end], ["part", on.cut]);
});

Deno.test("a file that cannot be read is a configuration error that names the option", async () => {
  const primary = "--primary=http://127.0.0.1:1";
  for (const flag of ["ca-file", "error-page"]) {
    const failed = await Front.start([primary, `--${flag}=/no/such/file`]).catch((e) => e.message);
    assertStringIncludes(failed, `/no/such/file`);
    assertStringIncludes(failed, `--${flag}`);
  }
});

tlsTest("an https upstream is trusted with --ca-file, and not without it", async (tls) => {
  const { cert, key, certPath, relay } = tls;
  const up = createServer({ cert, key }, (_, response) => response.end("secret"));
  await new Promise<void>((resolve) => up.listen(0, "127.0.0.1", resolve));
  const primary = `--primary=https://localhost:${(up.address() as AddressInfo).port}`;
  {
    await using front = await Front.start([primary, `--ca-file=${certPath}`, `--relay=${relay}`]);
    assertEquals((await front.ask("/")).body.includes("secret"), true);
  }
  {
    await using front = await Front.start([primary, "--hold=50ms", `--relay=${relay}`]);
    assertEquals((await front.ask("/")).status, 503);
  }
  up.closeAllConnections();
  await new Promise((resolve) => up.close(resolve));
});

tlsTest("--tls-cert and --tls-key serve HTTPS, and neither works alone", async (tls) => {
  await using up = await echoesRequest();
  const primary = `--primary=http://127.0.0.1:${up.port}`;
  const cert = `--tls-cert=${tls.certPath}`;
  {
    await using front = await Front.start([
      ...[primary, cert, `--tls-key=${tls.keyPath}`, `--relay=${tls.relay}`],
    ]);
    for (const protocol of [{ http1: true, http2: false }, { http1: false, http2: true }]) {
      using client = Deno.createHttpClient({ caCerts: [tls.cert], ...protocol });
      const headers = { "x-real": "1" };
      const answer = await fetch(`https://localhost:${front.port}/x`, { client, headers });
      assertEquals((await answer.json()).url, "/x");
    }
  }
  const failed = await Front.start([primary, cert, `--tls-key=${tls.certPath}`]).catch((e) => e);
  assertStringIncludes(failed.message, "it holds no private key (PEM) (from flag --tls-key)");
});
