/** What HTTP/2 has of its own, through the whole gateway: interim responses, trailers, tunnels, and cut responses. */
import { assertEquals } from "@std/assert";
import { FLAG, FRAME } from "../../src/http2/frames.ts";
import {
  block,
  BlockReader,
  bytes,
  frame,
  opening,
  requestFields,
} from "../../src/http2/testing/frames.ts";
import { FrameClient } from "../../src/http2/testing/server_fixture.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";
import { onBothSockets, type OnSockets } from "./both_sockets.ts";
import { type GatewayFixture, rawUpstream, readUntil, sendText } from "./gateway_fixture.ts";

type Client = FrameClient<Deno.Conn>;

/** A gateway over HTTP/2, a client of it, and an upstream that answers each head with `answer` and then ends. */
async function withClient(
  { start }: OnSockets,
  serve: (conn: Deno.TcpConn, head: string) => Promise<void>,
  use: (client: Client, fixture: GatewayFixture) => Promise<void>,
): Promise<void> {
  await using up = rawUpstream(async (conn) => {
    for (let head = await readUntil(conn); head !== ""; head = await readUntil(conn)) {
      await serve(conn, head);
    }
  });
  await using fixture = await start([up.port], { protocol: "HTTP/2" });
  await fixture.open(0);
  const client: Client = new FrameClient(await fixture.connect());
  await client.send(opening());
  await withTestDeadline("a story", use(client, fixture));
}

/** What comes on the only stream, until its end: heads as lines, bodies, resets. */
async function story(client: Client, until = "end"): Promise<string[]> {
  const blocks = new BlockReader();
  const told: string[] = [];
  for (;;) {
    const one = await client.next();
    if (one === undefined) return [...told, "closed"];
    if (one.type === "headers") {
      const kept = blocks.lines(one.payload)!.filter((line) => !/^(via|date|failover):/.test(line));
      told.push(...kept);
    } else if (one.type === "data") told.push(`data ${new TextDecoder().decode(one.payload)}`);
    else told.push(`${one.type} ${one.payload[3]}`);
    const isLast = (one.flags & FLAG.endStream) !== 0;
    if (isLast) told.push("end");
    if (isLast || one.type === "resetStream" || told.at(-1) === until) return told;
  }
}

const GET = frame(FRAME.headers, FLAG.endHeaders | FLAG.endStream, 1, block(requestFields()));

onBothSockets("103 comes before the response, and trailers after it", async (sockets) => {
  const text = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n" +
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n" +
    "2\r\nok\r\n0\r\nX-Sum: 7\r\n\r\n";
  await withClient(sockets, (conn) => sendText(conn, text), async (client) => {
    const te = block(requestFields("GET", "/", [["te", "trailers"]]));
    await client.send(frame(FRAME.headers, FLAG.endHeaders | FLAG.endStream, 1, te));
    assertEquals(await story(client), [
      ...[":status: 103", "link: </a.css>"],
      ...[":status: 200", "trailer: X-Sum", "data ok", "x-sum: 7", "end"],
    ]);
  });
});

onBothSockets("a response that its upstream cuts is reset, not ended", async (sockets) => {
  for (const framing of ["Content-Length: 9\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n4\r\n"]) {
    const cut = async (conn: Deno.TcpConn) => {
      await sendText(conn, `HTTP/1.1 200 OK\r\n${framing}half`);
      conn.close();
    };
    await withClient(sockets, cut, async (client) => {
      await client.send(GET);
      const told = await story(client);
      assertEquals([told.includes("end"), told.at(-1)], [false, "resetStream 2"]);
    });
  }
});

onBothSockets("a 205 has no body, and its upstream's connection goes on", async (sockets) => {
  const ok = "HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n";
  await withClient(sockets, (conn) => sendText(conn, ok), async (client) => {
    await client.send(GET);
    const [status, ...rest] = await story(client);
    assertEquals([status, rest.at(-1)], [":status: 205", "end"]);
    assertEquals(rest.some((each) => each.startsWith("data ") && each !== "data "), false);
    await client.get(3);
    assertEquals((await story(client))[0], ":status: 205");
  });
});

onBothSockets("100 Continue comes when the upstream wants the body", async (sockets) => {
  const serve = async (conn: Deno.TcpConn, head: string) => {
    const text = head.includes("hello") ? head : await readUntil(conn, "hello", head);
    const body = text.slice(text.indexOf("\r\n\r\n") + 4);
    await sendText(conn, `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
  };
  await withClient(sockets, serve, async (client) => {
    await client.post(1, "/", [["content-length", "5"], ["expect", "100-continue"]]);
    assertEquals(await story(client, ":status: 100"), [":status: 100"]);
    await client.data(1, "hello", true);
    assertEquals((await story(client)).slice(-2), ["data hello", "end"]);
  });
});

onBothSockets(
  "a WebSocket over HTTP/2 is a tunnel that each side may end (RFC 8441)",
  async (sockets) => {
    const ended = Promise.withResolvers<string>();
    const serve = async (conn: Deno.TcpConn, head: string) => {
      const key = /sec-websocket-key: (\S+)/i.exec(head)?.[1] ?? "";
      const guid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
      const hash = await crypto.subtle.digest("SHA-1", new TextEncoder().encode(key + guid));
      const accept = btoa(String.fromCharCode(...new Uint8Array(hash)));
      const lines = `Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}`;
      await sendText(conn, `HTTP/1.1 101 Switching Protocols\r\n${lines}\r\n\r\nfirst`);
      const text = await readUntil(conn, "second");
      ended.resolve(text + await readUntil(conn));
    };
    await withClient(sockets, serve, async (client) => {
      const [, ...fields] = requestFields("CONNECT", "/chat", [["sec-websocket-version", "13"]]);
      const all = block([[":method", "CONNECT"], [":protocol", "websocket"], ...fields]);
      await client.send(frame(FRAME.headers, FLAG.endHeaders, 1, all));
      assertEquals(await story(client, "data first"), [":status: 200", "data first"]);
      await client.data(1, "second");
      await client.data(1, "", true);
      assertEquals(await ended.promise, "second");
      assertEquals((await story(client)).at(-1), "end");
    });
  },
);

onBothSockets(
  "a client that takes its request back frees the upstream, and others go on",
  async (sockets) => {
    const gone = Promise.withResolvers<void>();
    const serve = async (conn: Deno.TcpConn, head: string) => {
      if (!head.startsWith("GET /slow")) {
        return await sendText(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
      }
      await readUntil(conn).catch(() => {});
      gone.resolve();
    };
    await withClient(sockets, serve, async (client) => {
      await client.get(1, "/slow");
      await client.get(3, "/");
      assertEquals((await story(client)).at(-2), "data ok");
      await client.send(frame(FRAME.resetStream, 0, 1, bytes(0, 0, 0, 8)));
      await gone.promise;
      await client.get(5, "/");
      assertEquals((await story(client)).at(-2), "data ok");
    });
  },
);

onBothSockets(
  "as many cookies as a browser keeps for a site arrive in one line, also in crumbs",
  async (sockets) => {
    const cookies = Array.from({ length: 180 }, (_, at) => `name${at}=${"v".repeat(20)}`);
    const heads: string[] = [];
    const serve = async (conn: Deno.TcpConn, head: string) => {
      heads.push(head);
      await sendText(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    };
    await withClient(sockets, serve, async (client) => {
      const fields = requestFields("GET", "/", cookies.map((each) => ["cookie", each]));
      await client.send(frame(FRAME.headers, FLAG.endHeaders | FLAG.endStream, 1, block(fields)));
      assertEquals((await story(client))[0], ":status: 200");
    });
    assertEquals(/\r\ncookie: ([^\r]*)/i.exec(heads[0]!)?.[1], cookies.join("; "));
  },
);

onBothSockets(
  "fields of a connection are malformed in HTTP/2, and credentials for a proxy are not forwarded",
  async (sockets) => {
    const heads: string[] = [];
    const serve = async (conn: Deno.TcpConn, head: string) => {
      heads.push(head);
      await sendText(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    };
    const malformed = [
      ...[["connection", "x-private"], ["keep-alive", "5"], ["proxy-connection", "x"]],
      ...[["transfer-encoding", "chunked"], ["upgrade", "h2c"], ["te", "gzip"]],
    ] as const;
    await withClient(sockets, serve, async (client) => {
      let id = -1;
      const ask = (more: readonly [string, string]) => {
        const fields = block(requestFields("GET", "/", [more]));
        return client.send(
          frame(FRAME.headers, FLAG.endHeaders | FLAG.endStream, id += 2, fields),
        );
      };
      for (const field of malformed) {
        await ask(field as [string, string]);
        assertEquals([field[0], await story(client)], [field[0], ["resetStream 1"]]);
      }
      await ask(["proxy-authorization", "secret"]);
      assertEquals((await story(client)).at(-2), "data ok");
      assertEquals([heads.length, heads[0]!.includes("secret")], [1, false]);
    });
  },
);
