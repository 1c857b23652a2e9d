/** Many WebSockets at one time, over HTTP/2 twenty on each connection: what ends them, and what does not. */
import { assertEquals } from "@std/assert";
import { onBothProtocols } from "../gateway/both_sockets.ts";
import { storyClient } from "../gateway/clients.ts";
import {
  rawUpstream,
  readUntil,
  type RunningServer,
  sendText,
} from "../gateway/gateway_fixture.ts";
import { type Exchange, OPENED, type Protocol, type StoryClient } from "../gateway/story_client.ts";
import { switching } from "../gateway/switching.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";
import { startWebProxy, type WebProxy } from "../harness/web_proxy.ts";

const GROUPS = 5;
const TOGETHER = 20;
const ALL = GROUPS * TOGETHER;

/** Answers checks, and opens tunnels that echo. */
function echoing(): RunningServer {
  return rawUpstream(async (conn) => {
    const head = await readUntil(conn);
    if (!/^upgrade: websocket/im.test(head)) {
      return await sendText(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    }
    await sendText(conn, await switching(head));
    const buffer = new Uint8Array(1_024);
    for (let n = await conn.read(buffer); n !== null; n = await conn.read(buffer)) {
      await conn.write(buffer.slice(0, n));
    }
  });
}

class Tunnels implements Disposable {
  readonly clients: StoryClient[] = [];
  readonly all: Exchange[] = [];

  /** Opens all of them. */
  static async open({ address }: WebProxy, protocol: Protocol): Promise<Tunnels> {
    const tunnels = new Tunnels();
    const connect = async () => {
      const port = Number(address.split(":")[1]);
      const client = storyClient(await Deno.connect({ hostname: "127.0.0.1", port }), protocol);
      tunnels.clients.push(client);
      return client;
    };
    for (let group = 0; group < GROUPS; group++) {
      const shared = protocol === "HTTP/2" ? await connect() : undefined;
      for (let i = 0; i < TOGETHER; i++) {
        const tunnel = await (shared ?? await connect()).tunnel("/");
        tunnels.all.push(tunnel);
      }
    }
    for (const tunnel of tunnels.all) {
      const { status } = await withTestDeadline("a tunnel", tunnel.head());
      assertEquals(OPENED.includes(status), true, `${status}`);
    }
    return tunnels;
  }

  /** Each still carries bytes, and none of another one. */
  async areAlive(): Promise<void> {
    const echoes = this.all.map(async (tunnel, number) => {
      const text = `tunnel ${number}.`;
      await tunnel.send(text);
      assertEquals(await tunnel.readUntil("."), text);
    });
    await withTestDeadline("all echoes", Promise.all(echoes));
  }

  /** How they ended. */
  async ends(proxy: WebProxy): Promise<ReadonlySet<string>> {
    const ends = Promise.all(this.all.map((tunnel) => tunnel.rest()));
    const all = await withTestDeadline("all ends", ends, proxy.lastLines);
    return new Set(all.map(({ end }) => end));
  }

  [Symbol.dispose](): void {
    for (const { conn } of this.clients) conn.close();
  }
}

/** An end without END_STREAM; that of a connection without a reset looks like any other. */
function cutOf(protocol: Protocol, how: "ended" | "reset"): ReadonlySet<string> {
  return new Set([protocol === "HTTP/1.1" && how === "ended" ? "whole" : how]);
}

onBothProtocols(
  "a stop cuts and counts each tunnel when its time is up",
  async ({ relay, protocol }) => {
    await using up = echoing();
    const primary = { url: `http://127.0.0.1:${up.port}` };
    const flags = { relay, h2c: true, "drain-timeout": "500ms" } as const;
    await using proxy = await startWebProxy({ primary, flags });
    using tunnels = await Tunnels.open(proxy, protocol);
    await tunnels.areAlive();
    proxy.signal("SIGTERM");
    await proxy.event("proxy.stopping", { sessions: ALL });
    // The connections end, and over HTTP/2 with them their streams.
    const how = relay === "splice" ? "reset" : "ended";
    assertEquals(await tunnels.ends(proxy), cutOf(protocol, how));
    await proxy.event("proxy.stopped", { cutSessions: ALL });
    assertEquals((await proxy.ended).code, 0);
  },
);

onBothProtocols(
  "the death of an upstream ends its tunnels, and connections of HTTP/2 go on with new ones",
  async ({ relay, protocol }) => {
    const first = echoing();
    await using second = echoing();
    const [primary, backup] = [first, second].map(({ port }) => ({
      url: `http://127.0.0.1:${port}`,
    }));
    const flags = { relay, h2c: true, "check-timeout": "20s" } as const;
    await using proxy = await startWebProxy({ primary: primary!, backups: [backup!], flags });
    using tunnels = await Tunnels.open(proxy, protocol);
    await tunnels.areAlive();
    await first[Symbol.asyncDispose]();
    // It ends them in order, which each client learns.
    assertEquals(await tunnels.ends(proxy), new Set(["whole"]));
    await proxy.event("promotion.finished", { move: "failover" });
    for (const client of protocol === "HTTP/2" ? tunnels.clients : []) {
      const tunnel = await client.tunnel("/");
      assertEquals(OPENED.includes((await tunnel.head()).status), true);
      await tunnel.send("again.");
      assertEquals(await tunnel.readUntil("."), "again.");
    }
  },
);
