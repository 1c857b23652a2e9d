import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { realClock } from "../../base/clock.ts";
import { Libc } from "../../linux/libc.ts";
import { closeDescriptors, DescriptorSocket } from "../../linux/pass_descriptors.ts";
import { listensAt } from "../../linux/received_socket.ts";
import { addressOfSockaddr } from "../../linux/sockaddr.ts";
import type { Conn } from "../conn.ts";
import { linuxSockets } from "../linux/transport.ts";
import { leaveSocket } from "../testing/left_socket.ts";
import type { Acceptee, Sockets } from "../transport.ts";
import { leaveListener, passedSocket } from "./passed_listener.ts";
import { denoSockets } from "./transport.ts";

const ignore = Deno.build.os !== "linux";

Deno.test({
  name: "the socket of a listener of Deno's is found, and no other one",
  ignore,
  fn() {
    const options = { hostname: "127.0.0.1", port: 0 };
    using one = Deno.listen(options);
    using other = Deno.listen(options);
    const found = passedSocket(one)!;
    assertEquals(found.isLent, false);
    assertEquals(addressOfSockaddr(listensAt(found.descriptor)!), {
      kind: "tcp",
      host: "127.0.0.1",
      port: one.addr.port,
    });
    assertNotEquals(passedSocket(other)!.descriptor, found.descriptor);
    const closed = Deno.listen(options);
    closed.close();
    assertEquals(passedSocket(closed), undefined);
  },
});

Deno.test({
  name: "the file of a unix socket of Deno's stays where another process has the socket",
  ignore,
  async fn() {
    const folder = await Deno.makeTempDir();
    const path = `${folder}/a.sock`;
    const listener = Deno.listen({ transport: "unix", path });
    using libc = new Libc();
    const { descriptor } = passedSocket(listener)!;
    assert(libc.isOpen(descriptor));
    leaveListener(listener);
    const left = [...Deno.readDirSync(folder)].map(({ name }) => name);
    assertEquals(left, ["a.sock"]);
    assert(Deno.lstatSync(path).isSocket);
    await Deno.remove(folder, { recursive: true });
  },
});

/** Answers each client with a word. */
function answering(word: string): Acceptee {
  return {
    hasRoom: true,
    room: () => Promise.resolve(),
    async serve(conn: Conn) {
      await conn.write(new TextEncoder().encode(word));
      conn.close();
    },
  };
}

/** Both kinds of sockets. */
const KINDS: readonly (readonly [string, () => Sockets])[] = [
  ["deno", () => denoSockets],
  ["linux", () => linuxSockets(realClock)],
];

for (const [name, make] of KINDS) {
  Deno.test({
    name: `${name}: a port on a socket that was left serves its clients, and passes it on`,
    ignore,
    async fn() {
      const sockets = make();
      const left = leaveSocket();
      assert(left.address.kind === "tcp");
      const { host: hostname, port } = left.address;
      const early = await Deno.connect({ hostname, port });
      const first = await sockets.listen(left.address, answering("first"), {
        clock: realClock,
        received: left,
      });
      assert(typeof first !== "string");
      assertEquals(await new Response(early.readable).text(), "first");
      const passed = first.passed!()!;
      assertEquals([passed.descriptor, passed.isLent], [left.descriptor, false]);
      // The next process has a descriptor of its own, which this copy stands for.
      const copy = copyOf(passed.descriptor);
      first.leave!();
      await first.finished;
      const waiting = await Deno.connect({ hostname, port });
      const second = await sockets.listen(left.address, answering("second"), {
        clock: realClock,
        received: {
          take: () => ({ owner: { is: "admin" }, address: "as before", descriptor: copy }),
          giveBack() {},
        },
      });
      assert(typeof second !== "string");
      assertEquals(await new Response(waiting.readable).text(), "second");
      second.close();
      await second.finished;
      assertEquals(second.passed!(), undefined);
      await sockets.close();
    },
  });

  Deno.test({
    name: `${name}: a lent socket goes back when the port closes, and its clients wait`,
    ignore,
    async fn() {
      const sockets = make();
      const left = leaveSocket(undefined, true);
      assert(left.address.kind === "tcp");
      const port = await sockets.listen(left.address, answering("lent"), {
        clock: realClock,
        received: left,
      });
      assert(typeof port !== "string");
      assertEquals(port.passed!()?.isLent, true);
      port.close();
      await port.finished;
      assertEquals(left.back.map(({ descriptor }) => descriptor), [left.descriptor]);
      const { host: hostname, port: number } = left.address;
      (await Deno.connect({ hostname, port: number })).close();
      closeDescriptors([left.descriptor]);
      await sockets.close();
    },
  });
}

/** Another descriptor of the same socket, as it comes through a unix socket. */
function copyOf(descriptor: number): number {
  const ends = DescriptorSocket.pair();
  assert(typeof ends !== "number");
  ends[0].trySend(new Uint8Array(1), [descriptor]);
  const message = ends[1].tryReceive();
  assert(typeof message !== "number");
  for (const end of ends) end.close();
  return message.descriptors[0]!;
}
