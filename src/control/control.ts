/**
 * The control socket: where the commands of the operator reach a running proxy. Who may connect is decided by
 * the file's permissions, 0660 in a folder of 0750, and the kernel says which user has connected.
 */
import { describe } from "../base/describe.ts";
import { type Clock, sleep } from "../base/clock.ts";
import type { Publish } from "../events/events.ts";
import { Libc } from "../linux/libc.ts";
import { kernelUnsupportedReason } from "../linux/unsupported_reason.ts";
import { bind } from "../net/deno/bind.ts";
import { closeListener, serveListener } from "../net/deno/listener.ts";
import { listenLocally, type LocalListener } from "../net/linux/local_listener.ts";
import type { Acceptee, AcceptOptions } from "../net/transport.ts";

/** Permission bits of the socket: the user and the group of the proxy. */
const SOCKET_MODE = 0o660;
/** Permission bits of its folder, if the folder has to be made. */
const FOLDER_MODE = 0o750;

/** The longest path of a unix socket, in bytes (unix(7)). */
const PATH_BYTES_MAX = Deno.build.os === "linux" ? 107 : 103;
/** The interval at which we check that the file of the socket still exists, in milliseconds. */
const LOOK_MS = 5_000;

/**
 * Listens at `path` and serves the clients, or resolves with the reason why it cannot, such as
 * `process 42 listens there already`. Makes the folder if it is missing. If somebody removes the file, as
 * programs that tidy up do, it is made again; one that another process has put there is left alone.
 */
export async function openControl(
  path: string,
  acceptee: Acceptee,
  { clock, publish, received }: {
    readonly clock: Clock;
    readonly publish: Publish;
    /** The socket of a process that has handed it over to this one. */
    readonly received?: number | undefined;
  },
): Promise<LocalListener | string> {
  const options: AcceptOptions = {
    clock,
    socketMode: SOCKET_MODE,
    onAcceptFailed: (error, retryInMs) =>
      publish({ type: "accept.failed", address: `unix:${path}`, reason: String(error), retryInMs }),
  };
  const open = async (received?: number) => {
    const listener = received === undefined
      ? await listenAt(path, acceptee, options)
      : inherit(path, acceptee, options, received);
    if (typeof listener !== "string") publish({ type: "control.opened", path });
    return listener;
  };
  const listener = await open(received);
  if (typeof listener === "string") return listener;
  return new LastingListener(listener, path, open, clock);
}

/** Listens until it is disposed of, also when its file is removed. */
class LastingListener implements LocalListener {
  readonly finished: Promise<void>;
  readonly #failed = Promise.withResolvers<void>();
  readonly #stop = new AbortController();
  readonly #looking: Promise<void>;
  #listener: LocalListener;

  constructor(
    listener: LocalListener,
    path: string,
    open: () => Promise<LocalListener | string>,
    clock: Clock,
  ) {
    this.finished = this.#failed.promise;
    this.finished.catch(() => {});
    this.#listener = listener;
    this.#watch(listener);
    this.#looking = this.#look(path, open, clock);
  }

  #watch(listener: LocalListener): void {
    listener.finished.then(
      () => this.#stop.signal.aborted && this.#failed.resolve(),
      this.#failed.reject,
    );
  }

  async #look(
    path: string,
    open: () => Promise<LocalListener | string>,
    clock: Clock,
  ): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      await sleep(clock, LOOK_MS, signal).catch(() => {});
      if (signal.aborted || !await isGone(path)) continue;
      const next = await open();
      if (typeof next === "string") continue; // the folder may come back as well
      const before = this.#listener;
      this.#listener = next;
      this.#watch(next);
      await before[Symbol.asyncDispose]();
    }
  }

  get descriptor(): number | undefined {
    return this.#listener.descriptor;
  }

  leave(): void {
    this.#stop.abort();
    this.#listener.leave();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#looking;
    await this.#listener[Symbol.asyncDispose]();
    this.#failed.resolve();
  }
}

/** True if the file is missing; false also if that cannot be known. */
function isGone(path: string): Promise<boolean> {
  return Deno.lstat(path).then(() => false, (error) => error instanceof Deno.errors.NotFound);
}

async function listenAt(
  path: string,
  acceptee: Acceptee,
  options: AcceptOptions,
): Promise<LocalListener | string> {
  if (new TextEncoder().encode(path).length > PATH_BYTES_MAX) {
    return `the path is too long for a unix socket, ${PATH_BYTES_MAX} bytes at most`;
  }
  const folder = path.slice(0, Math.max(1, path.lastIndexOf("/")));
  try {
    if (path.includes("/")) await Deno.mkdir(folder, { recursive: true, mode: FOLDER_MODE });
  } catch (error) {
    return `cannot make the folder ${folder}: ${whyNot(error)}`;
  }
  return kernelUnsupportedReason() === undefined
    ? await listenWithKernel(path, acceptee, options)
    : await listenWithDeno(path, acceptee, options);
}

/** The reason of an error in a few words, for one line. */
function whyNot(error: unknown): string {
  const isDenied = error instanceof Deno.errors.PermissionDenied ||
    error instanceof Deno.errors.NotCapable;
  // After the words of the system, Deno adds the number of the error and the call.
  return isDenied ? "permission denied" : describe(error).replace(/ \(os error.*/, "");
}

/** Goes on with the socket of the process before. */
function inherit(
  path: string,
  acceptee: Acceptee,
  options: AcceptOptions,
  received: number,
): LocalListener | string {
  const listener = listenLocally(path, acceptee, options, new Libc(), received);
  return "finished" in listener ? listener : listener.reason;
}

async function listenWithKernel(
  path: string,
  acceptee: Acceptee,
  options: AcceptOptions,
): Promise<LocalListener | string> {
  const isOther = await Deno.lstat(path).then((file) => !file.isSocket, () => false);
  if (isOther) return "a file that is no socket is in the way";
  const listener = listenLocally(path, acceptee, options);
  if ("finished" in listener) return listener;
  const { holder, reason } = listener;
  return holder === undefined ? reason : `process ${holder} listens there already`;
}

/** Listens with Deno's sockets, for systems without ours. The users of the clients are then unknown. */
async function listenWithDeno(
  path: string,
  acceptee: Acceptee,
  options: AcceptOptions,
): Promise<LocalListener | string> {
  const listener = await bind({ kind: "unix", path }, options);
  if (typeof listener === "string") {
    return listener === "address in use" ? "another process listens there already" : listener;
  }
  const finished = serveListener(listener, acceptee, options);
  finished.catch(() => {});
  return {
    finished,
    descriptor: undefined,
    leave: () => closeListener(listener),
    async [Symbol.asyncDispose]() {
      closeListener(listener);
      await finished.catch(() => {});
    },
  };
}
