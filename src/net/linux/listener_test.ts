import { assertEquals } from "@std/assert";
import { EAGAIN, ECONNRESET, EMFILE, EPERM } from "../../linux/errno.ts";
import type { Kernel } from "../../linux/kernel.ts";
import type { Peer } from "../../linux/testing/fake_peer.ts";
import { FakeHost } from "../testing/fake_host.ts";
import { listeningOn, PORT } from "../testing/fake_port.ts";
import { acceptBatch, type BatchTaker } from "./listener.ts";

/** A kernel whose `accept` gives one after another of `results`, and then EAGAIN. */
function kernel(...results: number[]): Kernel {
  return { accept: () => results.shift() ?? -EAGAIN } as unknown as Kernel;
}

/** Has room for `room` clients, and pauses after `pauseAfter`. */
function taker(room = Infinity, pauseAfter = Infinity): BatchTaker & { readonly taken: number[] } {
  const taken: number[] = [];
  return {
    taken,
    get hasRoom() {
      return taken.length < room;
    },
    get isPaused() {
      return taken.length >= pauseAfter;
    },
    take: (client) => taken.push(client),
  };
}

Deno.test("a batch accepts the clients that wait, and skips errors of single connections", () => {
  const all = taker();
  assertEquals(acceptBatch(kernel(5, -ECONNRESET, 6), 3, all), "empty");
  assertEquals(all.taken, [5, 6]);
});

Deno.test("a batch ends when there is no room, before it accepts", () => {
  const one = taker(1);
  assertEquals(acceptBatch(kernel(5, 6), 3, one), "full");
  assertEquals(one.taken, [5]);
});

Deno.test("a batch ends with a shortage, and after a client that caused a pause", () => {
  assertEquals(acceptBatch(kernel(5, -EMFILE, 6), 3, taker()), -EMFILE);
  const paused = taker(9, 1);
  assertEquals(acceptBatch(kernel(5, 6), 3, paused), "empty");
  assertEquals(paused.taken, [5]);
});

Deno.test("a batch is bounded", () => {
  const all = taker();
  const many = Array.from({ length: 100 }, (_, i) => i + 10);
  assertEquals(acceptBatch(kernel(...many), 3, all), "more");
  assertEquals(all.taken.length, 64);
});

Deno.test("no client can come between the last one that a port accepts and its end", async () => {
  const host = new FakeHost();
  let isOpen = true;
  Object.assign(host, { ignoreClients: () => Number(isOpen = false) });
  const { port, server, end } = await listeningOn(host);
  host.client(PORT);
  const accept = host.accept.bind(host);
  const lost: (Peer | undefined)[] = [];
  host.accept = (listener) => {
    const client = accept(listener);
    // As soon as the queue is empty, another one comes.
    if (client < 0 && isOpen) lost.push(host.client(PORT));
    return client;
  };
  port.end();
  assertEquals([server.connections, lost.length], [1, 0]);
  await end();
});

Deno.test("a port accepts its queue and closes also where the kernel cannot ignore clients", async () => {
  const host = new FakeHost();
  Object.assign(host, { ignoreClients: () => -EPERM });
  const { port, server, end } = await listeningOn(host);
  host.client(PORT);
  port.end();
  assertEquals([server.connections, host.client(PORT)], [1, undefined]);
  await end();
});

Deno.test("a port that is ended again after its close does not touch the socket that has its number by now", async () => {
  const host = new FakeHost();
  const ignored: number[] = [];
  Object.assign(host, { ignoreClients: (listener: number) => ignored.push(listener) * 0 });
  const { port, end } = await listeningOn(host);
  const number = port.passed!()!.descriptor;
  port.end();
  port.end();
  assertEquals(ignored, [number]);
  await end();
});
