import { assertEquals } from "@std/assert";
import type { Conn } from "../net/conn.ts";
import type { Acceptee, Sockets } from "../net/transport.ts";
import { Gate, gated } from "./gate.ts";

Deno.test("a gate has no room before it is opened, and is the server itself from then on", async () => {
  const done: string[] = [];
  const server = {
    hasRoom: true,
    room: () => Promise.resolve(void done.push("room")),
    serve: (_: Conn, peer: string) => Promise.resolve(void done.push(peer)),
  };
  const { promise, resolve } = Promise.withResolvers<void>();
  const gate = new Gate(server, promise);
  assertEquals(gate.hasRoom, false);
  const waiting = gate.room();
  resolve();
  await waiting;
  assertEquals([gate.hasRoom, done], [true, []]);
  await gate.serve({} as Conn, "ann");
  server.hasRoom = false;
  await gate.room();
  assertEquals([gate.hasRoom, done], [false, ["ann", "room"]]);
});

Deno.test("gated sockets listen as ever, with a gate before those who accept", async () => {
  const acceptees: Acceptee[] = [];
  // An object of a class, whose methods are not its own.
  class Fake {
    #ended = 0;
    listen(_: unknown, acceptee: Acceptee) {
      acceptees.push(acceptee);
      return Promise.resolve("in use");
    }
    dialer() {
      return this.#ended;
    }
    close() {
      return Promise.resolve(void this.#ended++);
    }
  }
  const sockets = new Fake() as unknown as Sockets;
  const { promise, resolve } = Promise.withResolvers<void>();
  const server: Acceptee = {
    hasRoom: true,
    room: () => Promise.resolve(),
    serve: () => Promise.resolve(),
  };
  const address = { kind: "tcp", host: "127.0.0.1", port: 1 } as const;
  const options = {} as Parameters<Sockets["listen"]>[2];
  assertEquals(await gated(sockets, undefined).listen(address, server, options), "in use");
  assertEquals(await gated(sockets, promise).listen(address, server, options), "in use");
  const [bare, gate] = acceptees;
  assertEquals([bare === server, gate?.hasRoom], [true, false]);
  resolve();
  await gate?.room();
  assertEquals(gate?.hasRoom, true);
  const same = gated(sockets, promise);
  await same.close();
  const dialer: unknown = same.dialer({} as Parameters<Sockets["dialer"]>[0]);
  assertEquals([dialer, "terminator" in same], [1, false]);
});
