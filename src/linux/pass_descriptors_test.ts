import { assert, assertEquals } from "@std/assert";
import { EAGAIN, EMSGSIZE, EPIPE, ETIMEDOUT } from "./errno.ts";
import { Libc } from "./libc.ts";
import { MESSAGE_BYTES_MAX, MESSAGE_DESCRIPTORS_MAX } from "./message_memory.ts";
import {
  closeDescriptors,
  DescriptorListener,
  type DescriptorMessage,
  DescriptorSocket,
} from "./pass_descriptors.ts";
import { endpointOf, ipSockaddr } from "./sockaddr.ts";

const onLinux = { ignore: Deno.build.os !== "linux" };
const WAIT_MS = 20_000;
const CHILD = new URL("./testing/descriptor_child.ts", import.meta.url).pathname;

function pair(): readonly [DescriptorSocket, DescriptorSocket] {
  const ends = DescriptorSocket.pair();
  if (typeof ends === "number") throw new Error(`no pair: ${ends}`);
  return ends;
}

function bytesOf(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

/** The message, which must be one. */
function got(message: DescriptorMessage | number): DescriptorMessage {
  if (typeof message === "number") throw new Error(`no message: ${message}`);
  return message;
}

function textOf(message: DescriptorMessage | number): string {
  return new TextDecoder().decode(got(message).bytes);
}

/** The file flags that a child process would see, from proc_pid_fdinfo(5). */
function flagsOf(fd: number): number {
  const text = Deno.readTextFileSync(`/proc/self/fdinfo/${fd}`);
  return parseInt(/flags:\s*(\d+)/.exec(text)![1]!, 8);
}

/** A child that has connected, and its end. */
async function startChild(...args: string[]) {
  const folder = await Deno.makeTempDir();
  const path = `${folder}/handover.sock`;
  const listener = DescriptorListener.listen(path);
  if (typeof listener === "number") throw new Error(`listen: ${listener}`);
  assertEquals((await Deno.lstat(path)).mode! & 0o777, 0o600);
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", CHILD, path, ...args],
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const output = new Response(child.stdout).text();
  const socket = await listener.accept(WAIT_MS);
  listener.close();
  if (typeof socket === "number") throw new Error(`accept: ${socket}`);
  return {
    socket,
    child,
    output,
    async [Symbol.asyncDispose]() {
      socket.close();
      try {
        child.kill("SIGKILL");
      } catch {
        // It has ended.
      }
      await Promise.all([child.status, output, child.stdin.close().catch(() => {})]);
      await Deno.remove(folder, { recursive: true });
    },
  };
}

Deno.test({
  name:
    "a message comes whole, with its own descriptors, which programs that are started do not get",
  ...onLinux,
  fn() {
    const [near, far] = pair();
    using libc = new Libc();
    const file = libc.eventfd();
    const many = new Array<number>(MESSAGE_DESCRIPTORS_MAX).fill(file);
    const long = new Uint8Array(MESSAGE_BYTES_MAX).fill(7);
    assertEquals(near.trySend(bytesOf("one"), [file]), 0);
    assertEquals(near.trySend(bytesOf("none")), 0);
    assertEquals(near.trySend(long, many), 0);
    const first = got(far.tryReceive());
    assertEquals([textOf(first), first.descriptors.length, first.isCut], ["one", 1, false]);
    assert((flagsOf(first.descriptors[0]!) & 0o2000000) !== 0, "not close-on-exec");
    const second = got(far.tryReceive());
    assertEquals([textOf(second), second.descriptors], ["none", []]);
    const third = got(far.tryReceive());
    assertEquals([third.bytes, third.descriptors.length], [long, MESSAGE_DESCRIPTORS_MAX]);
    assertEquals(new Set(third.descriptors).size, MESSAGE_DESCRIPTORS_MAX);
    // It is the same eventfd: what one of them is told, another one hears.
    libc.wake(third.descriptors[9]!);
    libc.settle(first.descriptors[0]!);
    assertEquals(far.tryReceive(), -EAGAIN);
    closeDescriptors([file, ...first.descriptors, ...third.descriptors]);
    near.close();
    assertEquals(far.tryReceive(), 0);
    assertEquals(far.trySend(bytesOf("late")), -EPIPE);
    far.close();
    far.close();
  },
});

Deno.test({
  name: "a message that is too long, empty, or has too many descriptors is not sent",
  ...onLinux,
  fn() {
    const [near, far] = pair();
    const many = new Array<number>(MESSAGE_DESCRIPTORS_MAX + 1).fill(0);
    assertEquals(near.trySend(bytesOf("x"), many), -EMSGSIZE);
    assertEquals(near.trySend(new Uint8Array(MESSAGE_BYTES_MAX + 1)), -EMSGSIZE);
    assertEquals(near.trySend(new Uint8Array(0)), -EMSGSIZE);
    assertEquals(far.tryReceive(), -EAGAIN);
    near.close();
    far.close();
  },
});

Deno.test({
  name:
    "a full queue makes the sender wait, until the other side receives, its time is up, or it closes",
  ...onLinux,
  async fn() {
    const [near, far] = pair();
    const part = new Uint8Array(16_384);
    let sent = 0;
    while (near.trySend(part) === 0) sent++;
    assertEquals(near.trySend(part), -EAGAIN);
    assertEquals(await near.send(part, [], 20), -ETIMEDOUT);
    const late = near.send(bytesOf("the last"), [], WAIT_MS);
    for (let count = 0; count < sent; count++) got(await far.receive(WAIT_MS));
    assertEquals(await late, 0);
    assertEquals(textOf(await far.receive(WAIT_MS)), "the last");
    assertEquals(await far.receive(20), -ETIMEDOUT);
    const waiting = far.receive(WAIT_MS);
    far.close();
    assert(typeof await waiting === "number");
    assertEquals(await near.receive(WAIT_MS), 0);
    near.close();
  },
});

Deno.test({
  name:
    "what a killed process had said is heard, and then its end, also if it left messages unread",
  ...onLinux,
  async fn() {
    await using peer = await startChild("die");
    const { socket, child } = peer;
    assertEquals(socket.trySend(bytesOf("one")), 0);
    assertEquals(socket.trySend(bytesOf("two")), 0);
    await child.stdin.close(); // both messages are there: it may read one of them
    const { signal } = await child.status;
    assertEquals(signal, "SIGKILL");
    assertEquals(textOf(await socket.receive(WAIT_MS)), "taken");
    assertEquals(await socket.receive(WAIT_MS), 0);
  },
});

Deno.test({
  name: "who has connected before the listening ended is accepted, and what it said is heard",
  ...onLinux,
  async fn() {
    const folder = await Deno.makeTempDir();
    const path = `${folder}/handover.sock`;
    const listener = DescriptorListener.listen(path);
    if (typeof listener === "number") throw new Error(`listen: ${listener}`);
    const waiting = listener.accept(WAIT_MS);
    listener.end();
    assert(typeof await waiting === "number");
    listener.close();

    const other = DescriptorListener.listen(path);
    if (typeof other === "number") throw new Error(`listen: ${other}`);
    const peer = DescriptorSocket.connect(path);
    if (typeof peer === "number") throw new Error(`connect: ${peer}`);
    assertEquals(peer.trySend(bytesOf("the last words")), 0);
    peer.close();
    other.end();
    assertEquals(typeof DescriptorSocket.connect(path), "number");
    const socket = await other.accept(WAIT_MS);
    if (typeof socket === "number") throw new Error(`accept: ${socket}`);
    assertEquals(textOf(await socket.receive(WAIT_MS)), "the last words");
    assertEquals(await socket.receive(WAIT_MS), 0);
    socket.close();
    assert(typeof await other.accept(WAIT_MS) === "number");
    other.close();
    await Deno.remove(folder, { recursive: true });
  },
});

Deno.test({
  name:
    "a listening socket and a session go on in another process; no client of the accept queue is lost",
  ...onLinux,
  async fn() {
    await using peer = await startChild("serve");
    using libc = new Libc();
    const listener = libc.listen(ipSockaddr("127.0.0.1", 0)!, { backlog: 64, userTimeoutMs: 0 });
    const at = endpointOf(libc.localAddress(listener));
    assert(at.kind === "ip");
    const address = { hostname: at.ip, port: at.port };
    const text = async (conn: Deno.Conn) => await new Response(conn.readable).text();
    const client = await Deno.connect(address);
    const session = libc.accept(listener);
    const waiting = await Promise.all(Array.from({ length: 40 }, () => Deno.connect(address)));
    assertEquals(peer.socket.trySend(bytesOf("here"), [listener, session]), 0);
    assertEquals(textOf(await peer.socket.receive(WAIT_MS)), "taken");
    closeDescriptors([listener, session]);
    assertEquals(peer.socket.trySend(bytesOf("closed")), 0);
    const answers = await Promise.all(waiting.map(text));
    assertEquals(answers, answers.map(() => "new"));
    assertEquals(await text(client), "from the new process");
    assertEquals(await text(await Deno.connect(address)), "new");
  },
});

Deno.test({
  name: "a process that cannot take all descriptors closes those that came, says so, and goes on",
  ...onLinux,
  async fn() {
    await using peer = await startChild("short", "10");
    const { socket, output } = peer;
    // A socket can be told from all others of a process by its number.
    const [one, other] = pair();
    // Twice as many as are free, and then far fewer: the runtime of the child opens and closes some of its own meanwhile.
    const many = new Array<number>(20).fill(one.fd);
    assertEquals(socket.trySend(bytesOf("many that fit"), many), 0);
    assertEquals(textOf(await socket.receive(WAIT_MS)), "short");
    assertEquals(socket.trySend(bytesOf("many"), many), 0);
    assertEquals(socket.trySend(bytesOf("three"), many.slice(0, 3)), 0);
    one.close();
    other.close();
    assertEquals(JSON.parse(await output), {
      text: "many",
      isCut: true,
      came: 0,
      cameNext: 3,
      leaked: 0,
    });
  },
});
