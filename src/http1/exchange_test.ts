/** One exchange: framing of responses, cut responses, interim responses and upgrades. */
import { assertEquals, assertMatch } from "@std/assert";
import { Fault } from "../base/fault.ts";
import { fakePair } from "../net/testing/fake_conn.ts";
import { GET, serverFixture, text } from "./testing/server_fixture.ts";
import { tunnel } from "../net/tunnel.ts";

Deno.test("the response is framed for the request and for its status", async () => {
  const { connect } = serverFixture(async (exchange) => {
    const [, status, kind] = exchange.head.path.split("/");
    exchange.respond(Number(status), "X");
    const parts = [text.encode("ab"), text.encode("c")];
    const length = kind === "open" ? undefined : 3;
    await exchange.send(
      kind === "none" ? null : {
        length,
        read: () => Promise.resolve(parts.shift()),
      },
    );
  });
  const ask = async (method: string, path: string, version = "1.1", field = "") => {
    const { client, done } = connect();
    await client.sendText(`${method} ${path} HTTP/${version}\r\nHost: a\r\n${field}\r\n`);
    await client.closeWrite();
    const heard = await client.readAllText();
    await done;
    return heard.slice("HTTP/1.1 ".length);
  };
  assertEquals(await ask("GET", "/200/known"), "200 X\r\nContent-Length: 3\r\n\r\nabc");
  assertEquals(
    await ask("GET", "/200/open"),
    "200 X\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n",
  );
  assertEquals(await ask("GET", "/200/open", "1.0"), "200 X\r\nConnection: close\r\n\r\nabc");
  assertEquals(
    await ask("GET", "/200/known", "1.0", "Connection: keep-alive\r\n"),
    "200 X\r\nContent-Length: 3\r\nConnection: keep-alive\r\n\r\nabc",
  );
  assertEquals(await ask("GET", "/200/none"), "200 X\r\nContent-Length: 0\r\n\r\n");
  assertEquals(await ask("HEAD", "/200/known"), "200 X\r\nContent-Length: 3\r\n\r\n");
  assertEquals(await ask("HEAD", "/200/open"), "200 X\r\n\r\n");
  assertEquals(await ask("GET", "/304/known"), "304 X\r\nContent-Length: 3\r\n\r\n");
  assertEquals(await ask("GET", "/204/known"), "204 X\r\n\r\n");
});

Deno.test("an empty part of a body is never a chunk, which would be the last one", async () => {
  const { connect } = serverFixture(async (exchange) => {
    exchange.respond(200, "OK");
    const parts = [text.encode(""), text.encode("ab"), text.encode("")];
    await exchange.send({ length: undefined, read: () => Promise.resolve(parts.shift()) });
  });
  const { client, done } = connect();
  await client.sendText(GET);
  await client.closeWrite();
  const heard = await client.readAllText();
  await done;
  assertEquals(heard.slice(heard.indexOf("\r\n\r\n") + 4), "2\r\nab\r\n0\r\n\r\n");
});

Deno.test("a response whose source fails is reset, so that the client sees that it is incomplete", async () => {
  const { connect, faults } = serverFixture(async (exchange) => {
    exchange.respond(200, "OK");
    const parts = [text.encode("ab")];
    await exchange.send({
      length: undefined,
      read: () =>
        parts.length > 0
          ? Promise.resolve(parts.shift())
          : Promise.reject(new Fault("responseCut")),
    });
  });
  const { client, server, done } = connect();
  await client.sendText(GET);
  await done;
  assertEquals(server.end, "reset");
  assertEquals(await client.readAllText(), "(reset)");
  assertEquals(faults, ["responseCut"]);
});

Deno.test("a fault of the app before any response is answered with its status", async () => {
  const { connect } = serverFixture(() => Promise.reject(new Fault("connectTimeout")));
  const { client } = connect();
  await client.sendText(GET);
  assertMatch(await client.readUntil("connect\n"), /^HTTP\/1.1 504 Gateway Timeout\r\n/);
  client.close();
});

Deno.test("interim responses reach HTTP/1.1 clients only", async () => {
  const { connect } = serverFixture(async (exchange) => {
    await exchange.write1xx(103, "Early Hints", (head) => head.line("Link", "</a>"));
    exchange.respond(200, "OK");
    await exchange.send(null);
  });
  const modern = connect();
  await modern.client.sendText(GET);
  await modern.client.readUntil("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
  await modern.client.readUntil("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  modern.client.close();
  const old = connect();
  await old.client.sendText("GET / HTTP/1.0\r\n\r\n");
  assertMatch(await old.client.readAllText(), /^HTTP\/1.1 200 OK/);
});

Deno.test("after an upgrade both sides see each other's bytes, early bytes and the half-close included", async () => {
  const [upstream, far] = fakePair();
  const { connect } = serverFixture(async (exchange) => {
    exchange.respond(101, "Switching Protocols").line("Upgrade", "echo");
    const count = await tunnel(await exchange.upgrade(), upstream);
    assertEquals(count, { fromClient: 5, fromUpstream: 3 });
    upstream.close();
  });
  const { client, done } = connect();
  await client.sendText(
    "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: echo\r\nConnection: upgrade\r\n\r\nearly",
  );
  assertEquals(
    await client.readUntil("\r\n\r\n"),
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: upgrade\r\n\r\n",
  );
  await far.readUntil("early");
  await client.closeWrite();
  assertEquals(await far.readAllText(), "");
  await far.sendText("bye");
  await far.closeWrite();
  assertEquals(await client.readAllText(), "bye");
  await done;
});
