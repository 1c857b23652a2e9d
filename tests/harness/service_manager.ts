/**
 * A service manager for tests, as systemd is to a service: it opens listening sockets and keeps them while the service
 * restarts (sd_listen_fds(3)), and it gets the messages of the service (sd_notify(3)). Linux only.
 */
import { datagramSockaddr } from "../../src/linux/datagram.ts";
import { Libc } from "../../src/linux/libc.ts";
import { endpointOf, ipSockaddr, unixSockaddr } from "../../src/linux/sockaddr.ts";
import { realClock, sleep } from "../../src/base/clock.ts";
import { withTestDeadline } from "./test_deadline.ts";

const F_SETFD = 2;
const FD_CLOEXEC = 1;
const AF_UNIX = 1;
const SOCK_DGRAM = 2;
const MSG_DONTWAIT = 0x40;
const MESSAGE_MAX = 4_096;
const OPTIONS = { backlog: 128, userTimeoutMs: 0 };

function openCalls() {
  return Deno.dlopen("libc.so.6", {
    bind: { parameters: ["i32", "buffer", "u32"], result: "i32" },
    close: { parameters: ["i32"], result: "i32" },
    fcntl: { parameters: ["i32", "i32", "i32"], result: "i32" },
    recv: { parameters: ["i32", "buffer", "u32", "i32"], result: "i32" },
    socket: { parameters: ["i32", "i32", "i32"], result: "i32" },
  });
}

/** A socket that the manager holds, with its name in the unit. */
interface HeldSocket {
  readonly name: string;
  readonly descriptor: number;
}

export class TestServiceManager implements Disposable {
  readonly #calls = openCalls();
  readonly #libc = new Libc();
  readonly #sockets: HeldSocket[] = [];
  /** Where it gets messages; -1 before `notifySocket`. */
  #notified = -1;
  /** All messages so far, each with its lines. */
  readonly messages: string[] = [];

  /** Listens on a free port of 127.0.0.1, or at a path, from now on. Returns the address in the form of `--bind`. */
  listen(name: string, path?: string): string {
    const at = path === undefined ? ipSockaddr("127.0.0.1", 0)! : unixSockaddr(path);
    const descriptor = this.#libc.listen(at, OPTIONS);
    if (descriptor < 0) throw new Error(`listen: ${descriptor}`);
    this.#sockets.push({ name, descriptor });
    if (path !== undefined) return `unix:${path}`;
    const end = endpointOf(this.#libc.localAddress(descriptor));
    return `127.0.0.1:${end.kind === "ip" ? end.port : 0}`;
  }

  /**
   * Calls `start` while the sockets can be inherited, with the command that gives them to a program as descriptors 3, 4
   * … and says so in its environment. `pid` replaces the number of the process that they are for.
   */
  start<T>(start: (under: readonly string[]) => T, pid = "$$"): T {
    const redirections = this.#sockets.map(({ descriptor }, at) =>
      `${at + 3}<&${descriptor} ${descriptor}<&-`
    );
    const names = this.#sockets.map(({ name }) => name).join(":");
    const script = `exec ${redirections.join(" ")}; ` +
      `LISTEN_FDS=${this.#sockets.length} LISTEN_PID=${pid} LISTEN_FDNAMES=${names} exec "$@"`;
    for (const { descriptor } of this.#sockets) this.#calls.symbols.fcntl(descriptor, F_SETFD, 0);
    try {
      return start(["bash", "-c", script, "bash"]);
    } finally {
      for (const { descriptor } of this.#sockets) {
        this.#calls.symbols.fcntl(descriptor, F_SETFD, FD_CLOEXEC);
      }
    }
  }

  /** Listens for messages at `place`, a path or a name that begins with `@`, which is the value of NOTIFY_SOCKET. */
  notifySocket(place: string): string {
    const { socket, bind, fcntl } = this.#calls.symbols;
    const address = datagramSockaddr(place)!;
    this.#notified = socket(AF_UNIX, SOCK_DGRAM, 0);
    fcntl(this.#notified, F_SETFD, FD_CLOEXEC);
    if (bind(this.#notified, address, address.length) !== 0) throw new Error(`bind to ${place}`);
    return place;
  }

  /** The first message that `pattern` matches, after `after` messages; waits for it if needed. */
  async message(pattern: RegExp, after = 0): Promise<string> {
    const look = async () => {
      for (;;) {
        // After a failure this still runs, and the number may be that of another socket.
        if (this.#notified === -1) throw new Error("the service manager is gone");
        this.#take();
        const found = this.messages.slice(after).find((message) => pattern.test(message));
        if (found !== undefined) return found;
        await sleep(realClock, 5);
      }
    };
    return await withTestDeadline(String(pattern), look(), () => this.messages.join("\n---\n"));
  }

  #take(): void {
    const buffer = new Uint8Array(MESSAGE_MAX);
    for (;;) {
      const count = this.#calls.symbols.recv(this.#notified, buffer, buffer.length, MSG_DONTWAIT);
      if (count < 0) return;
      this.messages.push(new TextDecoder().decode(buffer.subarray(0, count)));
    }
  }

  [Symbol.dispose](): void {
    for (const { descriptor } of this.#sockets) this.#libc.close(descriptor);
    if (this.#notified !== -1) this.#calls.symbols.close(this.#notified);
    this.#notified = -1;
    this.#libc[Symbol.dispose]();
    this.#calls.close();
  }
}
