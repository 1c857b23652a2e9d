import { assertEquals } from "@std/assert";
import type { Conn } from "../net/conn.ts";
import { Gate } from "./gate.ts";

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
