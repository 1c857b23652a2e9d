/**
 * The old process of an upgrade. Up to the message `go` every failure has the same end: the new process is killed,
 * and this one goes on as if nothing had happened. After it, this process decides nothing any more.
 */
import { errnoWords } from "../linux/errno.ts";
import { DescriptorListener } from "../linux/pass_descriptors.ts";
import { ProcessLibc } from "../linux/process_libc.ts";
import type { Parcel, PassedListener, PassOn } from "../net/handover.ts";
import { Channel, isReceived, type NotReceived } from "./channel.ts";
import { type MessageOf, PROTOCOL, type UpgradeMessage } from "./messages.ts";
import type { CommandLine } from "./place.ts";
import { type NewProgram, startProgram } from "./program.ts";

/** Deadlines of the new process, in milliseconds: until it says hello, is ready, and has taken over. */
export const UPGRADE_DEADLINES = { hello: 30_000, ready: 60_000, took: 15_000 };
/** How long the new process may take to confirm one connection, in milliseconds. */
const GOT_MS = 5_000;
/** Listeners in one message; the limit of descriptors in a message is higher. */
const LISTENERS_EACH = 64;

/** What the running process does for an upgrade. */
export interface Replaceable {
  readonly version: string;
  /** All its listening sockets. */
  listeners(): readonly PassedListener[];
  /** Its state folder and the descriptor of the folder's lock; undefined if it has none. */
  stateLock(): { readonly folder: string; readonly descriptor: number } | undefined;
  /**
   * Waits until nothing is under way that only this process can end, and stops deciding. Resolves with the memory of
   * each service as text, or with the reason why it goes on.
   */
  suspend(): Promise<ReadonlyMap<string, string> | string>;
  /** Decides again. Called after each `suspend` that was not followed by `go`. */
  resume(): Promise<void>;
}

/** The upgrade has failed or was refused; the new process is gone, and nothing has changed. Lines for a person. */
export interface NotUpgraded {
  readonly lines: readonly string[];
}

/** The process that has taken over. */
export interface Successor {
  readonly pid: number;
  readonly version: string;
  /** Resolves when it has ended, with how, for a person. */
  readonly ended: Promise<string>;
  /** Passes a connection on. */
  readonly passOn: PassOn;
  /** No further connection is passed on. */
  end(): Promise<void>;
}

/** How one upgrade is done. */
export interface UpgradeRun {
  readonly command: CommandLine;
  /** Where to listen for the new process: the path of a file that does not exist. */
  readonly socket: string;
  /** Aborted if this process is to end; its reason is a text for the caller. */
  readonly signal: AbortSignal;
  readonly deadlines?: typeof UPGRADE_DEADLINES;
}

/** Replaces this process by a new one. Resolves when that one decides, or when everything is as it was before. */
export async function upgrade(
  run: UpgradeRun,
  old: Replaceable,
): Promise<Successor | NotUpgraded> {
  const listener = DescriptorListener.listen(run.socket);
  if (typeof listener === "number") {
    return { lines: [`cannot listen on ${run.socket}: ${errnoWords(listener)}`] };
  }
  const program = startProgram(run.command, run.socket);
  if (typeof program === "string") {
    listener.close();
    return { lines: [program] };
  }
  const attempt = new Attempt(run, old, program, listener);
  const stop = () => void program.kill();
  run.signal.addEventListener("abort", stop);
  if (run.signal.aborted) stop();
  try {
    return await attempt.run();
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    await program.kill();
    await attempt.undo();
    const lines = run.signal.aborted ? [String(run.signal.reason)] : error.lines;
    return { lines };
  } finally {
    run.signal.removeEventListener("abort", stop);
    listener.close();
  }
}

/** The upgrade ends here. */
class Refusal extends Error {
  constructor(readonly lines: readonly string[]) {
    super(lines[0]);
  }
}

/** One upgrade, step by step. Each step throws a `Refusal` if it fails. */
class Attempt {
  readonly #run: UpgradeRun;
  readonly #old: Replaceable;
  readonly #program: NewProgram;
  readonly #upgradeSocket: DescriptorListener;
  readonly #deadlines: typeof UPGRADE_DEADLINES;
  #channel: Channel | undefined;
  #isSuspended = false;

  constructor(
    run: UpgradeRun,
    old: Replaceable,
    program: NewProgram,
    upgradeSocket: DescriptorListener,
  ) {
    this.#run = run;
    this.#old = old;
    this.#program = program;
    this.#upgradeSocket = upgradeSocket;
    this.#deadlines = run.deadlines ?? UPGRADE_DEADLINES;
  }

  async run(): Promise<Successor> {
    const channel = this.#channel = await this.#accept();
    const { version } = await this.#expect("hello", this.#deadlines.hello, (hello) => {
      if (hello.protocol === PROTOCOL) return undefined;
      return `version ${hello.version} cannot take over from version ${this.#old.version}: ` +
        `it speaks protocol ${hello.protocol} of upgrades, and this one ${PROTOCOL}`;
    });
    await this.#welcome();
    await this.#expect("ready", this.#deadlines.ready);
    const memories = await this.#old.suspend();
    if (typeof memories === "string") throw await this.#refuse(memories);
    this.#isSuspended = true;
    for (const [service, text] of memories) await this.#send({ type: "memory", service, text });
    await this.#send({ type: "take" });
    await this.#expect("took", this.#deadlines.took);
    if (this.#run.signal.aborted) throw new Refusal([]);
    // From the moment at which this has been sent, the new process decides.
    await this.#send({ type: "go" });
    const { pid, ended } = this.#program;
    return new Passing(channel, { pid, ended, version });
  }

  /** After a refusal, when the new process is gone. */
  async undo(): Promise<void> {
    this.#channel?.[Symbol.dispose]();
    if (this.#isSuspended) await this.#old.resume();
  }

  /** Waits for the new process to connect; others that do are turned away. */
  async #accept(): Promise<Channel> {
    const { pid, ended } = this.#program;
    // A process that has ended may have connected before, and said why it ends.
    void ended.then(() => this.#upgradeSocket.end());
    const until = performance.now() + this.#deadlines.hello;
    using libc = new ProcessLibc();
    for (;;) {
      const socket = await this.#upgradeSocket.accept(Math.max(0, until - performance.now()));
      if (typeof socket === "number") break;
      if (libc.peerCredentials(socket.fd)?.pid === pid) return new Channel(socket);
      socket.close();
    }
    const early = await Promise.race([ended, Promise.resolve(undefined)]);
    const { program } = this.#run.command;
    throw new Refusal([
      early === undefined
        ? `${program} (process ${pid}) did not say hello in ` +
          `${
            Math.round(this.#deadlines.hello / 1_000)
          }s: is it a version of failover that can take over?`
        : `${program} (process ${pid}) ${early} before it said hello; its output is in the log of the proxy`,
    ]);
  }

  /** Sends the listening sockets and the lock of the state folder. */
  async #welcome(): Promise<void> {
    const lock = this.#old.stateLock();
    const listeners = this.#old.listeners();
    const welcome = {
      type: "welcome",
      protocol: PROTOCOL,
      version: this.#old.version,
      pid: Deno.pid,
      stateDir: lock?.folder ?? null,
      listenerMessages: Math.ceil(listeners.length / LISTENERS_EACH),
    } as const;
    await this.#send(welcome, lock === undefined ? [] : [lock.descriptor]);
    for (let from = 0; from < listeners.length; from += LISTENERS_EACH) {
      const part = listeners.slice(from, from + LISTENERS_EACH);
      const named = part.map(({ descriptor: _, ...listener }) => listener);
      await this.#send(
        { type: "listeners", listeners: named },
        part.map(({ descriptor }) => descriptor),
      );
    }
  }

  /** The next message, which must be of this type. `objection`: the reason why it is not acceptable. */
  async #expect<T extends "hello" | "ready" | "took">(
    type: T,
    ms: number,
    objection: (message: MessageOf<T>) => string | undefined = () => undefined,
  ): Promise<MessageOf<T>> {
    const found = await this.#channel!.receive(ms);
    if (!isReceived(found)) throw await this.#notReceived(found);
    const { message } = found;
    if (message.type === "failed") {
      const name = `the new process (${this.#program.pid})`;
      const [first = `${name} cannot take over`, ...rest] = message.lines;
      throw new Refusal([first, ...rest]);
    }
    if (message.type !== type) {
      throw await this.#refuse(`the new process said ${message.type} instead of ${type}`);
    }
    const reason = objection(message as MessageOf<T>);
    if (reason !== undefined) throw await this.#refuse(reason);
    return message as MessageOf<T>;
  }

  async #notReceived({ end, words }: NotReceived): Promise<Refusal> {
    const who = `the new process (${this.#program.pid})`;
    if (end === "garbled") return await this.#refuse(`${who} ${words}`);
    await this.#program.kill();
    if (end === "silent") return new Refusal([`${who} ${words}`]);
    return new Refusal([`${who} ${await this.#program.ended} before it had taken over`]);
  }

  /** Tells the new process why, so that its log says so as well. */
  async #refuse(reason: string): Promise<Refusal> {
    const told = await this.#channel?.send({ type: "refused", reason });
    if (told === undefined) {
      // It logs the reason and ends; it is killed if it does not.
      await this.#channel?.receive(GOT_MS);
    }
    return new Refusal([reason]);
  }

  async #send(message: UpgradeMessage, descriptors: readonly number[] = []): Promise<void> {
    const reason = await this.#channel!.send(message, { descriptors });
    if (reason === undefined) return;
    throw await this.#notReceived({ end: "gone", words: reason });
  }
}

/** Connections that are passed on to the process that has taken over. */
class Passing implements Successor {
  readonly pid: number;
  readonly version: string;
  readonly ended: Promise<string>;
  readonly #channel: Channel;
  readonly #waiting = new Map<number, (isTaken: boolean) => void>();
  readonly #reading: Promise<void>;
  #last = 0;
  #isOver = false;

  constructor(
    channel: Channel,
    { pid, ended, version }: Pick<Successor, "pid" | "ended" | "version">,
  ) {
    this.pid = pid;
    this.ended = ended;
    this.version = version;
    this.#channel = channel;
    this.#reading = this.#read();
  }

  readonly passOn: PassOn = async (service: string, { kind, content, descriptors }: Parcel) => {
    if (this.#isOver) return false;
    const id = ++this.#last;
    const { promise, resolve } = Promise.withResolvers<boolean>();
    this.#waiting.set(id, resolve);
    const message = { type: "parcel", id, service, kind } as const;
    const failed = await this.#channel.send(message, { descriptors, content });
    if (failed !== undefined) this.#settle(id, false);
    return await promise;
  };

  async end(): Promise<void> {
    if (!this.#isOver) await this.#channel.send({ type: "end" });
    this.#isOver = true;
    this.#channel.end();
    await this.#reading;
    this.#channel[Symbol.dispose]();
  }

  #settle(id: number, isTaken: boolean): void {
    this.#waiting.get(id)?.(isTaken);
    this.#waiting.delete(id);
  }

  async #read(): Promise<void> {
    for (;;) {
      const found = await this.#channel.receive(GOT_MS);
      if (isReceived(found) && found.message.type === "got") {
        const { id, isTaken } = found.message;
        this.#settle(id, isTaken);
        continue;
      }
      const isSilent = !isReceived(found) && found.end === "silent";
      // A process that is there and silent will still take what waits for it: nobody else may use that any more.
      if (isSilent) { for (const id of this.#waiting.keys()) this.#settle(id, true); }
      if (isSilent && !this.#isOver) continue;
      this.#isOver = true;
      for (const id of this.#waiting.keys()) this.#settle(id, false);
      return;
    }
  }
}
