import { assertEquals, assertRejects } from "@std/assert";
import type { Server } from "../http1/server.ts";
import type { Conn } from "../net/conn.ts";
import { LazyServer } from "./lazy_server.ts";

const CONN = { close() {} } as Conn;

/** A server that records which clients it serves. */
function noting() {
  const served: string[] = [];
  let ended = 0;
  const server = {
    hasRoom: false,
    room: () => Promise.resolve(),
    serve: (_: Conn, peer: string) => Promise.resolve(void served.push(peer)),
    drain: () => Promise.resolve(void ended++),
  } as unknown as Server;
  return { server, served, ended: () => ended };
}

Deno.test("the server is loaded for the first client, once", async () => {
  const { server, served, ended } = noting();
  let loads = 0;
  const lazy = new LazyServer(() => {
    loads++;
    return Promise.resolve(server);
  });
  assertEquals([lazy.hasRoom, loads], [true, 0]);
  await Promise.all([lazy.serve(CONN, "a"), lazy.serve(CONN, "b")]);
  assertEquals([served, loads, lazy.hasRoom], [["a", "b"], 1, false]);
  await lazy.end();
  assertEquals(ended(), 1);
});

Deno.test("a server that cannot be loaded is tried again for the next client", async () => {
  const { server, served } = noting();
  let closed = 0;
  let isBroken = true;
  const lazy = new LazyServer(() =>
    isBroken ? Promise.reject(new Error("gone")) : Promise.resolve(server)
  );
  await assertRejects(
    () => lazy.serve({ close: () => closed++ } as unknown as Conn, "a"),
    Error,
    "gone",
  );
  isBroken = false;
  await lazy.serve(CONN, "b");
  assertEquals([closed, served], [1, ["b"]]);
});

Deno.test("while the server is loaded, there is room for one client", async () => {
  const { server } = noting();
  const loading = Promise.withResolvers<Server>();
  const lazy = new LazyServer(() => loading.promise);
  const serving = lazy.serve(CONN, "a");
  assertEquals(lazy.hasRoom, false);
  const room = lazy.room();
  loading.resolve({ ...server, hasRoom: true } as Server);
  await Promise.all([serving, room]);
  assertEquals(lazy.hasRoom, true);
});

Deno.test("ending a server that was never loaded loads nothing", async () => {
  let loads = 0;
  const lazy = new LazyServer(() => Promise.resolve(++loads).then(() => noting().server));
  await lazy.end();
  assertEquals(loads, 0);
});
