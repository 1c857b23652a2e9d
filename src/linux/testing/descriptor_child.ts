/**
 * A process that gets descriptors from another one. Arguments: the path to connect to, and what to do: `serve` the
 * clients of a listening socket and go on with a session; `die` right after an answer, with a message unread; or receive
 * what does not fit, because only as many descriptors as the third argument says are `short`ly left.
 */
import net from "node:net";
import { closeDescriptors, DescriptorSocket } from "../pass_descriptors.ts";

const [path, what, free] = Deno.args as [string, string, string];
const WAIT_MS = 20_000;

const socket = DescriptorSocket.connect(path);
if (typeof socket === "number") throw new Error(`connect: ${socket}`);
const say = (text: string) => socket.trySend(new TextEncoder().encode(text));

if (what === "serve") {
  const message = await socket.receive(WAIT_MS);
  if (typeof message === "number") throw new Error(`receive: ${message}`);
  const [listener, session] = message.descriptors as [number, number];
  say("taken");
  // The other process has closed its own descriptors by then.
  await socket.receive(WAIT_MS);
  net.createServer((client) => client.end("new")).listen({ fd: listener });
  new net.Socket({ fd: session }).end("from the new process");
} else if (what === "die") {
  say("taken");
  // Ends when both messages have been sent. The second one is here then, and stays unread.
  await new Response(Deno.stdin.readable).text();
  await socket.receive(WAIT_MS);
  Deno.kill(Deno.pid, "SIGKILL");
} else {
  const targetOf = (fd: string | number) => Deno.readLinkSync(`/proc/self/fd/${fd}`);
  // One message that fits, so that all that is loaded later is loaded.
  const first = await socket.receive(WAIT_MS);
  if (typeof first === "number") throw new Error(`receive: ${first}`);
  // The runtime opens and closes others at any time.
  const passed = targetOf(first.descriptors[0]!);
  const count = () =>
    [...Deno.readDirSync("/proc/self/fd")].filter(({ name }) => {
      try {
        return targetOf(name) === passed;
      } catch {
        return false; // the one through which the folder was read
      }
    }).length;
  closeDescriptors(first.descriptors);
  const held: Deno.FsFile[] = [];
  try {
    for (;;) held.push(Deno.openSync("/dev/null"));
  } catch {
    // No descriptor is left.
  }
  for (const file of held.splice(0, Number(free))) file.close();
  say("short");
  const cut = await socket.receive(WAIT_MS);
  const whole = await socket.receive(WAIT_MS);
  for (const file of held) file.close();
  if (typeof cut === "number" || typeof whole === "number") throw new Error(`${cut} ${whole}`);
  closeDescriptors(whole.descriptors);
  console.log(JSON.stringify({
    text: new TextDecoder().decode(cut.bytes),
    isCut: cut.isCut,
    came: cut.descriptors.length,
    cameNext: whole.descriptors.length,
    leaked: count(),
  }));
}
