/** The accept loop, with scripted listeners. */
import { assertEquals } from "@std/assert";
import { acceptAll, type AcceptSource, closeListener } from "./listener.ts";

const CLIENT = {} as Deno.Conn;
const coded = (code: string) => Object.assign(new Error(code), { code });

/** Each `accept` gives the next element of `script`; after the last one the listener is closed. */
function listener(...script: (Deno.Conn | Error)[]): { accept(): Promise<Deno.Conn> } {
  return {
    accept() {
      const next = script.shift() ?? new Deno.errors.BadResource("Listener has been closed");
      return next instanceof Error ? Promise.reject(next) : Promise.resolve(next);
    },
  };
}

/** A source that always has room, and the calls that it received. */
function source(over: Partial<AcceptSource<Deno.Conn>>) {
  const reported: unknown[] = [];
  const whole: AcceptSource<Deno.Conn> = {
    listener: () => undefined,
    room: () => undefined,
    taken: () => reported.push("taken"),
    pause(error, pauseMs, isNews) {
      reported.push([(error as Error).message, pauseMs, isNews]);
      return Promise.resolve();
    },
    now: () => 0,
    ...over,
  };
  return { whole, reported };
}

Deno.test("a client that left before it was accepted causes no pause, a shortage does", async () => {
  const only = listener(CLIENT, coded("ECONNABORTED"), coded("EMFILE"), coded("EMFILE"), CLIENT);
  const { whole, reported } = source({ listener: () => only });
  await acceptAll(whole);
  assertEquals(reported, ["taken", ["EMFILE", 10, true], ["EMFILE", 20, false], "taken"]);
});

Deno.test("a listener that was closed is replaced by its successor, once there is room", async () => {
  const order: string[] = [];
  const successor = listener(CLIENT);
  let current = listener(CLIENT);
  const { accept } = current;
  current.accept = () =>
    accept().catch((error) => {
      current = successor;
      throw error;
    });
  const room = () => void order.push("room");
  const { whole } = source({
    listener: () => current,
    room: () => room() as undefined,
    taken: () => order.push("taken"),
  });
  await acceptAll(whole);
  // Asked before the end of the first listener, before its successor, and before the end of that.
  assertEquals(order, ["room", "taken", "room", "room", "taken", "room"]);
});

Deno.test("a listener that cannot be opened at first is opened later", async () => {
  let asked = 0;
  const { whole, reported } = source({
    listener() {
      if (++asked === 1) throw new Error("address in use");
      return undefined;
    },
  });
  await acceptAll(whole);
  assertEquals(reported, [["address in use", 10, true]]);
});

Deno.test("a closed listener ends the loop though there is no room any more", async () => {
  const only = listener();
  let asked = 0;
  const room = () => ++asked === 1 ? undefined : new Promise<void>(() => {});
  await acceptAll(source({ listener: () => only, room }).whole);
});

Deno.test("no client is accepted before there is room", async () => {
  const room = Promise.withResolvers<void>();
  let accepts = 0;
  const only = {
    accept() {
      accepts++;
      return Promise.reject(new Deno.errors.BadResource("closed"));
    },
  };
  const over = acceptAll(source({ listener: () => only, room: () => room.promise }).whole);
  await Promise.resolve();
  assertEquals(accepts, 0);
  room.resolve();
  await over;
  assertEquals(accepts, 1);
});

Deno.test("a listener may be closed twice", () => {
  const real = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  closeListener(real);
  closeListener(real);
});
