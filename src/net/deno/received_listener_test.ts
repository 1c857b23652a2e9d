import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { closeDescriptors } from "../../linux/pass_descriptors.ts";
import { leaveSocket } from "../testing/left_socket.ts";
import { receivedListener } from "./received_listener.ts";
import { untilRefused } from "../testing/refused.ts";

const ignore = Deno.build.os !== "linux";

/** A path in a folder of its own, and what removes it. */
async function somePath() {
  const folder = await Deno.makeTempDir();
  return { path: `${folder}/a.sock`, gone: () => Deno.remove(folder, { recursive: true }) };
}

function exists(path: string): boolean {
  try {
    return Deno.lstatSync(path).isSocket === true;
  } catch {
    return false;
  }
}

Deno.test({
  name: "clients of the queue are accepted one by one, and both directions and ends pass",
  ignore,
  async fn() {
    const left = leaveSocket();
    assert(left.address.kind === "tcp");
    const { host: hostname, port } = left.address;
    const clients = [
      await Deno.connect({ hostname, port }),
      await Deno.connect({ hostname, port }),
    ] as const;
    const listener = (await receivedListener(left.address, left))!;
    assertEquals(listener.addr, { transport: "tcp", hostname, port });
    const conn = await listener.accept();
    assertEquals(conn.remoteAddr, clients[0].localAddr);
    assertEquals(conn.localAddr, clients[0].remoteAddr);
    const ping = new TextEncoder().encode("ping");
    await clients[0].write(ping);
    const buffer = new Uint8Array(2);
    assertEquals([await conn.read(buffer), await conn.read(buffer)], [2, 2]);
    await clients[0].closeWrite();
    assertEquals(await conn.read(buffer), null);
    assertEquals(await conn.write(ping), 4);
    await conn.closeWrite();
    assertEquals(await new Response(clients[0].readable).text(), "ping");
    conn.close();
    assertThrows(() => conn.close(), Deno.errors.BadResource);
    const second = await listener.accept();
    const waiting = second.read(buffer);
    second.close();
    await assertRejects(() => waiting, Deno.errors.Interrupted);
    const third = listener.accept();
    listener.close();
    await assertRejects(() => third, Deno.errors.BadResource);
    await untilRefused(port, hostname);
    clients[1].close();
  },
});

Deno.test({
  name:
    "the file of a unix socket goes with its listener, and stays if another process has the socket",
  ignore,
  async fn() {
    for (const isLeft of [false, true]) {
      const { path, gone } = await somePath();
      const left = leaveSocket({ kind: "unix", path });
      const listener = (await receivedListener(left.address, left))!;
      if (isLeft) (listener as unknown as { leave(): void }).leave();
      else listener.close();
      assertEquals(exists(path), isLeft);
      await gone();
    }
  },
});

Deno.test({
  name: "a lent socket goes back when its listener closes, and its clients wait",
  ignore,
  async fn() {
    const left = leaveSocket(undefined, true);
    assert(left.address.kind === "tcp");
    const listener = (await receivedListener(left.address, left))!;
    listener.close();
    assertEquals(left.back.map(({ descriptor }) => descriptor), [left.descriptor]);
    const { host: hostname, port } = left.address;
    (await Deno.connect({ hostname, port })).close();
    closeDescriptors([left.descriptor]);
  },
});

Deno.test({
  name: "a socket that listens elsewhere is not used, and says so; nothing left is nothing used",
  ignore,
  async fn() {
    const elsewhere = { kind: "tcp", host: "127.0.0.1", port: 1 } as const;
    const lines: string[] = [];
    for (const isLent of [false, true]) {
      const left = leaveSocket(undefined, isLent);
      const found = await receivedListener(elsewhere, left, (line) => lines.push(line));
      assertEquals([found, left.back.length], [undefined, isLent ? 1 : 0]);
      assertEquals(await receivedListener(elsewhere, left), undefined);
      if (isLent) closeDescriptors([left.descriptor]);
    }
    assertEquals(lines.length, 2);
  },
});
