/**
 * An upstream that records when it is checked: `arrivals_program.ts COUNT SECONDS` listens on COUNT ports
 * of 127.0.0.1 and prints them as one line of JSON, then one line `PORT MILLISECONDS` for each connection:
 * the time since the epoch at which it arrived, in milliseconds. It answers requests as an HTTP server
 * does, and ends after SECONDS.
 *
 * On a machine whose cores are all busy this program gets CPU time late. So the kernel is asked how long
 * ago the last packet of the connection arrived, which is that of the check; it counts in jiffies, of 1 to
 * 10 ms.
 */
import { EAGAIN } from "../../src/linux/errno.ts";
import { ipSockaddr } from "../../src/linux/sockaddr.ts";
import { checked, libc, loop, runUntil, sinceLastPacketMs } from "./epoll.ts";

const ANSWER = new TextEncoder().encode(
  "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nOK",
);
const LISTEN = { backlog: 128, reusePort: false, userTimeoutMs: 0 } as const;

const [count, seconds] = Deno.args.map(Number) as [number, number];
const ports = Array.from({ length: count }, () => listen());
console.log(JSON.stringify(ports));
const endAt = performance.now() + 1_000 * seconds;
runUntil(() => performance.now() > endAt, 1_000 * seconds + 10_000, () => "the loop did not end");
Deno.exit(0);

/** Returns the port. */
function listen(): number {
  const fd = checked(libc.listen(ipSockaddr("127.0.0.1", 0)!, LISTEN));
  const address = libc.localAddress(fd);
  const port = address[2]! << 8 | address[3]!; // struct sockaddr_in, ip(7)
  checked(loop.watch(fd, {
    ready() {
      for (let conn = libc.accept(fd); conn !== -EAGAIN; conn = libc.accept(fd)) {
        const now = performance.timeOrigin + performance.now();
        console.log(`${port} ${now - sinceLastPacketMs(checked(conn))}`);
        checked(loop.watch(conn, { ready: answer }));
      }
    },
  }));
  return port;
}

/** A check that only connected, or has closed, gets no answer. */
function answer(fd: number): void {
  const read = libc.receive(fd);
  if (read === -EAGAIN) return;
  if (read > 0) libc.send(fd, ANSWER, 0, ANSWER.length);
  loop.forget(fd);
  libc.close(fd);
}
