/** The connection between the two processes of an upgrade: whole messages, each with its descriptors. */
import { errnoWords, ETIMEDOUT } from "../linux/errno.ts";
import { closeDescriptors, DescriptorSocket } from "../linux/pass_descriptors.ts";
import { decodeMessage, encodeMessage, type UpgradeMessage } from "./messages.ts";

/** How long a message may wait until the other process has taken earlier ones, in milliseconds. */
const SEND_MS = 5_000;

/** A message that was received; the descriptors belong to the receiver. */
export interface Received {
  readonly message: UpgradeMessage;
  readonly content: Uint8Array<ArrayBuffer>;
  readonly descriptors: readonly number[];
}

/** Why no message was received: the other process is gone, it was silent, or it said something else. */
export interface NotReceived {
  readonly end: "gone" | "silent" | "garbled";
  /** In a few words, behind the name of the other process: `has ended`. */
  readonly words: string;
}

/** One end of the connection. */
export class Channel implements Disposable {
  readonly #socket: DescriptorSocket;

  /** Owns `socket`. */
  constructor(socket: DescriptorSocket) {
    this.#socket = socket;
  }

  /** The descriptor, to ask who the peer is. */
  get fd(): number {
    return this.#socket.fd;
  }

  /** Sends a message. Resolves with the reason, for a person, if that is not possible. */
  async send(
    message: UpgradeMessage,
    { descriptors = [], content }: {
      readonly descriptors?: readonly number[];
      readonly content?: Uint8Array;
    } = {},
  ): Promise<string | undefined> {
    const result = await this.#socket.send(encodeMessage(message, content), descriptors, SEND_MS);
    return result < 0 ? errnoWords(result) : undefined;
  }

  /** The next message, within `timeoutMs` milliseconds. Descriptors that come with something else are closed. */
  async receive(timeoutMs: number): Promise<Received | NotReceived> {
    const found = await this.#socket.receive(timeoutMs);
    if (typeof found === "number") return notReceived(found);
    const { bytes, descriptors, isCut } = found;
    const decoded = isCut ? undefined : decodeMessage(bytes);
    if (decoded !== undefined) return { ...decoded, descriptors };
    closeDescriptors(descriptors);
    return isCut
      ? { end: "garbled", words: "sent more descriptors than may be open here" }
      : { end: "garbled", words: "sent a message that this version does not know" };
  }

  /** Nothing more is said; both sides can still receive what was said before. */
  end(): void {
    this.#socket.end();
  }

  [Symbol.dispose](): void {
    this.#socket.close();
  }
}

function notReceived(result: number): NotReceived {
  if (result === -ETIMEDOUT) return { end: "silent", words: "did not answer in time" };
  if (result === 0) return { end: "gone", words: "has ended" };
  return { end: "gone", words: `cannot be reached: ${errnoWords(result)}` };
}

/** True if it was received. */
export function isReceived(found: Received | NotReceived): found is Received {
  return "message" in found;
}
