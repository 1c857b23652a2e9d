/** HTTP/2 toward clients, where it differs from HTTP/1.1: absent bodies, and the connection preface. */
import { assertEquals } from "@std/assert";
import { connect } from "node:http2";
import { tlsTest, withHttp2Client } from "./certificate.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";
import {
  close,
  GatewayFixture,
  nodeUpstream,
  rawUpstream,
  readToEnd,
  readUntil,
  type RunningServer,
  sendText,
} from "./gateway_fixture.ts";

/** Answers each complete request with its bytes, one connection after another. */
function echoOfHeads(heads: string[]): RunningServer {
  return rawUpstream(async (conn) => {
    for (;;) {
      const head = await readUntil(conn);
      if (head === "") return;
      heads.push(head);
      await sendText(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    }
  });
}

tlsTest("a request over HTTP/2 without a body has none at the upstream", async (tls) => {
  const heads: string[] = [];
  await using up = echoOfHeads(heads);
  await using fixture = await GatewayFixture.start([up.port], { tls });
  await fixture.open(0);
  await withHttp2Client(tls, async (client) => {
    for (const method of ["DELETE", "OPTIONS", "POST", "PUT", "PATCH", "GET"]) {
      const url = `https://localhost:${fixture.port}/`;
      const answer = await fetch(url, { client, method });
      assertEquals([method, answer.status, await answer.text()], [method, 200, "ok"]);
    }
  });
  const framing = heads.map((head) => [
    head.split(" ")[0],
    /\r\n(content-length|transfer-encoding): [^\r]*/i.exec(head)?.[0].trim().toLowerCase(),
    head.slice(head.indexOf("\r\n\r\n") + 4),
  ]);
  assertEquals(framing, [
    ["DELETE", undefined, ""],
    ["OPTIONS", undefined, ""],
    ["POST", "content-length: 0", ""],
    ["PUT", "content-length: 0", ""],
    ["PATCH", "content-length: 0", ""],
    ["GET", undefined, ""],
  ]);
});

tlsTest(
  "a response that must have no body has none over HTTP/2, nor a wrong length",
  async (tls) => {
    const said: Readonly<Record<string, string>> = {
      "/204": "HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\nevil",
      "/304": "HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\n",
      "/": "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n",
    };
    await using up = rawUpstream(async (conn) =>
      await sendText(conn, said[(await readUntil(conn)).split(" ")[1]!]!)
    );
    await using fixture = await GatewayFixture.start([up.port], { tls });
    await fixture.open(0);
    // Node's client treats a length that does not match as a protocol error.
    const session = connect(`https://localhost:${fixture.port}`, { ca: tls.cert });
    const ask = (path: string, method = "GET") => {
      const answer = Promise.withResolvers<(string | number | undefined)[]>();
      const request = session.request({ ":path": path, ":method": method });
      let head: (string | number | undefined)[] = [];
      request.on("response", (headers) => head = [headers[":status"], headers["content-length"]]);
      request.on("error", answer.reject);
      request.on("close", () => answer.resolve(head));
      request.resume();
      request.end();
      return withTestDeadline(path, answer.promise);
    };
    assertEquals(await ask("/204"), [204, undefined]);
    assertEquals(await ask("/304"), [304, "4"]);
    assertEquals(await ask("/", "HEAD"), [200, "4"]);
    const closed = new Promise<void>((resolve) => session.close(resolve));
    await withTestDeadline("the end of the session", closed);
  },
);

tlsTest("a strict upstream keeps its connection after requests without a body", async (tls) => {
  const ports = new Set<number>();
  await using up = await nodeUpstream((request, response) => {
    ports.add(request.socket.remotePort!);
    request.resume();
    request.on("end", () => response.end(request.method));
  });
  await using fixture = await GatewayFixture.start([up.port], { tls });
  await fixture.open(0);
  await withHttp2Client(tls, async (client) => {
    for (let i = 0; i < 10; i++) {
      const method = ["DELETE", "OPTIONS", "POST"][i % 3]!;
      const answer = await fetch(`https://localhost:${fixture.port}/`, { client, method });
      assertEquals([answer.status, await answer.text()], [200, method]);
    }
  });
  assertEquals(ports.size, 1);
});

tlsTest(
  "a body over HTTP/2 of unknown length arrives whole, also with empty parts",
  async (tls) => {
    const go = Promise.withResolvers<void>();
    await using up = await nodeUpstream((request, response) => {
      // Its head arrives before the client has sent any of the body.
      go.resolve();
      let text = "";
      request.on("data", (data) => text += data);
      request.on("end", () => response.end(`${request.headers["transfer-encoding"]} ${text}`));
    });
    await using fixture = await GatewayFixture.start([up.port], { tls });
    await fixture.open(0);
    await withHttp2Client(tls, async (client) => {
      const body = new ReadableStream<Uint8Array>({
        async start(controller) {
          const encoder = new TextEncoder();
          await go.promise;
          controller.enqueue(encoder.encode("one "));
          controller.enqueue(new Uint8Array(0));
          controller.enqueue(encoder.encode("two"));
          controller.close();
        },
      });
      const answer = await fetch(`https://localhost:${fixture.port}/`, {
        client,
        method: "POST",
        body,
      });
      assertEquals(await answer.text(), "chunked one two");
    });
  },
);

tlsTest("a client that has negotiated HTTP/2 and sends HTTP/1.1 is not answered", async (tls) => {
  let asked = 0;
  await using up = await nodeUpstream((_, response) => {
    asked++;
    response.end("past the parser");
  });
  await using fixture = await GatewayFixture.start([up.port], { tls });
  await fixture.open(0);
  const heads = [
    "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "PRI * HTTP/1.1\r\n\r\nSM\r\n\r\n",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\rX",
  ];
  for (const head of heads) {
    const conn = await Deno.connectTls({
      hostname: "127.0.0.1",
      port: fixture.port,
      caCerts: [tls.cert],
      alpnProtocols: ["h2"],
    });
    assertEquals((await conn.handshake()).alpnProtocol, "h2");
    await sendText(conn, head);
    const { text } = await withTestDeadline("the end of the connection", readToEnd(conn));
    assertEquals(text, "");
    close(conn);
  }
  assertEquals(asked, 0);
});

const hasCurl = await new Deno.Command("curl", { args: ["--version"], stdout: "piped" }).output()
  .then(({ stdout }) => new TextDecoder().decode(stdout).includes("HTTP2"), () => false);

if (hasCurl) {
  tlsTest("curl over HTTP/2: methods without a body, one after another", async (tls) => {
    const heads: string[] = [];
    await using up = echoOfHeads(heads);
    await using fixture = await GatewayFixture.start([up.port], { tls });
    await fixture.open(0);
    const url = `https://localhost:${fixture.port}/`;
    const one = (method: string) => ["-sS", "--http2", "--cacert", tls.certPath, "-X", method, url];
    const args = ["DELETE", "OPTIONS", "POST", "PUT"].flatMap((method, i) =>
      i === 0 ? one(method) : ["--next", ...one(method)]
    );
    const { stdout, stderr } = await new Deno.Command("curl", { args }).output();
    const decoder = new TextDecoder();
    assertEquals([decoder.decode(stdout), decoder.decode(stderr)], ["okokokok", ""]);
    const framed = heads.map((head) => /chunked|Content-Length: 0/.exec(head)?.[0]);
    assertEquals(framed, [undefined, undefined, "Content-Length: 0", "Content-Length: 0"]);
  });
}

tlsTest(
  "a login for a connection, made over HTTP/2, ends with its response",
  async (tls) => {
    const ended: Record<string, () => void> = {};
    const endOf = (name: string) => new Promise<void>((resolve) => ended[name] = resolve);
    await using up = rawUpstream(async (conn) => {
      let name = "nobody";
      for (let head = await readUntil(conn); head !== ""; head = await readUntil(conn)) {
        name = /authorization: negotiate (\w+)/i.exec(head)?.[1] ?? name;
        await sendText(conn, `HTTP/1.1 200 OK\r\nContent-Length: ${name.length}\r\n\r\n${name}`);
      }
      ended[name]?.();
    });
    await using fixture = await GatewayFixture.start([up.port], { tls });
    await fixture.open(0);
    const [alice, bob] = [endOf("alice"), endOf("bob")];
    await withHttp2Client(tls, async (client) => {
      const ask = async (name?: string) => {
        const headers = name === undefined ? {} : { authorization: `Negotiate ${name}` };
        const url = `https://localhost:${fixture.port}/`;
        return await (await fetch(url, { client, headers })).text();
      };
      assertEquals([await ask("alice"), await ask(), await ask("bob")], [
        "alice",
        "nobody",
        "bob",
      ]);
      await withTestDeadline(
        "both connections to the upstream to end",
        Promise.all([alice, bob]),
      );
      assertEquals([await ask(), await ask()], ["nobody", "nobody"]);
    });
  },
);
