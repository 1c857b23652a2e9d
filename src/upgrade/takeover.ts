/**
 * The new process of an upgrade. Until it may begin it changes nothing: every failure before that is told to the old
 * process, which goes on, and this one ends.
 */
import { errnoWords } from "../linux/errno.ts";
import { closeDescriptors, DescriptorSocket } from "../linux/pass_descriptors.ts";
import { ProcessLibc } from "../linux/process_libc.ts";
import { type GoOn, type Parcel, type PassedListener, ReceivedListeners } from "../net/handover.ts";
import { Channel, isReceived, type Received } from "./channel.ts";
import { type MessageOf, PROTOCOL, type UpgradeMessage } from "./messages.ts";

/**
 * How long each wait for the old process lasts at most, in milliseconds. It waits for a promotion to end; when it has
 * died, that is noticed at once.
 */
const SILENCE_MS = 120_000;

/** This process cannot take over; lines for a person. */
export class TakeoverFailed extends Error {
  override readonly name = "TakeoverFailed";

  constructor(readonly lines: readonly string[]) {
    super(lines[0]);
  }
}

/** What the old process has given to this one. */
export interface Inheritance {
  /** Version and number of the old process. */
  readonly version: string;
  readonly pid: number;
  readonly listeners: ReceivedListeners;
  /** The state folder of the old process and the descriptor of its lock, which is shared now. */
  readonly stateLock: { readonly folder: string; readonly descriptor: number } | undefined;
}

/** The connection to the old process. */
export class Takeover implements Disposable {
  readonly #channel: Channel;
  readonly #version: string;

  /**
   * Connects to the old process, which listens at `socket` and must be `parent`, the process that started this one.
   * Throws `TakeoverFailed`.
   */
  static connect(socket: string, version: string, parent: number): Takeover {
    const connected = DescriptorSocket.connect(socket);
    if (typeof connected === "number") {
      throw new TakeoverFailed([
        `Cannot reach the process to take over from at ${socket}: ${errnoWords(connected)}`,
      ]);
    }
    using libc = new ProcessLibc();
    const peer = libc.peerCredentials(connected.fd);
    if (peer?.pid === parent) return new Takeover(new Channel(connected), version);
    connected.close();
    throw new TakeoverFailed([
      `Process ${peer?.pid} listens at ${socket}, which is not the one that started this one`,
    ]);
  }

  /** Owns `channel`. */
  constructor(channel: Channel, version: string) {
    this.#channel = channel;
    this.#version = version;
  }

  [Symbol.dispose](): void {
    this.#channel[Symbol.dispose]();
  }

  /** The options are right: asks for the listening sockets. Throws `TakeoverFailed`. */
  async hello(): Promise<Inheritance> {
    const version = this.#version;
    await this.#channel.send({ type: "hello", protocol: PROTOCOL, version, pid: Deno.pid });
    const { message: welcome, descriptors: [lock] } = await this.#expect("welcome");
    if (welcome.protocol !== PROTOCOL) {
      const line =
        `version ${version} cannot take over from version ${welcome.version}: that one ` +
        `speaks protocol ${welcome.protocol} of upgrades, and this one ${PROTOCOL}`;
      await this.fail([line]);
      throw new TakeoverFailed([line]);
    }
    const listeners: PassedListener[] = [];
    for (let left = welcome.listenerMessages; left > 0; left--) {
      const { message, descriptors } = await this.#expect("listeners");
      if (message.listeners.length !== descriptors.length) {
        throw new TakeoverFailed(["descriptors of listening sockets are missing"]);
      }
      listeners.push(
        ...message.listeners.map((each, at) => ({ ...each, descriptor: descriptors[at]! })),
      );
    }
    const folder = welcome.stateDir;
    return {
      version: welcome.version,
      pid: welcome.pid,
      listeners: new ReceivedListeners(listeners),
      stateLock: folder === null || lock === undefined ? undefined : { folder, descriptor: lock },
    };
  }

  /**
   * Everything that can fail has been done. Resolves with the memory of each service as text, when the old process
   * decides nothing any more. Throws `TakeoverFailed`.
   */
  async ready(): Promise<ReadonlyMap<string, string>> {
    await this.#channel.send({ type: "ready" });
    const memories = new Map<string, string>();
    for (;;) {
      const { message } = await this.#expect("memory", "take");
      if (message.type === "take") return memories;
      memories.set(message.service, message.text);
    }
  }

  /**
   * All services are there and wait. Resolves when they may begin: the old process says so, or is gone. Throws
   * `TakeoverFailed` if the old process goes on.
   */
  async took(): Promise<void> {
    await this.#channel.send({ type: "took" });
    const found = await this.#channel.receive(SILENCE_MS);
    if (!isReceived(found)) {
      if (found.end === "gone") return;
      throw new TakeoverFailed([`the process to take over from ${found.words}`]);
    }
    if (found.message.type !== "go") throw this.#unexpected(found);
  }

  /**
   * Takes the connections that the old process passes on, until it has ended or passes on no more. Resolves with
   * their number. Never rejects.
   */
  async receiveConnections(
    receive: (service: string, parcel: Parcel) => GoOn | undefined,
  ): Promise<number> {
    let count = 0;
    for (;;) {
      const found = await this.#channel.receive(SILENCE_MS);
      if (!isReceived(found)) {
        if (found.end === "silent") continue;
        return count;
      }
      const { message, descriptors, content } = found;
      if (message.type !== "parcel") return count;
      const { id, service, kind } = message;
      const goOn = receive(service, { kind, content, descriptors });
      // Said before: if this process ends in between, the old one goes on with a connection of which it did not hear.
      await this.#channel.send({ type: "got", id, isTaken: goOn !== undefined });
      if (goOn === undefined) closeDescriptors(descriptors);
      else {
        // Also if the old one does not hear it any more: it is gone, or has given the connection up.
        goOn();
        count++;
      }
    }
  }

  /** Tells the old process, and through it the caller, why this one ends. Never rejects. */
  async fail(lines: readonly string[]): Promise<void> {
    await this.#channel.send({ type: "failed", lines });
  }

  async #expect<T extends "welcome" | "listeners" | "memory" | "take">(
    ...types: readonly T[]
  ): Promise<Received & { readonly message: MessageOf<T> }> {
    const found = await this.#channel.receive(SILENCE_MS);
    if (!isReceived(found)) {
      throw new TakeoverFailed([`the process to take over from ${found.words}`]);
    }
    if (!isOneOf(found.message, types)) throw this.#unexpected(found);
    return { ...found, message: found.message };
  }

  #unexpected({ message, descriptors }: Received): TakeoverFailed {
    closeDescriptors(descriptors);
    const reason = message.type === "refused"
      ? message.reason
      : `the process to take over from said ${message.type}, which was not its turn`;
    return new TakeoverFailed([reason]);
  }
}

function isOneOf<T extends UpgradeMessage["type"]>(
  message: UpgradeMessage,
  types: readonly T[],
): message is MessageOf<T> {
  return types.includes(message.type as T);
}
